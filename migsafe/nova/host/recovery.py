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
"""Recovery: at start of nova-compute, and then periodically."""

from __future__ import annotations

import contextvars
import datetime
import functools
import random
import threading
from collections.abc import Callable, Iterator
from typing import Any

from oslo_log import log as logging
from oslo_utils import timeutils

from migsafe import exceptions
from migsafe.journal.records import Transaction
from migsafe.nova.clients import transfers
from migsafe.nova.host import lost_transfers, upkeep, workers
from migsafe.nova.host.participant import DESTINATION, SOON, Participant
from migsafe.text import masked

LOG = logging.getLogger(__name__)

#: Seconds between two looks at the journal while something is unsettled.
POLL = 2.0


class Recovery:
    """Takes up everything unsettled of one host, a bounded amount at a time.

    :param participant: this host's participant
    :param manager: its ComputeManager
    :param heartbeat: called once an interval with what an operator should
        know, to say that this host is alive
    """

    def __init__(self, participant: Participant, manager: Any,
                 heartbeat: Callable[[str], None]) -> None:
        self._participant = participant
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        conf = participant.conf
        self._crew = workers.Crew(conf.recovery_workers, conf.recovery_batch)
        self.transfers = lost_transfers.LostTransfers(participant, transfers.Transfers(manager))
        self._upkeep = upkeep.Upkeep(
            participant, manager, heartbeat, lambda: self._crew.hanging(), self.nudge)

    def start(self) -> None:
        """Begin, in a thread that ends with the process."""
        context = contextvars.copy_context()
        self._thread = threading.Thread(
            target=context.run, args=(self._run,), name='migsafe-recovery',
            daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Take up nothing more; what is being settled ends with the process.
        """
        self._stop.set()
        self._wake.set()

    def join(self, timeout: float) -> None:
        """Wait up to ``timeout`` seconds for the end after :meth:`stop`."""
        if self._thread is not None:
            self._thread.join(timeout)

    def nudge(self) -> None:
        """Something was just left unsettled: do not sleep the interval out.
        """
        self._wake.set()

    def _run(self) -> None:
        while not self._stop.is_set():
            more = False
            try:
                more = self.round(timeutils.utcnow)
            except Exception as error:
                LOG.error('Recovery of live migrations on %s failed and is '
                          'tried again: %s', self._participant.host,
                          masked(error))
            self._wake.wait(0.1 if more else self._pause())
            self._wake.clear()

    def _pause(self) -> float:
        """Seconds to the next round, with jitter: short while something is
        unsettled, whose own backoff says when it is due."""
        interval = float(self._participant.conf.recovery_interval)
        try:
            if self._participant.journal.unsettled(limit=1):
                interval = min(interval, POLL)
        except Exception as error:
            LOG.error('Journal of %s cannot be read: %s',
                      self._participant.host, masked(error))
        return interval * random.uniform(upkeep.LEAST, 2 - upkeep.LEAST)

    def once(self) -> None:
        """One pass over everything unsettled, whether due or not."""
        self._upkeep.once()
        for tx in self._unsettled(None):
            self._take_up(tx, wait=True)
        self._crew.wait()

    def round(self, now: Callable[[], datetime.datetime]) -> bool:
        """One round; it waits for nobody.

        :param now: says what is due
        :returns: whether more is due, and it is worth to go on at once
        """
        moment = now()
        self._upkeep.round(moment)
        taken = False
        for tx in self._unsettled(moment):
            if not self._take_up(tx):
                return taken
            taken = True
        return False

    def _unsettled(self, due: datetime.datetime | None
                   ) -> Iterator[Transaction]:
        """What nobody in this process is at, oldest first; in pages, so that
        memory is bounded whatever has piled up."""
        journal, limit = self._participant.journal, \
            self._participant.conf.recovery_batch
        page, after_id = None, 0
        while page is None or len(page) == limit:
            page = journal.unsettled(
                due_before=due, limit=limit, after_id=after_id,
                longest=self._participant.conf.recovery_backoff_max)
            for tx in page:
                after_id = tx.id
                if not (self._crew.busy(_name(tx)) or self._worked_on(
                        tx, due is not None)):
                    yield tx

    def _worked_on(self, tx: Transaction, resting: bool) -> bool:
        """Whether Nova works on it, here or on a source that this host waits
        for; a damaged row is taken up, and held with the reason."""
        attempts = self._participant.attempts
        try:
            return attempts.live(tx.uuid) or (
                resting and tx.role == DESTINATION
                and attempts.resting(tx.uuid, tx.next_attempt_at))
        except exceptions.JournalCorrupt:
            return False

    def _take_up(self, tx: Transaction, wait: bool = False) -> bool:
        return self._crew.take(_name(tx), functools.partial(self._one, tx),
                               wait)

    def at_once(self, tx: Transaction) -> bool:
        """Take a transaction up whether it is due or not; whether anybody is at it now."""
        return not self._worked_on(tx, False) and self._take_up(tx)

    def _one(self, tx: Transaction) -> None:
        """One transaction that cannot be settled does not stop the others."""
        try:
            # Nova may have begun to work on it since it was read.
            if not (self._participant.attempts.live(tx.uuid) or self.transfers.take_up(tx)):
                why = self._participant.unwritten.get(tx.uuid, _nothing)()
                if why:
                    self._participant.journal.postpone(
                        tx, SOON * 2 ** min(tx.attempts, 6), why)
                else:
                    self._participant.settle(tx)
        except Exception as error:
            LOG.error('Transaction %s of host %s is held: %s', tx.id,
                      self._participant.host, masked(error))
            self._hold(tx, masked(error))

    def _hold(self, tx: Transaction, reason: str) -> None:
        try:
            self._participant.journal.postpone(
                tx, self._participant.conf.recovery_backoff_max, reason)
        except Exception as error:
            LOG.error('Transaction %s could not be postponed: %s', tx.id,
                      masked(error))


def _nothing() -> None:
    """Nobody has to be told."""


def _name(tx: Transaction) -> str:
    """What messages call it, and its work."""
    return f'transaction {tx.id}'
