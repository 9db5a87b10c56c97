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
"""The journal of one participant."""

import datetime
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import sqlalchemy as sa
from oslo_utils import timeutils

from migsafe.journal import effects, records, rows, upkeep, values, writes

T = TypeVar('T')
Tx = records.Transaction
Outcome = effects.Outcome


class Journal(upkeep.Upkeep):
    """Write-ahead journal of ``host``; each mutating call is one durable commit.

    When a mutating call returns, what it wrote survives a kill and, but for one of ``unsynced``,
    a power cut. When it raises a
    JournalError, nothing was written, but for a JournalWriteUnknown: an intent without an outcome
    then says "may have happened", which is true.
    May be used by any number of native or green threads.

    :param store: an opened store whose schema was checked
    :param host: as in nova.conf; every row carries it
    """

    def _on(self, tx: Tx, what: str, work: Callable[[sa.Connection, writes.Row], T], *,
            late: bool = False) -> T:
        def locked(connection: sa.Connection) -> T:
            row = writes.locked(connection, tx, self.database)
            if not late:
                writes.must_be_open(row, what)
            result = work(connection, row)
            row.save(connection)
            return result
        return self._commit(what, locked)

    def begin(self, uuid: str, role: str, instance_uuid: str, source_host: str, dest_host: str,
              *, source_boot_id: str | None = None, dest_boot_id: str | None = None,
              migration_id: int | None = None,
              captures: Iterable[tuple[str, str, records.Payload]] = ()) -> Tx:
        """Begin a transaction, or return the one that has this uuid and role on this host.

        :param uuid: Nova's migration uuid
        :param role: ``source``, ``destination``, or ``repair`` of ``migsafe repair``
        :param captures: (resource, key, payload) of the state before anything changes
        :raises JournalBadValue: an argument cannot be recorded
        """
        what = 'begin'
        given = {
            'uuid': values.word(what, 'uuid', uuid, 64, empty=False),
            'role': values.choice(what, 'role', role, rows.ROLES),
            'host': self.host,
            'instance_uuid': values.word(what, 'instance_uuid', instance_uuid, 64),
            'source_host': values.word(what, 'source_host', source_host, 255),
            'dest_host': values.word(what, 'dest_host', dest_host, 255),
            'source_boot_id': values.word(what, 'source_boot_id', source_boot_id or '', 64)
            or None,
            'dest_boot_id': values.word(what, 'dest_boot_id', dest_boot_id or '', 64) or None,
            'migration_id': migration_id,
        }
        lines = [(values.word(what, 'resource', resource, 64),
                  values.word(what, 'key', key, 255),
                  values.dump(f'the capture of {resource} {key}', payload))
                 for resource, key, payload in captures]

        def work(connection: sa.Connection) -> Tx:
            return rows.transaction(writes.begin(connection, given, lines), self.database)
        # NOTE: when another thread or process is first, the store sees the duplicate and runs the
        # work again, which then finds the row.
        return self._commit(what, work)

    def intent(self, tx: Tx, resource: str, effect: str, key: str = '',
               payload: records.Payload = None, outcomes: Iterable[Outcome] = ()) -> int:
        """Record that an external effect is about to be caused; return the id of the intent.

        :param outcomes: (intent id, status, payload) of earlier effects, in the same commit
        :raises JournalTransactionSettled: too late; the effect must not be caused
        :raises JournalPayloadTooLarge: the effect must not be caused either
        """
        fields = effects.fields(resource, effect, key, payload)
        earlier = effects.checked(outcomes)

        def work(connection: sa.Connection, row: writes.Row) -> int:
            writes.outcomes(connection, row, earlier)
            return writes.add(connection, row, 'intent', **fields)
        return self._on(tx, effects.named(effect), work)

    def outcome(self, tx: Tx, intent_id: int, status: str,
                payload: records.Payload = None) -> None:
        """Record what became of an intent; also of a transaction that is settled by now.

        :param status: ``ok``, ``error`` or ``unknown``; a later outcome replaces an earlier one
        :raises JournalBadValue: the transaction has no such intent
        """
        self.outcomes(tx, [(intent_id, status, payload)])

    def outcomes(self, tx: Tx, outcomes: Iterable[Outcome]) -> None:
        """The same of several intents, in one commit."""
        checked = effects.checked(outcomes)
        numbers = ', '.join(str(number) for number, _status, _payload in checked)
        self._on(tx, f'the outcome of intent {numbers}', late=True,
                 work=lambda connection, row: writes.outcomes(connection, row, checked))

    def verdict(self, tx: Tx, verdict: str, reason: str, payload: records.Payload = None,
                planned: Sequence[effects.Planned] = ()) -> Tx:
        """Record a verdict, before it is acted on, and return the transaction as it is then.

        A COMMIT or an ABORT that is recorded stays: what comes after it, from another thread
        that looked earlier, is not written, and the transaction that is returned says what
        stands. The same verdict for the same reason again adds no line: a host that stays
        away for weeks must not fill the disk.

        :param planned: intents that are written with the verdict if it stands; they are given
            their ids
        """
        what = 'the verdict'
        values.choice(what, 'verdict', verdict, rows.VERDICTS)
        why, text = values.prose(reason), values.dump(what, payload)
        lines = [effects.fields(plan.resource, plan.effect, plan.key) for plan in planned]
        ids: list[int] = []

        def work(connection: sa.Connection, row: writes.Row) -> Tx:
            ids.clear()
            if not writes.decide(connection, row, verdict):
                return rows.transaction(row, self.database)
            now = writes.last(connection, row, ('verdict',))
            if now is None or (now.status, now.text) != (verdict, why):
                writes.add(connection, row, 'verdict', status=verdict, text=why, payload=text)
            ids.extend(writes.add(connection, row, 'intent', **line) for line in lines)
            row.set(reason=why, updated_at=timeutils.utcnow())
            return rows.transaction(row, self.database)
        now = self._on(tx, what, work)
        for plan, number in zip(planned, ids, strict=False):
            plan.id = number
        return now

    def withdraw(self, tx: Tx, wrong: str, reason: str,
                 payload: records.Payload = None) -> Tx:
        """Take a COMMIT or an ABORT back that evidence has shown to be wrong: it is open again.

        Nothing but an operator's request leads here, see ``migsafe settle --withdraw``.

        :param wrong: the verdict that is taken back; another one stays
        :raises JournalTransactionSettled: too late, it was acted on to the end
        """
        what = 'the withdrawal of a verdict'
        values.choice(what, 'verdict', wrong, writes.DECIDED)
        why, text = values.prose(reason), values.dump(what, payload)

        def work(connection: sa.Connection, row: writes.Row) -> Tx:
            if row.verdict == wrong:
                writes.add(connection, row, 'verdict', status='HOLD', text=why, payload=text)
                row.set(verdict='HOLD', reason=why, updated_at=timeutils.utcnow())
            return rows.transaction(row, self.database)
        return self._on(tx, what, work)

    def settled(self, tx: Tx, resource: str, key: str = '',
                payload: records.Payload = None) -> None:
        """Record that a resource was verified to agree with the verdict."""
        what = f'that {values.prose(resource)[:64]} is settled'
        fields = {'resource': values.word(what, 'resource', resource, 64),
                  'key': values.word(what, 'key', key, 255),
                  'payload': values.dump(what, payload)}
        self._on(tx, what, lambda c, row: writes.add(c, row, 'settled', **fields))

    def hold(self, tx: Tx, resource: str, key: str, reason: str) -> None:
        """Record that something is left in place on purpose; the same again adds no line."""
        what = f'a hold on {values.prose(resource)[:64]}'
        thing = {'resource': values.word(what, 'resource', resource, 64),
                 'key': values.word(what, 'key', key, 255)}
        why = values.prose(reason)

        def work(connection: sa.Connection, row: writes.Row) -> None:
            now = writes.last(connection, row, ('hold', 'settled'), **thing)
            if now is None or (now.kind, now.text) != ('hold', why):
                writes.add(connection, row, 'hold', text=why, **thing)
        self._on(tx, what, work)

    def note(self, tx: Tx, text: str, payload: records.Payload = None) -> None:
        """Record a remark for the operator; also on a transaction that is settled."""
        dumped, remark = values.dump('a note', payload), values.prose(text)
        self._on(tx, 'a note', late=True, work=lambda c, row: writes.add(
            c, row, 'note', text=remark, payload=dumped))

    def request(self, tx: Tx, what: str, payload: records.Payload = None) -> int:
        """Put an operator's request into the log, make the transaction due, return the line's id.

        :param what: for example ``peer_is_dead`` with payload ``{'host': ..., 'user': ...}``
        :raises JournalTransactionSettled: nothing is left to do
        """
        effect = values.word('a request', 'what', what, 255, empty=False)
        text = values.dump('a request', payload)

        def work(connection: sa.Connection, row: writes.Row) -> int:
            row.set(next_attempt_at=timeutils.utcnow())
            return writes.add(connection, row, 'request', effect=effect, payload=text)
        return self._on(tx, 'a request', work)

    def finish(self, tx: Tx, reason: str = '', *, verdict: str | None = None,
               outcomes: Iterable[Outcome] = ()) -> Tx:
        """Mark the transaction as settled; again is harmless.

        :param verdict: recorded with it, where nothing had to be done about it. If the other
            one is recorded already, nothing is written but the outcomes: it is not settled,
            and the transaction that is returned says what stands.
        :param outcomes: of earlier effects, in the same commit
        """
        why, earlier = values.prose(reason), effects.checked(outcomes)
        if verdict is not None:
            values.choice('the end', 'verdict', verdict, rows.VERDICTS)

        def work(connection: sa.Connection, row: writes.Row) -> Tx:
            writes.outcomes(connection, row, earlier)
            if verdict is not None and row.state != 'settled':
                if not writes.decide(connection, row, verdict):
                    return rows.transaction(row, self.database)
                writes.add(connection, row, 'verdict', status=verdict, text=why)
            if row.state != 'settled':
                now = timeutils.utcnow()
                row.set(state='settled', reason=why or row.reason, settled_at=now, updated_at=now)
            return rows.transaction(row, self.database)
        return self._on(tx, 'the end', work, late=True)

    def postpone(self, tx: Tx, seconds: float, reason: str) -> Tx:
        """Count an attempt and make the transaction due again after ``seconds``."""
        why = values.prose(reason)

        def work(connection: sa.Connection, row: writes.Row) -> Tx:
            now = timeutils.utcnow()
            row.set(attempts=row.attempts + 1, reason=why, updated_at=now,
                    next_attempt_at=now + datetime.timedelta(seconds=seconds))
            return rows.transaction(row, self.database)
        return self._on(tx, 'a postponement', work)
