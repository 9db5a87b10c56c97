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
"""What became of the intents of a ledger."""

import datetime
import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import sqlalchemy as sa
from oslo_serialization import jsonutils

from migsafe.journal import values
from migsafe.ledger import records, statements
from migsafe.ledger.records import Thing
from migsafe.ledger.rows import COLUMN, ENDS, PATIENCE, TABLE, Rows, at_work, clock

Match = Callable[[records.Export], bool]


class Outcomes(Rows):
    """Records them; nothing is changed where somebody else has taken an export up meanwhile."""

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

    def reaches(self, thing: Thing, key: str, initiators: Iterable[str]) -> bool:
        """Record what this process's intent has mapped to beside what the connector names."""
        def work(connection: sa.Connection) -> bool:
            self._lock(connection, thing)
            match = self._match(None, ('mapping',), None)
            found = [row for row in self._of(connection, thing, [key]) if match(row)]
            for row in found:
                connection.execute(sa.update(TABLE).where(COLUMN.id == row.id).values(
                    reaching(row, initiators)))
            return bool(found)
        return self._store.write(f'the ports of {thing.kind} {thing.id}', work)

    def look_at_target(self, thing: Thing) -> None:
        """Have the target looked at later, in case that nobody removes it now."""
        self._store.write(f'that the target of {thing.kind} {thing.id} is looked at',
                          lambda connection: self._look(connection, thing))

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
        return connection.execute(statements.LOOK, statements.of(
            self.backend, thing, due=clock(connection) + PATIENCE)).rowcount


def reaching(row: records.Export, initiators: Iterable[str]) -> dict[str, Any]:
    """The column of what an export was made for, and what else it goes to."""
    names = {str(name).lower(): str(name) for name in (*row.initiators, *initiators)}
    return {'initiators': jsonutils.dumps(sorted(names.values()))}


def _unchanged(read: records.Export, row: records.Export) -> bool:
    """Whether nobody has changed a row since it was read, as far as it is readable."""
    bad = {**read.problems(), **row.problems()}
    return all(getattr(read, name) == getattr(row, name)
               for name in ('id', 'state', 'incarnation', 'updated_at') if name not in bad)
