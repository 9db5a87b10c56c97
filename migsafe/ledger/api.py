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
from typing import Any

import sqlalchemy as sa
from oslo_serialization import jsonutils
from oslo_utils import timeutils

from migsafe import exceptions
from migsafe.journal import values
from migsafe.ledger import moves, records
from migsafe.ledger.records import Thing
from migsafe.ledger.rows import COLUMN, ENDS, PAGE, TABLE, Rows, at_work, clock, of_peer

#: How long after an intent somebody else may look whether it was ever finished. Until then it
#: keeps the other services of a cluster from the volume; whoever is still at work renews it.
PATIENCE = datetime.timedelta(seconds=60)

Judge = Callable[[Sequence[records.Export]], None]
Match = Callable[[records.Export], bool]


class Busy(exceptions.MigsafeError):
    """Another cinder-volume of the cluster is at work on the volume."""

    message = ('%(kind)s %(id)s is busy: the cinder-volume of %(service)s has %(export)s in hand '
               '(%(state)s) and has not ended. Try again when it has. If that service has died, '
               'it stops to count at %(until)s UTC.')


class HostFenced(exceptions.MigsafeError):
    """Nothing is mapped to a host of which an operator has said that it is off."""

    message = ('%(kind)s %(id)s is not mapped to host %(host)s: it or its initiator is fenced '
               '(%(by)s), and what it had is still mapped there. A connector that names it does '
               'not prove that it is back. If it is: migsafe --config-file '
               '/etc/cinder/cinder.conf export unfence --backend %(shell:backend)s '
               '%(shell:fenced)s')


