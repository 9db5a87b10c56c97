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
"""Whether the heartbeat that a host writes to shared storage goes on."""

from __future__ import annotations

from collections.abc import Sequence

from migsafe import exceptions
from migsafe.fencing import beats
from migsafe.fencing.probes.base import Probe, Site
from migsafe.fencing.signs import Observation, Sign

#: Share of the time of a look for which it watches; the rest is for the process that does.
SHARE = 0.8


class Heartbeat(Probe):
    """Watches the file of the host until it changes, or the time is over.

    The clock is that of whoever reads, and nothing is compared with a clock of the host. A file
    that does not change is no silence: the storage, or nova-compute alone, may stand still.

    :raises ConfigError: [migsafe] heartbeat_directory is not set
    """

    def __init__(self, site: Site, name: str) -> None:
        super().__init__(site, name)
        self._directory = site.conf.heartbeat_directory
        if not self._directory:
            raise exceptions.ConfigError(
                group='migsafe', option='heartbeat_directory',
                reason='it is not set, and the probe heartbeat needs it')

    def look(self, host: str, instance_uuid: str) -> Sequence[Observation]:
        """Watch it once."""
        seconds = self.site.conf.probe_timeout
        try:
            first, *later = beats.read(self._directory, host, seconds, seconds * SHARE)
        except beats.NotABeat as error:
            return [self.saw(Sign.NOTHING, f'{beats.path_of(self._directory, host)}: {error}')]
        if not (later and later[0].after(first)):
            return [self.saw(Sign.STALE, f'it stands at {first.sequence} of boot '
                             f'{first.boot_id}')]
        return [self.saw(Sign.ANSWERS, f'its heartbeat goes on, {first.sequence} to '
                         f'{later[0].sequence}', boot_id=later[0].boot_id)]
