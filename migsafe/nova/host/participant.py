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
"""One host's part in all transactions: the object that seams and RPC call."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

from oslo_log import log as logging

from migsafe.journal.api import Journal
from migsafe.journal.records import Transaction
from migsafe.nova.host import attempt as host_attempt
from migsafe.nova.host import release
from migsafe.preflight.path import Path
from migsafe.preflight.report import Report
from migsafe.preflight.surroundings import Surroundings
from migsafe.resources.instance_record import TERMINAL
from migsafe.text import shell
from migsafe.transaction import closing
from migsafe.transaction.clients import Clients
from migsafe.transaction.closing import Outcome
from migsafe.transaction.engine import Engine
from migsafe.transaction.evidence import GuestState
from migsafe.transaction.move import FREED, MIGRATING, Point
from migsafe.transaction.verdict import Verdict

LOG = logging.getLogger(__name__)

SOURCE, DESTINATION = release.SOURCE, release.DESTINATION
#: What is done before Nova frees the instance again.
BEFORE_DONE = (Point.RECORDS, Point.DEVICES, Point.EXPORTS)
#: A paused tear-down of the other side is asked for again this soon.
SOON = 2.0


class Participant:
    """Everything migsafe keeps for one ComputeManager.

    :param host: the compute host's name
    :param conf: the [migsafe] group
    :param journal: this host's journal
    :param engine: settles this host's transactions
    :param clients: the cloud
    """

    def __init__(self, host: str, conf: Any, journal: Journal,
                 engine: Engine, clients: Clients) -> None:
        self.host, self.conf = host, conf
        self.journal, self.engine, self.clients = journal, engine, clients
        self.attempts = host_attempt.Registry(conf.recovery_interval)
        self._locks: dict[int, threading.Lock] = {}
        self._locks_lock = threading.Lock()
        #: whether what was begun here without a journal was looked for since the start
        self.looked = False
        #: instances that were ever to be evacuated from here; None until it was asked for
        self.evacuated: set[str] | None = None
        #: instances whose evacuation to here is being carried out
        self.evacuating: set[str] = set()
        #: what recovery has to do first, by the uuid of the migration: the other host is without
        #: migsafe, and what has been seen of the attempt is written nowhere. It says why the
        #: settlement has to wait for it, if so
        self.unwritten: dict[str, Callable[[], str | None]] = {}
        #: set when the ComputeManager is armed
        self.recovery: Any = None
        self.patrol: Any = None
        self.watch: Any = None
        self.heartbeat: Any = None
        self.kept: Any = None
        self.left_devices: Any = None
        self.forget: Callable[[str], None] = lambda instance_uuid: None
        self.survey: Callable[[str], Report]
        self.surroundings: Callable[[str], Surroundings]
        self.guest_facts: Callable[[str, list[tuple[str, int]] | None], dict[str, Any]]
        self.guests: Callable[[], list[str]]
        self.machine: Callable[[], str] = lambda: ''
        self.qemu_ports: Callable[[], tuple[int, int] | None] = lambda: None
        self.way: Callable[[str, str], Path]

    def attempt(self, uuid: str, instance_uuid: str) -> host_attempt.Attempt:
        """A new, not yet registered attempt."""
        return host_attempt.Attempt(uuid, instance_uuid, self.journal)

    @contextlib.contextmanager
    def exclusive(self, tx: Transaction, wait: float) -> Iterator[bool]:
        """One settlement of one transaction at a time in this process."""
        with self._locks_lock:
            lock = self._locks.setdefault(tx.id, threading.Lock())
        got = lock.acquire(timeout=wait) if wait else lock.acquire(
            blocking=False)
        try:
            yield got
        finally:
            if got:
                lock.release()

    def settle(self, tx: Transaction, *, wait: float = 0,
               points: tuple[Point, ...] = tuple(Point)
               ) -> Outcome | None:
        """Bring a transaction forward as far as this host can.

        :param wait: seconds to wait for another settlement of it
        :param points: leave out the last points to keep the instance busy
        :returns: what is left; None when somebody else is at it
        """
        with self.exclusive(tx, wait) as mine, host_attempt.working(None), \
                host_attempt.protected():
            if not mine:
                return None
            now = self.journal.get(tx.uuid, tx.role)
            if now is None or now.state == 'settled':
                return closing.ended(now)
            outcome = (self._settle_destination(now)
                       if now.role == DESTINATION
                       else self.engine.settle(now, points=points))
        if outcome.clean:
            with self._locks_lock:
                self._locks.pop(tx.id, None)
            if points == tuple(Point):
                self.unwritten.pop(tx.uuid, None)
            self.forget_guest(now, outcome)
        return outcome

    def forget_guest(self, tx: Transaction, outcome: Outcome) -> None:
        """What this process remembers of a guest that was to come here; what
        is at work by now has memories of its own, by the same name."""
        if outcome.clean and tx.role == DESTINATION \
                and outcome.verdict is Verdict.ABORT \
                and not self.attempts.busy(tx.instance_uuid):
            self.forget(tx.instance_uuid)

    def _settle_destination(self, tx: Transaction) -> Outcome:
        """The source leads. The destination finds out, or takes over."""
        if not tx.source_host:
            # Nothing was begun here: a release came first, and was cut off.
            if tx.verdict != Verdict.ABORT.value:
                tx = self.journal.verdict(
                    tx, Verdict.ABORT.value, 'rolled back before it arrived here')
            return self.engine.settle_local(
                tx, self.clients.guests.evidence(tx.instance_uuid))
        if self._arriving(tx):
            return self._left(tx, 'the guest is still being received')
        if self.engine.history(tx).guest_on:
            # An operator's request, which is to be answered from evidence.
            return self.engine.settle(tx)
        source = self.clients.peer.describe(tx.source_host, tx.uuid)
        if source is None:
            return self._unheard(tx)
        if not source['known']:
            return self.engine.settle(tx)
        if source['live']:
            return self._left(tx, f'{tx.source_host} is still at work on it')
        if source['state'] != 'settled':
            why = _waits_for(tx, source['verdict'])
            self.journal.postpone(tx, SOON * 2 ** min(tx.attempts, 6), why)
            return Outcome(Verdict.HOLD, {('transaction', ''): why})
        return self._follow(tx, source['verdict'])

    def right_here(self, tx: Transaction) -> bool:
        """Whether the guest has come here and all of it here is right, though its source, which
        has decided so and leads, is not done yet; what waits for this host alone may go on.

        :raises Exception: when the journal, Nova's database or libvirt cannot be asked
        """
        if tx.role != DESTINATION or not tx.source_host:
            return False
        source = self.clients.peer.describe(tx.source_host, tx.uuid)
        return source is not None and source['verdict'] == Verdict.COMMIT.value \
            and not source['live'] and self.engine.right_here(tx, Verdict.COMMIT)

    def _unheard(self, tx: Transaction) -> Outcome:
        """The source says nothing. It may have decided and not be able to say so now; or it has
        no migsafe, and its Nova settles what is not this host's own."""
        if tx.verdict == Verdict.ABORT.value and self._rolling_back(tx) \
                and self.clients.peer.unarmed(tx.source_host, tx.uuid):
            return self.engine.settle_local(
                tx, self.clients.guests.evidence(tx.instance_uuid), alone=True)
        return self.engine.settle(tx, silent=tx.source_host)

    def _rolling_back(self, tx: Transaction) -> bool:
        """Whether Nova may still be at it: what it has recorded says so."""
        now = self.clients.records.instance(tx.instance_uuid)
        return now is not None and (
            now.task_state == MIGRATING
            or self.clients.records.migration_status(tx.uuid) not in TERMINAL)

    def _arriving(self, tx: Transaction) -> bool:
        """Whether libvirt here is receiving the guest, which no answer of the
        source would change: what QEMU has open is not taken away, and libvirt
        ends it itself once its source is gone."""
        if tx.verdict is not None:
            return False
        here = self.clients.guests.evidence(tx.instance_uuid)
        return here.guest is GuestState.IN_TRANSFER

    def _left(self, tx: Transaction, why: str) -> Outcome:
        """Left to the source, which is at work; that is no hold."""
        if self.journal.records(tx, kinds=('request',), limit=1):
            # Somebody waits for an answer.
            self.journal.postpone(tx, self.conf.recovery_interval, why)
        else:
            self.attempts.rest(tx.uuid)
        return Outcome(Verdict.HOLD, {('transaction', ''): why})

    def _follow(self, tx: Transaction, verdict: str) -> Outcome:
        """The source is done. What it decided is weighed like any other word of another host,
        and all of it is looked at: it may have been done before this host was, and then nobody
        else knows what this one has left, in Cinder and in the rows as well."""
        if verdict == Verdict.ABORT.value and tx.verdict == Verdict.COMMIT.value:
            why = (f'{tx.source_host} has settled it as ABORT, but '
                   f'{self.host} as COMMIT; look at both hosts by hand')
            self.journal.postpone(tx, self.conf.recovery_backoff_max, why)
            return Outcome(Verdict.HOLD, {('transaction', ''): why})
        if verdict != Verdict.ABORT.value:
            return self.engine.settle(tx)
        now = self.clients.records.instance(tx.instance_uuid)
        if now is not None and now.host == self.host:
            # The source saw to it that the instance was its own before that, so that something
            # later has brought it here. Where Nova knows of no such thing, or the guest is here,
            # that speaks against its word: then nothing is done, and nothing is said of it.
            here = self.clients.guests.evidence(tx.instance_uuid)
            came = any(move.dest_host == self.host and not move.came_to_nothing
                       for move in self.clients.records.later(tx))
            return closing.ended(self.journal.finish(
                tx, 'the instance has moved on since',
                verdict=None if here.guest.may_run or not came else verdict))
        if FREED not in self.engine.history(tx).notes:
            # What the source has settled it has given back to its owner.
            self.journal.note(tx, FREED)
        return self.engine.settle(tx)

    def release(self, uuid: str, instance_uuid: str,
                verdict: Verdict, novas: bool = False, alone: bool = False) -> dict[str, Any]:
        """Let go of this host's devices and directory of a guest, as the other host asks.

        :param novas: see :func:`migsafe.nova.host.word.refusal`
        :param alone: see :meth:`migsafe.transaction.engine.Engine.settle_local`
        :returns: ``state`` done (see ``kept``), busy or refused (``reason``)
        """
        with host_attempt.protected():
            return release.answer(self, uuid, instance_uuid, verdict, novas, alone)


def _waits_for(tx: Transaction, verdict: str) -> str:
    """Why a destination waits for its source, and what a person may do about it.

    :param verdict: that the source has journalled; empty if none
    """
    held = (' and may need a person: it is on HOLD there' if verdict == Verdict.HOLD.value
            else f' ({verdict} is decided there)' if verdict else '')
    return (f'{tx.source_host} has not settled it yet{held}; `migsafe journal show '
            f'{shell(tx.uuid)}` on {tx.source_host} says what it waits for and what to do, '
            f'`migsafe settle {shell(tx.uuid)}` there tries at once, and {tx.host} follows by '
            'itself')
