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
"""Ends an attempt: settled, or held with the reason and retried later."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterable, Mapping

from oslo_log import log as logging

from migsafe.journal.api import Journal
from migsafe.journal.records import Transaction
from migsafe.resources import base
from migsafe.text import shell
from migsafe.transaction.move import Move
from migsafe.transaction.verdict import Verdict

LOG = logging.getLogger(__name__)

#: Key of a step that raised: what it did is judged by reading back.
FAILED = 'failed'


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How one settlement ended.

    :param verdict: what was decided
    :param held: (resource, key) -> why it is not settled; empty when clean
    :param kept: volume id -> why its device stays on the loser
    :param records_wrong: whether a reboot may still read another host's LUNs
    :param over: whether it is settled, if need be without a verdict
    :param unarmed: whether the other host answers that it has no migsafe
    :param elsewhere: whether this host has the guest, all of it here was read back and is
        right, and what is left is on the other host
    :param unwritten: volumes of ``kept`` that were not let go of here because the journal could
        not be written
    """

    verdict: Verdict
    held: Mapping[tuple[str, str], str]
    kept: Mapping[str, str] = dataclasses.field(default_factory=dict)
    records_wrong: bool = False
    over: bool = False
    elsewhere: bool = False
    unarmed: bool = False
    unwritten: frozenset[str] = frozenset()

    @property
    def clean(self) -> bool:
        """Whether nothing is left to do."""
        return not self.held and (self.over or self.verdict is not Verdict.HOLD)


def ended(tx: Transaction | None) -> Outcome:
    """How a transaction has ended, as the journal says now.

    :param tx: as it was just read; None if it is not there any more
    """
    if tx is None:
        return Outcome(Verdict.HOLD, {('transaction', ''): 'the journal has it no more'})
    known = Verdict(tx.verdict) if tx.verdict else Verdict.HOLD
    return Outcome(known, {} if tx.state == 'settled' else {('transaction', ''): (
        f'the journal has {tx.verdict} for it: {tx.reason}')}, over=tx.state == 'settled')


class Closer:
    """Writes the end of an attempt into the journal.

    :param journal: this host's journal
    :param resources: the resource plugins
    :param backoff_max: upper bound in seconds between two attempts
    :param look_again: the same, while all that is known to be in the way is
        a device that something holds
    """

    def __init__(self, journal: Journal,
                 resources: Iterable[base.Resource],
                 backoff_max: float, look_again: float) -> None:
        self._journal = journal
        self._resources = tuple(resources)
        self._backoff_max, self._look_again = backoff_max, look_again

    def close(self, move: Move, outcome: Outcome,
              local_only: bool) -> None:
        """Note how an attempt ended, and when the next one is due.

        :param local_only: only the resources of this host were at work
        """
        tx = move.tx
        self._verified(move, outcome, local_only)
        if outcome.clean:
            self._journal.finish(tx, move.decision.reason)
            LOG.info('Live migration %s of instance %s is settled: %s',
                     tx.uuid, tx.instance_uuid, move.decision.reason)
            return
        reason = '; '.join(sorted(set(outcome.held.values())))[:2000]
        if reason != tx.reason:
            for (resource, key), why in outcome.held.items():
                self._journal.hold(tx, resource, key, why)
            if move.settling:
                LOG.info('Live migration %s of instance %s is being settled on %s, too, which is '
                         'waited for', tx.uuid, tx.instance_uuid, move.loser)
            else:
                LOG.warning('Live migration %s of instance %s is held (%s): %s. '
                            'It is tried again by itself; see `migsafe journal '
                            'show %s`', tx.uuid, tx.instance_uuid,
                            outcome.verdict.value, reason, shell(tx.uuid))
        self.postpone(tx, reason, move.seen and bool(outcome.kept))

    def _verified(self, move: Move, outcome: Outcome,
                  local_only: bool) -> None:
        """Mark what was read back and agrees; each once."""
        held = {name for name, _key in outcome.held}
        agree = {(r.name, '') for r in self._resources
                 if r.name not in held and (r.local or not local_only)}
        gone = {hold for hold in move.history.holds if hold not in outcome.held}
        for resource, key in sorted((agree | gone) - move.history.settled):
            self._journal.settled(move.tx, resource, key)

    def postpone(self, tx: Transaction, reason: str,
                 holder: bool = False) -> None:
        """Try again later: exponential backoff with jitter.

        :param holder: whether a look showed a device that is in use: who
            stops its user expects it to go soon, and to look costs little
        """
        longest = self._backoff_max
        if holder:
            longest = min(longest, self._look_again)
        base_delay = min(2.0 ** min(tx.attempts, 16), longest)
        self._journal.postpone(tx, base_delay * random.uniform(0.5, 1.0),
                               reason)


def merge(residues: Mapping[tuple[str, str], str],
           failed: Mapping[tuple[str, str], str]
           ) -> dict[tuple[str, str], str]:
    """What is left, with the reason of the step that failed beside it.

    A step that raised but left nothing to see did its work (a lost reply); a
    resource that said Held stays held whatever it reads back.
    """
    names = {name for name, _key in residues}
    return dict(residues) | {
        (name, key): why for (name, key), why in failed.items()
        if key != FAILED or name in names}
