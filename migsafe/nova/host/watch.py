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
"""Looks at the live migrations of this host for those that are stuck."""

from __future__ import annotations

import contextvars
import dataclasses
import datetime
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from oslo_log import log as logging

from migsafe.journal import residue
from migsafe.journal.records import Transaction
from migsafe.journal.view import cell
from migsafe.nova.clients.jobs import Jobs, Record, age
from migsafe.nova.host import stuck
from migsafe.nova.host.participant import SOURCE, Participant
from migsafe.text import masked
from migsafe.watch import reasons
from migsafe.watch.migration import Migration
from migsafe.watch.reasons import Look

LOG = logging.getLogger(__name__)

#: Seconds between two looks.
INTERVAL = 30.0
#: As many as are shown of one host.
MOST = 256
#: The lines of a journal that say what was done last.
STEPS = ('intent', 'verdict')
Key = tuple[str, str]


@dataclasses.dataclass
class Memory:
    """What is kept of a migration from one look to the next.

    :param mark: what differs once something has moved
    :param since: when it was first so, in seconds of a clock that nobody sets
    :param at: whether a transfer was going on
    :param at_since: since when, or since when not
    :param told: what was said of it
    """

    mark: Any = None
    since: float = 0.0
    at: Any = None
    at_since: float = 0.0
    told: stuck.Told = dataclasses.field(default_factory=stuck.Told)


class Watch:
    """Logs what is stuck, keeps it for ``migsafe migrations``, and does what the policy says.

    :param participant: this host's participant
    :param jobs: what libvirt and Nova's records say
    :param clock: seconds that nobody sets
    """

    def __init__(self, participant: Participant, jobs: Jobs,
                 clock: Callable[[], float] = time.monotonic) -> None:
        self._participant, self._jobs, self._clock = participant, jobs, clock
        self._memory: dict[Key, Memory] = {}
        self._stop = threading.Event()
        self._stuck = stuck.Stuck(participant, jobs)
        self._latest: tuple[list[Migration], float | None] = [], None

    def start(self) -> None:
        """Begin, in a thread that ends with the process: libvirt may hang."""
        threading.Thread(target=contextvars.copy_context().run, args=(self._run,),
                         name='migsafe-watch', daemon=True).start()

    def stop(self) -> None:
        """End after this look."""
        self._stop.set()

    def _run(self) -> None:
        while not self._stop.wait(INTERVAL * random.uniform(0.8, 1.2)):
            try:
                self.once()
            except Exception as error:
                LOG.error('The live migrations of %s could not be looked at; it is tried again: '
                          '%s', self._participant.host, masked(error))

    def latest(self) -> tuple[list[Migration], float | None]:
        """What was found last, and how many seconds ago; None if nothing was looked at yet."""
        found, when = self._latest
        return found, None if when is None else self._clock() - when

    def once(self) -> list[Migration]:
        """One look at all of them."""
        now, after = self._clock(), float(self._participant.conf.stuck_after)
        found, seen = [], set()
        for look, tx in self._looks(now):
            key = look.migration, look.role
            one, row = reasons.judge(look, self._participant.host, after)
            seen.add(key)
            found.append(one)
            told = self._memory[key].told
            self._stuck.tell(told, one, row)
            self._stuck.act(told, look, tx, now)
        for key in self._memory.keys() - seen:
            self._over(*key, self._memory.pop(key))
        self._latest = found[:MOST], now
        return found

    def wait(self) -> None:
        """Wait until nothing is being done any more."""
        self._stuck.wait()

    def _over(self, migration: str, role: str, memory: Memory) -> None:
        if memory.told.stuck:
            LOG.info('Live migration %s, which was stuck on %s (%s), is over', migration,
                     self._participant.host, role)

    def _looks(self, now: float) -> Iterator[tuple[Look, Transaction | None]]:
        records, journal = self._records(), self._participant.journal
        unsettled = list(residue.unsettled(journal, None, all_hosts=False))[:MOST]
        logs = journal.logs(unsettled, STEPS) if unsettled else {}
        for tx in unsettled:
            its = records.pop(cell(tx, 'uuid'), None) if cell(tx, 'role') == SOURCE else None
            look = _of(tx, _phase(logs[tx.id]), its)
            yield self._look(now, look, its, _moment(tx, 'updated_at'), tx)
        for record in records.values():
            look = Look(record.uuid, record.instance, SOURCE, self._participant.host,
                        record.destination, record.age, record.status)
            if record.here or self._live(look):
                yield self._look(now, look, record, record.written, None)

    def _records(self) -> dict[str, Record]:
        """Nova's, which are of interest for what the journal has not."""
        try:
            return {one.uuid: one for one in self._jobs.records(self._participant.host)}
        except Exception as error:
            LOG.info('Live migrations of %s that its journal has not are not looked at this time: '
                     '%s', self._participant.host, masked(error))
            return {}

    def _live(self, look: Look) -> bool:
        return self._participant.attempts.live(look.migration) or (
            look.role == SOURCE and self._jobs.in_line(look.instance))

    def _look(self, now: float, look: Look, record: Record | None, written: Any,
              tx: Transaction | None) -> tuple[Look, Transaction | None]:
        """A look with what libvirt says, and with what was remembered."""
        status, live = record.status if record else '', self._live(look)
        leaves = look.role == SOURCE and (live or look.unsettled)
        progress = self._jobs.progress(look.instance) if leaves else None
        memory = self._memory.setdefault((look.migration, look.role), Memory())
        mark = written, status, live, progress.mark if progress else None
        if memory.mark != mark:
            memory.mark, memory.since = mark, now
        if memory.at != (live, bool(progress)):
            memory.at, memory.at_since = (live, bool(progress)), now
        # NOTE: in Nova's line it waits for others, and for as long as they take.
        waits = live and not self._participant.attempts.live(look.migration)
        return dataclasses.replace(
            look, status=status, live=live, progress=progress,
            phase='in line' if waits else 'transfer' if progress else look.phase,
            still=0.0 if waits else now - memory.since,
            busy=progress.elapsed if progress else now - memory.at_since,
            allowed=self._jobs.allowed(status, progress) if live and not waits else None,
            peer_down=(live or look.tried) and self._jobs.down(look.peer)), tx


def _of(tx: Transaction, phase: str, record: Record | None) -> Look:
    return Look(
        cell(tx, 'uuid'), cell(tx, 'instance_uuid'), cell(tx, 'role'), cell(tx, 'source_host'),
        cell(tx, 'dest_host'), record.age if record else age(_moment(tx, 'created_at')), phase,
        unsettled=True, tried=cell(tx, 'attempts') != 0 or cell(tx, 'verdict') == 'HOLD',
        held=cell(tx, 'reason') or 'It is not decided yet')


def _moment(tx: Transaction, name: str) -> datetime.datetime | None:
    """A time of a transaction; None for one that cannot be read."""
    return None if name in tx.problems() else getattr(tx, name)


def _phase(log: Iterable[Any]) -> str:
    """What was done last, in the words of the journal."""
    last = max(log, key=lambda line: int(line.id), default=None)
    if last is None:
        return 'begun'
    return f'{cell(last, "kind")} {cell(last, "effect") or cell(last, "status")}'
