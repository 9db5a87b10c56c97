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
"""Carries a plan out as a transaction: what was to be done is known before it is done.

All rows of an instance are written in one transaction of its database. A repair that was killed is
found in the journal by the next one, which needs no more than to see which of the two it was: all
rows are written, or none. It never writes rows of a plan that it has not made itself: what its
evidence was is not known any more. What a service was to be asked for after the rows it asks for
only if a plan that it makes itself has the same. Then it gives the instance back.
"""

from __future__ import annotations

import dataclasses
import datetime
import enum
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from oslo_utils import uuidutils

from migsafe.audit.activity import Spans
from migsafe.audit.facts import Life
from migsafe.audit.opening import Sources
from migsafe.audit.readers import database
from migsafe.audit.report import Asked
from migsafe.journal import errors
from migsafe.journal.api import Journal
from migsafe.journal.records import Transaction
from migsafe.repair import acts, carrying, ground, locks, plan, writing
from migsafe.repair.acts import Act, State
from migsafe.repair.hosts import Ask, Undecided
from migsafe.repair.plan import Plan
from migsafe.repair.requests import Call, Request, Unanswered

ROLE, PLAN, RECORDS, LOCK = 'repair', 'plan', 'records', 'instance_lock'
REQUESTS = 'requests'


class Result(enum.Enum):
    """What became of a plan."""

    REPAIRED = 'repaired'
    CHANGED = 'changed'
    UNVERIFIED = 'unverified'


@dataclasses.dataclass(frozen=True)
class Planner:
    """Plans, and writes nothing.

    :ivar ask: a host for its word
    :ivar local: the time of this machine, UTC
    :ivar call: asks services; None: there is no account for it
    :ivar volumes: instance -> volumes of its attachments, as far as an audit has found more than
        its rows name; without an entry the whole of Cinder is read
    """

    sources: Sources
    asked: Asked
    spans: Spans
    ask: Ask
    local: Callable[[], datetime.datetime]
    call: Call | None
    volumes: dict[str, frozenset[str]] = dataclasses.field(default_factory=dict)

    def plan(self, instance: str, settled: bool = False) -> Plan | None:
        """What is to be done about an instance; None if it is not there."""
        now = self.look(instance, settled)
        return None if now is None else plan.made(now, self.ask, self.asked, self.call)

    def look(self, instance: str, settled: bool = False) -> ground.Ground | None:
        """An instance as it is now."""
        return ground.read(self.sources, instance, self.spans, self.local(), settled,
                           self.volumes.get(instance))


