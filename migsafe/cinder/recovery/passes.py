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
"""Reconciles exports with Cinder's attachments, at start and when a row is due."""

from __future__ import annotations

import datetime
import functools
import random
import threading
from collections.abc import Iterable, Iterator
from typing import Any

from oslo_log import log as logging
from oslo_utils import timeutils

from migsafe import clock, exceptions
from migsafe.cinder.facts import attachments, calls, services
from migsafe.cinder.recovery import bounded, evidence, sweep, undoing, verdicts
from migsafe.ledger import records
from migsafe.ledger.records import Thing
from migsafe.text import masked

LOG = logging.getLogger(__name__)

#: Seconds that recovery waits for a volume that somebody works on.
LINE_SECONDS = 1.0
PURGE_INTERVAL = datetime.timedelta(hours=24)


class Recovery:
    """Takes up what is due, one volume at a time.

    :param guard: of the backend
    """

    def __init__(self, guard: Any) -> None:
        self._guard = guard
        #: When this process has begun.
        self.since = timeutils.utcnow()
        #: export -> when, by the monotonic clock, it was first not seen to be open any more
        self.closed: dict[tuple[Thing, str], float] = {}
        self._stop, self._wake = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        #: Within the service's own thread; rounds that are asked for are done by who asks.
        self._bounded: bounded.Bounded | None = None
        self._sweep = sweep.Sweep(guard)
        self._undoing = undoing.Undoing(guard)
        self._purged: datetime.datetime | None = None
        self._clock = clock.Steady()

    def start(self) -> None:
        """Begin, in a thread that ends with the process; again is harmless."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name='migsafe-exports', daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End after the volume that is being worked on."""
        self._stop.set()
        self._wake.set()

    def nudge(self) -> None:
        """Something is due now."""
        self._wake.set()

    def _run(self) -> None:
        self._bounded = bounded.Bounded()
        while not self._stop.is_set():
            try:
                self.round(timeutils.utcnow())
            except Exception as error:
                LOG.error('Recovery of exports of %s failed and is tried again: %s',
                          self._guard.backend, masked(error))
            self._wake.wait(undoing.POLL * random.uniform(0.8, 1.2))
            self._wake.clear()

    def round(self, now: datetime.datetime | None = None) -> None:
        """One round: everything of the backend at first, and page by page from time to time; and
        what is due.

        :param now: None: whether due or not
        """
        if not self._guard.standing.is_good():
            return
        if not self._sweep.begun:
            self._all(self._sweep.all())
        self._all(self._due(now))
        # NOTE: after what is due, and a page in each round: it is in no hurry.
        self._all(self._sweep.some())
        self._purge()

    def _due(self, now: datetime.datetime | None) -> Iterator[records.Export]:
        after_id = 0
        longest = self._guard.conf.migsafe.recovery_backoff_max
        while page := self._guard.ledger.due(now, after_id=after_id, longest=longest):
            after_id = page[-1].id
            yield from page

    def _all(self, exports: Iterable[records.Export]) -> None:
        """Each of them; a target after what is mapped through it."""
        targets = []
        for export in exports:
            if self._stop.is_set():
                return
            targets.append(export) if _is_target(export) else self._turn(export)
        for export in targets:
            self._turn(export)

    def _turn(self, export: records.Export) -> None:
        """Look at one row, and go on if its volume hangs: one LUN is not all of them."""
        if self._bounded is None or export.problems():
            self.one(export)
        else:
            self._bounded.run(Thing(export.kind, export.resource),
                              functools.partial(self.one, export))

    def one(self, export: records.Export, *, vouched: bool = False, cut: bool = False) -> None:
        """Look at one row; whatever goes wrong stays with it.

        :param vouched: the operator says that no host has it open, for arrays that cannot tell
        :param cut: take it away whoever has it attached, as its host is to be cut off
        """
        try:
            if export.problems():
                raise exceptions.MigsafeError(f'row {export.id} of the ledger is unreadable: '
                                              f'{export.problems()}')
            thing = Thing(export.kind, export.resource)
            if self._guard.lines.kept(thing) or not self._mine(export):
                return
            if not cut and export.state == 'mapped' and export.due_at is None and self._live(
                    thing, export):
                return
            with self._guard.lines.waiting(thing, LINE_SECONDS):
                self._judge(thing, export, vouched, cut)
        except calls.VolumeBusy:
            return
        except Exception as error:
            LOG.error('An export of %s is held: %s', self._guard.backend, masked(error))
            self._postpone(export, masked(error))

    def _postpone(self, export: records.Export, reason: str) -> None:
        try:
            self._hold(Thing(export.kind, export.resource), export, reason)
        except Exception as error:
            LOG.error('It cannot be postponed either: %s', masked(error))

    @staticmethod
    def _live(thing: Thing, export: records.Export) -> bool:
        """Whether an attachment explains it: what nearly all rows need, in one query."""
        return thing.kind == 'volume' and attachments.explain(
            attachments.of_volume(thing.id), export)

    def _mine(self, export: records.Export) -> bool:
        """Whether no other process can be at work on it."""
        ledger = self._guard.ledger
        if export.state == 'mapped' or export.service == ledger.service:
            return True
        return not services.is_up(export.service)

    def _judge(self, thing: Thing, export: records.Export, vouched: bool, cut: bool) -> None:
        ledger = self._guard.ledger
        known = {row.peer: row for row in ledger.of(thing)}
        export_now = known.get(export.peer)
        if export_now is None or export_now.updated_at != export.updated_at:
            return
        subject = attachments.thing(thing.kind, thing.id)
        if subject is None or not self._guard.has(subject):
            self._elsewhere(thing, export_now, subject)
            return
        if export.state == 'removed' and self._undoing.seen(thing, subject, export_now):
            return
        if cut:
            self.revert(thing, export, subject, 'its host is cut off')
            return
        case = evidence.Case(self._guard, subject, export, list(known.values()))
        verdict, reason = case.decide(vouched)
        if verdict is verdicts.Verdict.REVERT:
            if self.revert(thing, export, subject, reason) and not case.attached:
                self._undoing.target(thing, subject, vouched)
        elif verdict is verdicts.Verdict.HOLD:
            self._hold(thing, export, reason)
        elif export.state != 'mapped' or export.due_at is not None:
            ledger.settle(thing, [export.peer], 'mapped', read=export_now,
                          error='' if export.peer or case.attached else reason)

    def _elsewhere(self, thing: Thing, export: records.Export, subject: Any) -> None:
        """The volume is not there under this id, or not here."""
        heir = self._heir(thing, export, subject)
        if heir is not None:
            other = Thing(thing.kind, str(heir['id']))
            with self._guard.lines.waiting(other, LINE_SECONDS):
                self._guard.ledger.adopt(thing, other)
            LOG.warning('What the ledger has of volume %s is recorded as that of volume %s, which '
                        'was migrated', thing.id, other.id)
        elif subject is not None:
            self._hold(thing, export, 'its volume is in another backend now')
        elif self._outlives(thing, export):
            self._hold(thing, export, 'Cinder has deleted it, but the array still has it mapped: '
                       'unmap it there')
        else:
            self._guard.ledger.settle(thing, [export.peer], 'gone', error='Cinder has deleted it',
                                      read=export)

    def _heir(self, thing: Thing, export: records.Export, subject: Any) -> Any:
        """The volume of this backend that Cinder has made out of another one, if there is one."""
        if thing.kind != 'volume':
            return None
        heir = attachments.named(thing.id)
        having = attachments.of_export(export) if heir is None and subject is None else None
        if having is not None:
            heir = attachments.thing('volume', having[1])
        return heir if heir is not None and heir['id'] != thing.id and self._guard.has(heir) \
            else None

    def _outlives(self, thing: Thing, export: records.Export) -> bool:
        """Whether the array has an export of what Cinder has deleted here."""
        subject = attachments.thing(thing.kind, thing.id, deleted=True)
        return bool(subject is not None and self._guard.has(subject)
                    and self._guard.mapped(subject, export))

    def revert(self, thing: Thing, export: records.Export, subject: Any, reason: str) -> bool:
        """Take an export away, see :meth:`undoing.Undoing.revert`."""
        return self._undoing.revert(thing, export, subject, reason)

    def _hold(self, thing: Thing, export: records.Export, reason: str) -> None:
        if export.error != reason:
            LOG.warning('%s is left as it is: %s', export, reason)
        self._guard.ledger.fail(thing, [export.peer], reason, self._undoing.pause(export),
                                read=export)

    def _purge(self) -> None:
        now, days = timeutils.utcnow(), self._guard.conf.migsafe.retention_days
        # NOTE: to a clock that is a month ahead, all that was ever gone is old.
        if not self._clock.is_steady(now) or not days or (
                self._purged and now - self._purged < PURGE_INTERVAL):
            return
        self._purged = now
        self._guard.ledger.purge(now - datetime.timedelta(days=days))


def _is_target(export: records.Export) -> bool:
    return 'peer' not in export.problems() and not export.peer
