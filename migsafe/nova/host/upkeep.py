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
"""What a host's recovery does besides settling: adopt, look again, forget, say that it lives."""

from __future__ import annotations

import datetime
import functools
import time
from collections.abc import Callable
from typing import Any

from oslo_log import log as logging
from oslo_utils import timeutils

from migsafe import clock
from migsafe.journal import upkeep
from migsafe.nova.host import adoption, workers
from migsafe.nova.host import attempt as host_attempt
from migsafe.nova.host.participant import Participant
from migsafe.text import masked
from migsafe.transaction import remains

LOG = logging.getLogger(__name__)

#: Jitter: the least part of an interval that passes between two rounds.
LEAST = 0.8
PURGE_INTERVAL = datetime.timedelta(hours=24)
#: How long after its settlement a transaction keeps connections, and how often that is looked at.
SECRETS_KEPT = datetime.timedelta(hours=24)
BLANK_INTERVAL = datetime.timedelta(hours=1)
#: The names of that work.
ADOPTION, KEPT, LEFT = 'adoption', 'devices of no migration', 'what was left'
CLAIMS = 'claims that were left'
WHOLE = 'the whole journal'


class Upkeep:
    """Once an interval, whatever is unsettled.

    :param participant: this host's participant
    :param manager: its ComputeManager
    :param heartbeat: called with what an operator should know
    :param hanging: what settles transactions and does not come back
    :param nudge: has recovery look at once, when something was taken up
    """

    def __init__(self, participant: Participant, manager: Any, heartbeat: Callable[[str], None],
                 hanging: Callable[[], list[Any]], nudge: Callable[[], None]) -> None:
        self._participant, self._heartbeat = participant, heartbeat
        self._hanging, self._nudge = hanging, nudge
        self._adoption = adoption.Adoption(participant, manager)
        # These may hang as well, on another host or on a device.
        self._aside = workers.Crew(4, 4)
        self._kept_up: datetime.datetime | None = None
        self._purged: datetime.datetime | None = None
        self._clock = clock.Steady()
        self._checked: float | None = None
        self._blanked = upkeep.NEVER

    def round(self, now: datetime.datetime) -> None:
        """What is due; it waits for nobody."""
        if not self._kept_up_lately(now):
            self._kept_up = now
            self._do()

    def once(self) -> None:
        """All of it, whether due or not."""
        self._do()
        self._aside.wait()

    def _kept_up_lately(self, now: datetime.datetime) -> bool:
        """Rounds follow each other closely while something is unsettled; what
        is asked of Nova then is asked no oftener than on an idle host."""
        if self._kept_up is None:
            return False
        since = (now - self._kept_up).total_seconds()
        return bool(
            0 <= since < LEAST * self._participant.conf.recovery_interval)

    def _do(self) -> None:
        """What is in the journal is settled whatever fails here."""
        for step in (self._beat, self._blank, self._purge):
            self._try(step)
        for name, step in ((ADOPTION, self._adopt), (KEPT, self._kept), (LEFT, self._left),
                           (CLAIMS, self._adoption.give_back), (WHOLE, self._check)):
            self._aside.take(name, functools.partial(self._try, step))

    def _adopt(self) -> None:
        """What was taken up is settled at once: this round may be over."""
        if self._adoption.adopt():
            self._nudge()
        self._participant.looked = True

    def _beat(self) -> None:
        hung = self._hanging() + self._aside.hanging()
        self._heartbeat('' if not hung else (
            'what settles these has not come back for minutes; look for a '
            'device, a file system or a libvirtd that hangs: '
            + ', '.join(map(str, hung))))

    def _try(self, step: Callable[[], None]) -> None:
        try:
            with host_attempt.protected():
                step()
        except Exception as error:
            LOG.error('Recovery of live migrations on %s goes on without '
                      'this: %s', self._participant.host, masked(error))

    def _kept(self) -> None:
        """Devices of no migration that had to stay, with their exports."""
        for those in (self._participant.kept, self._participant.left_devices):
            if those is not None:
                those.settle()

    def _left(self) -> None:
        """What transactions have left that were overtaken."""
        remains.look_again(self._participant.journal, self._participant.clients)

    def _check(self) -> None:
        """Once a day: whether the file is whole, which opening a large one does not tell."""
        now = time.monotonic()
        if self._checked is None or now - self._checked > PURGE_INTERVAL.total_seconds():
            self._checked = now
            self._participant.journal.check_whole()

    def _blank(self) -> None:
        """Keep no CHAP secret longer than somebody who is late could still need it."""
        spent = timeutils.utcnow() - SECRETS_KEPT
        if spent - self._blanked > BLANK_INTERVAL:
            self._participant.journal.blank(spent, since=self._blanked)
            self._blanked = spent

    def _purge(self) -> None:
        days = self._participant.conf.retention_days
        now = timeutils.utcnow()
        # NOTE: to a clock that is a month ahead, all that was ever settled is old.
        if not self._clock.is_steady(now) or not days or (
                self._purged and now - self._purged < PURGE_INTERVAL):
            return
        self._purged = now
        self._participant.journal.purge(now - datetime.timedelta(days=days))
