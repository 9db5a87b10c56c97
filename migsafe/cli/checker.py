# Licensed under the Apache License, Version 2.0 (the "License"); you may
# not use this file except in compliance with the License. You may obtain
# a copy of the License at
#
#      http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
# WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
# License for the specific language governing permissions and limitations
# under the License.
"""This process as the one that looks at compute hosts: over Nova's database and message bus."""

import functools
from typing import TypeVar

from oslo_config import cfg
from oslo_log import log as logging
from oslo_utils import uuidutils

from migsafe.cli import bus, compute_services, fleet
from migsafe.fencing import examine
from migsafe.fencing.examine import Fleet
from migsafe.fencing.machines import Machines
from migsafe.fencing.probes.base import Answer, Site
from migsafe.fencing.signs import Sign
from migsafe.fencing.verdict import Judgement
from migsafe.text import masked
from migsafe.transaction import answers

LOG = logging.getLogger(__name__)
T = TypeVar('T')
#: Seconds to wait for Nova's database.
DATABASE = 5.0
#: Where nova-compute listens. From Nova 34 on the second is open while it is being stopped.
TOPICS = (fleet.TOPIC, 'compute-alt')


class Checker:
    """Looks at hosts with the configured probes.

    :param conf: Nova's configuration, with [migsafe]
    :raises NoHosts: it names no database
    :raises ConfigError: it names no message bus
    """

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        self.services = compute_services.Services(conf, DATABASE)
        self._bus = bus.Bus(conf)
        self.site = Site(conf.migsafe, self.services.record, self._ask,
                         self.services.with_other_disks)
        self._machines = Machines(conf.migsafe.state_path)
        #: host -> which machine it says that it is
        self._said: dict[str, str] = {}

    def explain(self, host: str, instance_uuid: str = '') -> Judgement:
        """Judge one host.

        :param instance_uuid: the guest that is asked for; empty if only the host is
        :raises NoHosts: Nova's database cannot be read
        :raises NoSuchHost: it does not know the host
        :raises ConfigError: a probe cannot be used
        """
        if self.services.record(host) is None:
            raise compute_services.NoSuchHost(host=host)
        return self._remember(examine.examine(host, instance_uuid, self.site,
                                              functools.partial(self._fleet, host)))

    def survey(self) -> list[Judgement]:
        """Judge all hosts in one pass.

        :raises NoHosts: Nova's database cannot be read, or there are none
        :raises ConfigError: a probe cannot be used
        """
        return self._remember(examine.survey(self.services.records(), self.site))

    def _remember(self, found: T) -> T:
        """What hosts have said of themselves, for a fence once they say nothing any more."""
        try:
            self._machines.learn(self._said)
        except OSError as error:
            LOG.warning('Which machines hosts are could not be written to [migsafe] state_path, '
                        'which "migsafe host fence" reads: %s', masked(error))
        return found

    def _fleet(self, apart: str) -> Fleet:
        return examine.fleet(self.services.records(), apart)

    def _ask(self, host: str, instance_uuid: str, seconds: float) -> Answer:
        """Ask the plugin on a host, wherever its nova-compute listens.

        :param seconds: to wait, for all places together
        """
        asked = instance_uuid or uuidutils.generate_uuid()
        for topic in TOPICS:
            try:
                reply = self._bus.call(
                    fleet.service_of(host, topic), 'guest_evidence',
                    seconds=seconds / len(TOPICS), uuid=asked, instance_uuid=asked)
                answer = answers.sign(host, instance_uuid, reply)
                if answer.machine:
                    self._said[host] = answer.machine
                return answer
            except bus.Silent:
                continue
            except bus.NoAnswer as error:
                return _said(error)
        return Answer(Sign.SILENT, f'no answer from nova-compute within {seconds:g} seconds')


def _said(error: bus.NoAnswer) -> Answer:
    """What it means that there was no evidence in an answer."""
    theirs = isinstance(error, bus.Unknown | bus.TooOld) or error.kwargs.get('remote') or \
        type(error) is bus.NoAnswer
    kind = error.kwargs.get('kind') or type(error).__name__
    return (Answer(Sign.ANSWERS, f'nova-compute answers ({kind})') if theirs else
            Answer(Sign.NOTHING, f'it could not be asked ({kind})'))