class Ledger(Rows):
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
                if state == 'mapping':
                    changed |= {'attachment': attachment[:64], 'fenced': ''}
                self._put(connection, thing, peer.key, changed, peer.key in there)
        self._store.write(what, work)

    def settle(self, thing: Thing, keys: Iterable[str], state: str, *, intent: str = '',
               attachment: str | None = None, read: records.Export | None = None,
               error: str = '', look_at_target: bool = False, again: float | None = None,
               **facts: Any) -> bool:
        """Record what became of exports: mapped, removed or gone, with what was learned of them.

        Nothing is changed where somebody else has taken the export up meanwhile; the target is
        left alone if none of the peers that are named with it is as it should be.

        :param keys: of the peers
        :param intent: that has ended, and is this process's; that of the state, if not given
        :param attachment: that the intent was for, None for any
        :param read: whatever the intent and whose it was; a row that must not have changed
            since it was read
        :param look_at_target: whether the target has to be looked at, in case that nobody
            removes it now
        :param again: seconds after which it has to be looked at again, None for never
        :param facts: target, lun, identity
        :returns: whether it is recorded for all of the peers
        """
        what = f'the outcome for {thing.kind} {thing.id}'
        values.choice(what, 'state', state, tuple(ENDS))
        changed: dict[str, Any] = {'state': state, 'error': values.prose(error), 'attempts': 0}
        for name, limit in (('target', values.TEXT_LIMIT), ('lun', 64)):
            if name in facts:
                changed[name] = values.prose(facts[name])[:limit]
        if 'identity' in facts:
            changed['identity'] = jsonutils.dumps(sorted(facts['identity']))
        return self._update(what, thing, list(keys), changed, self._match(
            read, (intent or ENDS[state],), attachment), again, look_at_target)

    def fail(self, thing: Thing, keys: Iterable[str], error: str, seconds: float = 0.0, *,
             attachment: str | None = None, read: records.Export | None = None) -> bool:
        """Record that an intent was not carried out, or not seen to be; it is due then.

        Nothing is changed where it is not this process's intent any more; parameters and result
        are those of :meth:`settle`.

        :param attachment: that the export was to be made for, None for any intent
        """
        # NOTE: an error says that nobody is at work on it, see at_work().
        changed = {'error': values.prose(error) or 'it failed', 'attempts': COLUMN.attempts + 1}
        intents = tuple(ENDS.values()) if attachment is None else ('mapping',)
        return self._update(f'the failure for {thing.kind} {thing.id}', thing, list(keys), changed,
                            self._match(read, intents, attachment), seconds)

    def doubt(self, thing: Thing, keys: Iterable[str], error: str) -> bool:
        """Record that what somebody is just making was unmapped meanwhile: it cannot be settled.
        """
        return self._update(f'the doubt about {thing.kind} {thing.id}', thing, list(keys),
                            {'error': values.prose(error)}, lambda row: row.state == 'mapping',
                            0.0)

    def renew(self, thing: Thing, keys: Iterable[str]) -> bool:
        """Say that this process is still at work on its intents; see :class:`Busy`."""
        return self._update(f'the work on {thing.kind} {thing.id}', thing, list(keys),
                            {}, self._match(None, tuple(ENDS.values()), None),
                            PATIENCE.total_seconds(), touch=False)

    def look_at_target(self, thing: Thing) -> None:
        """Have the target looked at later, in case that nobody removes it now."""
        self._store.write(f'that the target of {thing.kind} {thing.id} is looked at',
                          lambda connection: self._look(connection, thing))

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

    def fence(self, host: str, by: str, volumes: Sequence[str] = ()) -> int:
        """Record that a host is fenced, on its exports that are not gone, and that they are due.

        :param by: who says so, and when
        :param volumes: only these; everything that the host has, if none is named
        :returns: on how many
        """
        what = f'that host {ascii(host)[:80]} is fenced'
        values.word(what, 'its name', host, 255, empty=False)
        values.word(what, 'who says so', by, 255, empty=False)
        where = [COLUMN.backend == self.backend, COLUMN.host == host, COLUMN.peer != '',
                 COLUMN.state != 'gone']
        if volumes:
            where += [COLUMN.kind == 'volume', COLUMN.resource.in_(volumes)]
        # NOTE: a time of this host may be one ahead; what is due much too late is due, too.
        now = timeutils.utcnow()
        # NOTE: what somebody is at work on is left to him, see at_work().
        due = sa.case((sa.and_(COLUMN.state.in_(ENDS.values()), COLUMN.error == ''),
                       COLUMN.due_at), else_=sa.literal(now, COLUMN.due_at.type))
        return self._change(what, where, {'fenced': by, 'due_at': due})

    def revived(self, host: str) -> int:
        """Take back that a host is fenced, on everything it has; return on how many."""
        return self._change(f'that host {ascii(host)[:80]} is not fenced',
                            (COLUMN.backend == self.backend, COLUMN.fenced > '',
                             COLUMN.state != 'gone', COLUMN.host == host), {'fenced': ''})

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
        total = 0
        while True:
            def work(connection: sa.Connection) -> int:
                ids = list(connection.execute(
                    sa.select(COLUMN.id).where(
                        COLUMN.backend == self.backend, COLUMN.state == 'gone',
                        COLUMN.due_at.is_(None), COLUMN.updated_at < older_than)
                    .limit(PAGE)).scalars())
                connection.execute(sa.delete(TABLE).where(COLUMN.id.in_(ids),
                                                          COLUMN.state == 'gone'))
                return len(ids)
            count = self._store.write('purging', work)
            total += count
            if count < PAGE:
                return total

    def _change(self, what: str, where: Iterable[Any], changed: dict[str, Any]) -> int:
        def work(connection: sa.Connection) -> int:
            return connection.execute(sa.update(TABLE).where(*where).values(
                **changed, updated_at=timeutils.utcnow())).rowcount
        return self._store.write(what, work)

    def _refuse_fenced(self, connection: sa.Connection, thing: Thing,
                       peers: Sequence[records.Peer]) -> None:
        """Keep what is fenced out, by each name that it could be known by.

        :raises HostFenced: with the mark
        """
        marked = connection.execute(sa.select(
            COLUMN.host, COLUMN.initiators, COLUMN.fenced).where(
                COLUMN.backend == self.backend, COLUMN.fenced > '',
                COLUMN.state != 'gone').distinct()).all()
        for peer in peers if marked else ():
            names = [jsonutils.dumps(name).lower() for name in peer.initiators]
            for host, initiators, by in marked:
                known = initiators.lower()
                if (peer.host and peer.host == host) or any(name in known for name in names):
                    raise HostFenced(
                        kind=thing.kind, id=thing.id, host=ascii(peer.host)[1:-1] or '(not named)',
                        by=values.prose(by), backend=self.service, fenced=host)

    def _match(self, read: records.Export | None, intents: Sequence[str],
               attachment: str | None) -> Match:
        """What a row must be for its outcome to be recorded, see :meth:`settle`."""
        if read is not None:
            return functools.partial(_unchanged, read)
        return lambda row: (
            row.incarnation == self.incarnation and row.state in intents and at_work(row)
            and attachment in (None, row.attachment))

    def _update(self, what: str, thing: Thing, keys: list[str], changed: dict[str, Any],
                match: Match, again: float | None, look_at_target: bool = False, *,
                touch: bool = True) -> bool:
        """Change the rows that match.

        :param again: seconds after which they are due, None for never
        :param touch: whether it counts as a change of theirs
        """
        peers = [key for key in keys if key] or keys

        def work(connection: sa.Connection) -> bool:
            # NOTE: to change the target's row locks it as well.
            if not (look_at_target and self._look(connection, thing)):
                self._lock(connection, thing)
            now = clock(connection)
            times: dict[str, Any] = {
                'due_at': None if again is None else now + datetime.timedelta(seconds=again),
                **({'updated_at': now} if touch else {})}
            found = {row.peer: row.id for row in self._of(connection, thing, keys) if match(row)}
            done = [key for key in peers if key in found]
            if done:
                connection.execute(sa.update(TABLE).where(
                    COLUMN.id.in_(found.values())).values({**changed, **times}))
            return len(done) == len(peers)
        return self._store.write(what, work)

    def _look(self, connection: sa.Connection, thing: Thing) -> int:
        # NOTE: conditions here, and not in WHERE, leave a database without statistics no
        # other index than that of the volume (PostgreSQL read all that is not due).
        due = sa.case((sa.and_(COLUMN.state != 'gone', COLUMN.due_at.is_(None)),
                       sa.literal(clock(connection) + PATIENCE, COLUMN.due_at.type)),
                      else_=COLUMN.due_at)
        return connection.execute(sa.update(TABLE).where(
            self._rows(thing), COLUMN.peer == '').values(due_at=due)).rowcount


def _unchanged(read: records.Export, row: records.Export) -> bool:
    """Whether nobody has changed a row since it was read, as far as it is readable."""
    bad = {**read.problems(), **row.problems()}
    return all(getattr(read, name) == getattr(row, name)
               for name in ('id', 'state', 'incarnation', 'updated_at') if name not in bad)
