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
"""What is done about a live migration that is stuck."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

from oslo_log import log as logging

from migsafe.journal.records import Transaction
from migsafe.nova.clients.jobs import Jobs
from migsafe.nova.host import workers
from migsafe.nova.host.participant import Participant
from migsafe.text import masked
from migsafe.watch.migration import Migration, State
from migsafe.watch.reasons import Act, Look, Row

LOG = logging.getLogger(__name__)

#: What is done under each policy.
POLICIES: dict[str, frozenset[Act]] = {
    'report': frozenset(), 'abort': frozenset((Act.ABORT,)),
    'settle': frozenset((Act.ABORT, Act.SETTLE))}
#: How many are worked on at the same time, and with those that hang.
WORKERS, LIMIT = 4, 20


@dataclasses.dataclass
class Told:
    """What was said and done about one migration.

    :param row: by which it was judged last
    :param acted: when something was done about that, in seconds of a clock that nobody sets
    """

    row: Row | None = None
    acted: float | None = None

    @property
    def stuck(self) -> bool:
        """Whether it was said to be stuck."""
        return self.row is not None and self.row.state is State.STUCK


class Stuck:
    """Logs it once, and does what the policy says.

    :param participant: this host's participant
    :param jobs: what can end a transfer
    """

    def __init__(self, participant: Participant, jobs: Jobs) -> None:
        self._participant, self._jobs = participant, jobs
        self._crew = workers.Crew(WORKERS, LIMIT)

    def tell(self, told: Told, one: Migration, row: Row) -> None:
        """Log what has changed; what is unsettled is logged by recovery."""
        if row is told.row:
            return
        if row.state is State.STUCK:
            LOG.warning('Live migration %s of instance %s from %s to %s is stuck (%s): %s',
                        one.migration, one.instance, one.source, one.destination, one.phase,
                        one.reason)
        elif told.stuck:
            LOG.info('Live migration %s of instance %s is not stuck any more (%s)', one.migration,
                     one.instance, one.phase)
        told.row, told.acted = row, None

    def act(self, told: Told, look: Look, tx: Transaction | None, now: float) -> None:
        """Do what the policy says, and again after ``stuck_after`` seconds.

        :param tx: of this host's journal, if it has one
        """
        conf = self._participant.conf
        assert told.row is not None
        if told.row.act not in POLICIES[conf.stuck_policy] or told.acted is not None and (
                not conf.stuck_after or now - told.acted < conf.stuck_after):
            return
        told.acted = now
        work: Any = self._abort if told.row.act is Act.ABORT else self._settle
        self._crew.take((look.migration, look.role, told.row.act),
                        functools.partial(work, look, tx))

    def wait(self) -> None:
        """Wait until nothing is being done any more."""
        self._crew.wait()

    def _abort(self, look: Look, tx: Transaction | None) -> None:
        """Only what this host's own journal has as begun here, and what Nova watches."""
        if tx is None or not self._jobs.watched(look.instance):
            return
        LOG.warning('Live migration %s of instance %s is stuck and is ended ([migsafe] '
                    'stuck_policy = %s)', look.migration, look.instance,
                    self._participant.conf.stuck_policy)
        try:
            self._jobs.abort(look.migration)
        except Exception as error:
            LOG.error('Live migration %s of instance %s could not be ended: %s', look.migration,
                      look.instance, masked(error))

    def _settle(self, _look: Look, tx: Transaction | None) -> None:
        if tx is None:
            self._participant.recovery.nudge()
        else:
            self._participant.recovery.at_once(tx)
