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
"""The ledger of one backend."""

import datetime
import functools
from collections.abc import Callable, Iterable, Sequence

import sqlalchemy as sa
from oslo_utils import timeutils

from migsafe import exceptions
from migsafe.journal import values
from migsafe.ledger import fences, moves, outcomes, records
from migsafe.ledger.records import Thing
from migsafe.ledger.rows import COLUMN, ENDS, PAGE, PATIENCE, TABLE, clock, of_peer

Judge = Callable[[Sequence[records.Export]], None]


class Busy(exceptions.MigsafeError):
    """Another cinder-volume of the cluster is at work on the volume."""

    message = ('%(kind)s %(id)s is busy: the cinder-volume of %(service)s has %(export)s in hand '
               '(%(state)s) and has not ended. Try again when it has. If that service has died, '
               'it stops to count at %(until)s UTC.')


class Ledger(outcomes.Outcomes, fences.Fences):
    """Write-ahead ledger of the exports of one backend; each mutating call is one durable commit.
    """

    def intend(self, thing: Thing, peers: Iterable[records.Peer], state: str, *,
               attachment: str = '', judge: Judge | None = None) -> None:
        """Record that exports are about to be made or taken away.

        :param peers: whose; one without a key is the target
        :param state: mapping or unmapping
        :param judge: gets the exports of the volume, and raises if this one must not be made;
            nobody can change them until this is committed
        :raises Busy: another service of the cluster is at work on the volume
        :raises JournalBadValue: something is to be mapped to what cannot name an initiator
        :raises HostFenced: something is to be mapped to a host that is fenced
        """
        what = f'the intent for {thing.kind} {thing.id}'
        values.choice(what, 'state', state, tuple(ENDS.values()))
        wanted = list(peers)
        if state == 'mapping':
            for name in (name for peer in wanted for name in peer.initiators):
                values.word('a connector', 'each initiator', name, 255)
        fields = {'state': state, 'error': '', 'service': self.service,
                  'incarnation': self.incarnation}

        def work(connection: sa.Connection) -> None:
            self._lock(connection, thing)
            known, now = self._of(connection, thing), clock(connection)
            busy = self._busy(known, now)
            if busy is not None:
                raise Busy(kind=thing.kind, id=thing.id, service=busy.service, export=busy,
                           state=busy.state, until=busy.due_at)
            if state == 'mapping':
                self._refuse_fenced(connection, thing, wanted)
            if judge is not None:
                judge([row for row in known if row.peer and row.state != 'gone'])
            there = {row.peer: row for row in known}
            for peer in wanted:
                before = there[peer.key].state if peer.key in there else 'gone'
                # NOTE: an intent that repeats one, or undoes one that has not ended, does not
                # hide what was there before the first.
                if before == state or (before, state) == ('mapping', 'unmapping'):
                    before = there[peer.key].before
                changed = {**fields, **of_peer(peer), 'before': before, 'updated_at': now,
                           'due_at': now + PATIENCE, 'attempts': 0}
                if before != 'gone':
                    changed |= outcomes.reaching(there[peer.key], peer.initiators)
                if state == 'mapping':
                    changed |= {'attachment': attachment[:64], 'fenced': ''}
                self._put(connection, thing, peer.key, changed, peer.key in there)
        self._store.write(what, work)

    def mark_target(self, thing: Thing, mark: str) -> None:
        """Write on the target, in place of an attachment, what the next intent takes away."""
        def work(connection: sa.Connection) -> None:
            self._lock(connection, thing)
            connection.execute(sa.update(TABLE).where(
                self._rows(thing), COLUMN.peer == '').values(
                    attachment=mark[:64], updated_at=timeutils.utcnow()))
        self._store.write(f'that the target of {thing.kind} {thing.id} is marked', work)

    def claim(self, export: records.Export) -> bool:
        """Take an export up to undo it, unless somebody changed it since it was read.

        Another service that is at work on the volume comes first, and so does whatever is mapped
        through a target.
        """
        thing = Thing(export.kind, export.resource)

        def work(connection: sa.Connection) -> bool:
            self._lock(connection, thing)
            known, now = self._of(connection, thing), clock(connection)
            if self._busy(known, now) is not None:
                connection.execute(sa.update(TABLE).where(
                    COLUMN.id == export.id, COLUMN.due_at.is_(None)).values(
                        due_at=now + PATIENCE))
                return False
            if not export.peer and any(row.peer and row.state != 'gone' for row in known):
                return False
            before = export.before if export.state in ENDS.values() else export.state
            done = connection.execute(
                sa.update(TABLE).where(
                    COLUMN.id == export.id, COLUMN.state == export.state,
                    COLUMN.incarnation == export.incarnation,
                    COLUMN.updated_at == export.updated_at)
                .values(state='unmapping', before=before, error='', service=self.service,
                        incarnation=self.incarnation, updated_at=now, due_at=now + PATIENCE))
            return bool(done.rowcount)
        return self._store.write(f'a claim on {export.kind} {export.resource}', work)

    def swap(self, one: Thing, other: Thing) -> None:
        """Record that two volumes have exchanged their ids, as a migration of Cinder ends."""
        def work(connection: sa.Connection) -> None:
            self._lock_both(connection, one, other)
            moves.swap(connection, self._rows(one), self._rows(other), (one.id, other.id))
        self._store.write(f'that {one.kind} {one.id} and {other.id} are exchanged', work)

    def adopt(self, one: Thing, other: Thing) -> None:
        """Record that what is left of one volume is another one's, as far as that has none."""
        def work(connection: sa.Connection) -> None:
            self._lock_both(connection, one, other)
            moves.adopt(connection, self._rows(one), self._rows(other), other.id)
        self._store.write(f'that {one.kind} {one.id} is {other.id} now', work)

    def purge(self, older_than: datetime.datetime) -> int:
        """Delete what is gone since then, page by page; return how many rows."""
        total, after_id = 0, 0
        old = sa.and_(COLUMN.state == 'gone', COLUMN.due_at.is_(None),
                      COLUMN.updated_at < older_than)
        # NOTE: each row that is gone is read once; what is not old yet must not be read again for
        # each page of what is.
        query = sa.select(COLUMN.id, old.label('old')).where(
            COLUMN.backend == self.backend, COLUMN.state == 'gone',
            COLUMN.id > sa.bindparam('after_id')).order_by(COLUMN.id).limit(PAGE)
        while True:
            page = self._store.read('looking for what is gone', functools.partial(
                _rows, query=query, after_id=after_id))
            ids = [row.id for row in page if row.old]
            if ids:
                total += self._store.write('purging', functools.partial(
                    _count, change=sa.delete(TABLE).where(COLUMN.id.in_(ids), old)))
            if len(page) < PAGE:
                return total
            after_id = page[-1].id


def _rows(connection: sa.Connection, query: sa.Select[tuple[int, bool]],
          after_id: int) -> Sequence[sa.Row[tuple[int, bool]]]:
    return connection.execute(query, {'after_id': after_id}).all()


def _count(connection: sa.Connection, change: sa.Delete) -> int:
    return connection.execute(change).rowcount