@dataclasses.dataclass(frozen=True)
class Repair(Planner):
    """Carries plans out."""

    journal: Journal = dataclasses.field(kw_only=True)

    def carry_out(self, wanted: Plan) -> tuple[Result, str]:
        """Make a plan true, if it still is what would be planned; say what became of it.

        :raises Unreadable: a database has failed; the next run ends what was begun
        """
        instance, cell = wanted.ground.case.instance, wanted.ground.cell
        tx = self.journal.begin(
            uuidutils.generate_uuid(), ROLE, instance.uuid, instance.host or '', '',
            captures=[(PLAN, errors.label(cell), [_payload(one) for one in wanted.acts]),
                      (REQUESTS, '', [dataclasses.asdict(one) for one in wanted.requests])])
        try:
            if instance.life is Life.LIVE:
                self._locked(tx, cell)
            now = self.plan(instance.uuid)
            if now is None or (now.acts, now.requests) != (wanted.acts, wanted.requests):
                raise Undecided(CHANGED)
            self._write(tx, cell, wanted)
        except Undecided as error:
            self._end(tx, cell, 'ABORT', str(error))
            return Result.CHANGED, str(error)
        left = self._ask_for(tx, wanted.requests) or self._left(wanted)
        self._end(tx, cell, 'COMMIT', left or 'verified')
        return (Result.UNVERIFIED, left) if left else (Result.REPAIRED, '')

    def _ask_for(self, tx: Transaction, requests: tuple[Request, ...]) -> str:
        """Ask for what a plan of this moment still has; why not all is done, or nothing."""
        for one in requests:
            try:
                # NOTE: the rows were changed just now by this transaction itself.
                now = self.plan(tx.instance_uuid, settled=True)
                if now is None or one not in now.requests or self.call is None:
                    return f'{CHANGED} Not done: {one.says}'
                intent = self.journal.intent(tx, one.kind, 'ask', one.key)
                done, why = carrying.carry_out(one, self.call)
                self.journal.outcome(tx, intent, 'ok' if done is State.AFTER else 'error')
            except (Undecided, Unanswered) as error:
                return f'Not done: {one.says} {error}'
            if done is not State.AFTER:
                return f'Not done: {one.says} {why}'
        return ''

    def _locked(self, tx: Transaction, cell: sa.URL) -> None:
        intent = self.journal.intent(tx, LOCK, 'lock')
        with writing.changing(cell) as snapshot:
            locks.take(snapshot, tx.instance_uuid, tx.uuid)
        self.journal.outcome(tx, intent, 'ok')

    def _write(self, tx: Transaction, cell: sa.URL, wanted: Plan) -> None:
        if not wanted.acts:
            return
        intent = self.journal.intent(tx, RECORDS, 'write')
        with writing.changing(cell) as snapshot:
            found = acts.carry_out(snapshot, wanted.acts)
        self.journal.outcome(tx, intent, 'ok' if found is State.BEFORE else 'error')
        if found is not State.BEFORE:
            raise Undecided('A row is not any more what it was when it was judged. Plan again.')

    def _left(self, wanted: Plan) -> str:
        """What of the plan is not true, read once more; empty if all is."""
        now = self.look(wanted.ground.case.instance.uuid, settled=True)
        if now is None and wanted.ground.case.instance.life is Life.LIVE:
            return 'The instance is not to be found any more.'
        with database.opened(wanted.ground.cell) as snapshot:
            if acts.state(snapshot, wanted.acts) is not State.AFTER:
                return 'A row has been changed since it was written.'
        # NOTE: of an instance that is deleted nothing is seen but what was found.
        there = {one.identity for one in now.findings} if now else set()
        return '; '.join(one.what for one in wanted.mended if one.identity in there)

    def _end(self, tx: Transaction, cell: sa.URL, verdict: str, reason: str) -> None:
        intent = self.journal.intent(tx, LOCK, 'unlock')
        with writing.changing(cell) as snapshot:
            locks.give_back(snapshot, tx.instance_uuid, tx.uuid)
        self.journal.finish(tx, reason, verdict=verdict, outcomes=[(intent, 'ok', None)])

    def recover(self) -> list[tuple[str, bool, str]]:
        """End what was killed; of each the instance, whether all is well, and what became of it.

        :raises Unreadable: a database has failed
        """
        return [(tx.instance_uuid, *self._recovered(tx)) for tx in self.journal.unsettled(
            limit=1000) if tx.role == ROLE]

    def _recovered(self, tx: Transaction) -> tuple[bool, str]:
        records = {one.resource: one for one in self.journal.records(tx)}
        captured = records[PLAN]
        cell = next((url for url in self.sources.nova if errors.label(url) == captured.key), None)
        if cell is None:
            return False, (
                f'It was killed at {captured.key}, and that was not given by this name. The '
                'instance may still be locked. Name it with --nova-database as it was named then.')
        wanted = [Act(**one, says='') for one in _list(captured.payload)]
        with writing.changing(cell) as snapshot:
            found = acts.state(snapshot, wanted)
        says, left = SAYS[found] if wanted else '', ''
        if found is State.AFTER and REQUESTS in records:
            requests = tuple(Request(**one) for one in _list(records[REQUESTS].payload))
            left = self._asked_again(tx, requests)
            says += ' ' + (left or ' '.join(one.says for one in requests))
        self._end(tx, cell, 'COMMIT' if found is State.AFTER else 'ABORT', says.strip())
        return found is not State.OTHER and not left, says.strip()

    def _asked_again(self, tx: Transaction, requests: tuple[Request, ...]) -> str:
        """End what services were to be asked for; why it is not ended, or nothing."""
        try:
            if requests and self.call is None:
                return f'Of what services were asked for nothing is known. {NO_ACCOUNT}'
            return self._ask_for(tx, tuple(
                one for one in requests if self.call and carrying.KINDS[one.kind].state(
                    one, self.call) is not State.AFTER))
        except (Undecided, Unanswered) as error:
            return str(error)


CHANGED = ('What was found, or what the hosts say, has changed since it was planned. Plan again.')
NO_ACCOUNT = 'Name an account with --os-cloud and plan again.'
#: How the rows of a repair that was killed are -> what that means.
SAYS = {
    State.AFTER: 'It was killed after its rows were written; they are as they were planned.',
    State.BEFORE: 'It was killed before anything was written.',
    State.OTHER: 'It was killed, and a row is neither as it was nor as it was planned: somebody '
    'has changed it since.',
}


def _payload(act: Act) -> dict[str, Any]:
    return {'table': act.table, 'key': act.key, 'before': dict(act.before),
            'after': dict(act.after)}


def _list(payload: Any) -> list[Any]:
    return payload if isinstance(payload, list) else []
