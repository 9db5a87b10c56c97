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
"""The rows of one backend in the ledger: reading them, and the lock of a volume's."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from oslo_serialization import jsonutils
from oslo_utils import timeutils

from migsafe.journal.store import Store
from migsafe.ledger import models, records, statements
from migsafe.ledger.records import Thing

TABLE = models.EXPORTS
COLUMN = TABLE.c
PAGE = 500
#: How long after an intent somebody else may look whether it was ever finished. Until then it
#: keeps the other services of a cluster from the volume; whoever is still at work renews it.
PATIENCE = datetime.timedelta(seconds=60)
#: Longest pause that is not by [migsafe] recovery_backoff_max, such as an inspector's lag.
LONGEST = datetime.timedelta(hours=1)
#: What an intent ends in -> the intent.
ENDS = {'mapped': 'mapping', 'removed': 'unmapping', 'gone': 'unmapping'}


class Rows:
    """The rows.

    :param store: an opened store whose schema was checked
    :param backend: cluster or host; all that serve it see the same rows
    :param service: host of this cinder-volume
    :param incarnation: of this process; a service that starts again has another one
    """

    def __init__(self, store: Store, backend: str, service: str,
                 incarnation: str) -> None:
        self._store = store
        self.backend, self.service, self.incarnation = backend, service, incarnation
        #: See records.counting(); whoever knows the driver of the backend sets it.
        self.forms: Callable[[], Collection[str]] = lambda: frozenset(records.FORMS)

    @property
    def database(self) -> str:
        """Path of the file, or URL without the password."""
        return self._store.database

    def close(self) -> None:
        """Let go of the database."""
        self._store.close()

    def of(self, thing: Thing) -> list[records.Export]:
        """Return all rows of a volume or snapshot, its target first."""
        return self._store.read(f'reading the exports of {thing.kind} {thing.id}',
                                lambda connection: self._of(connection, thing))

    def of_volumes(self, identifiers: Sequence[str]) -> dict[str, list[records.Export]]:
        """Return the rows of many volumes."""
        query = sa.select(TABLE).where(COLUMN.backend == self.backend, COLUMN.kind == 'volume',
                                       COLUMN.resource.in_(identifiers)).order_by(COLUMN.id)
        found: dict[str, list[records.Export]] = {}
        read = self._store.read('reading exports', lambda connection: [
            self._export(row) for row in connection.execute(query)])
        for row in read:
            found.setdefault(row.resource, []).append(row)
        return found

    def has_attachment(self, identifier: str) -> bool:
        """Whether any export that is not gone was made for an attachment."""
        query = sa.select(COLUMN.id).where(
            COLUMN.backend == self.backend, COLUMN.attachment == identifier,
            COLUMN.state != 'gone').limit(1)
        return self._store.read('reading exports', lambda connection: connection.execute(
            query).first() is not None)

    def busy(self, thing: Thing) -> bool:
        """Whether an intent would be refused with :class:`Busy` now."""
        return self._store.read(
            f'reading the exports of {thing.kind} {thing.id}', lambda connection: self._busy(
                self._of(connection, thing), clock(connection))) is not None

    def due(self, now: datetime.datetime | None = None, limit: int = PAGE,
            after_id: int = 0, longest: float | None = None) -> list[records.Export]:
        """Return a page of what is to be looked at again, by id; None: whether due or not.

        :param longest: seconds of the longest pause; what is due much later was written by a
            clock that was ahead, and is due, too
        """
        where: sa.ColumnElement[bool] = COLUMN.due_at.isnot(None)
        if now:
            where = COLUMN.due_at <= now
            if longest is not None:
                where = sa.or_(where, COLUMN.due_at > now + max(
                    datetime.timedelta(seconds=1.2 * longest), LONGEST))
        return self._page(where, after_id, limit)

    def present(self, after_id: int = 0, limit: int = PAGE,
                host: str = '') -> list[records.Export]:
        """Return a page of what is not gone, by id; of one host only, if it is named."""
        where = COLUMN.state != 'gone'
        if host:
            where = sa.and_(where, COLUMN.host == host, COLUMN.peer != '')
        return self._page(where, after_id, limit)

    def exports(self) -> Iterator[records.Export]:
        """Give all rows of the backend that are not gone, page by page."""
        after_id = 0
        while page := self.present(after_id, PAGE):
            yield from page
            after_id = page[-1].id

    def _page(self, where: Any, after_id: int, limit: int) -> list[records.Export]:
        query = sa.select(TABLE).where(COLUMN.backend == self.backend, COLUMN.id > after_id,
                                       where).order_by(COLUMN.id).limit(limit)
        return self._store.read('reading exports', lambda connection: [
            self._export(row) for row in connection.execute(query)])

    def _export(self, row: Any) -> records.Export:
        return records.export(row, self.database, self.forms())

    def _rows(self, thing: Thing) -> Any:
        return sa.and_(COLUMN.backend == self.backend, COLUMN.kind == thing.kind,
                       COLUMN.resource == thing.id)

    def _of(self, connection: sa.Connection, thing: Thing,
            keys: Sequence[str] | None = None) -> list[records.Export]:
        found = connection.execute(statements.ALL, statements.of(self.backend, thing))
        return [self._export(row) for row in found if keys is None or row.peer in keys]

    def _busy(self, known: Iterable[records.Export],
              now: datetime.datetime) -> records.Export | None:
        """What another service is at work on.

        This service's own calls stand in line, and what a former process of it has left is
        nobody's.
        """
        return next((row for row in known if row.service != self.service and at_work(row)
                     and row.due_at is not None and row.due_at > now), None)

    def _lock(self, connection: sa.Connection, thing: Thing) -> None:
        """Let one writer at a time at the rows of a volume, also where none is there yet."""
        found = connection.execute(
            statements.LOCK, statements.of(self.backend, thing)).scalar_one_or_none()
        if found is None:
            now = clock(connection)
            self._put(connection, thing, '', {
                **of_peer(records.Peer()), 'state': 'gone', 'before': 'gone', 'error': '',
                'service': self.service, 'incarnation': self.incarnation, 'attempts': 0,
                'due_at': None, 'updated_at': now}, False)

    def _lock_both(self, connection: sa.Connection, *things: Thing) -> None:
        for thing in sorted(things, key=lambda one: one.id):
            self._lock(connection, thing)

    def _put(self, connection: sa.Connection, thing: Thing, key: str, changed: dict[str, Any],
             there: bool) -> None:
        if there:
            connection.execute(statements.CHANGE, changed | statements.of(
                self.backend, thing, of_peer=key))
            return
        connection.execute(statements.INSERT, {
            'backend': self.backend, 'kind': thing.kind, 'resource': thing.id, 'peer': key,
            'attachment': '', 'target': '', 'lun': '', 'identity': '[]', 'fenced': '',
            'created_at': changed['updated_at'], **changed})


def clock(connection: sa.Connection) -> datetime.datetime:
    """Return the time, naive UTC: a server's own, so that all its services go by one clock."""
    query = statements.CLOCKS.get(connection.dialect.name)
    found: datetime.datetime = (timeutils.utcnow() if query is None else
                                connection.execute(query).scalar_one())
    return found


def at_work(row: records.Export) -> bool:
    """Whether its intent has neither an outcome nor failed."""
    return row.state in ENDS.values() and not row.error


def of_peer(peer: records.Peer) -> dict[str, Any]:
    """What a row has of its peer."""
    return {'host': peer.host, 'initiators': jsonutils.dumps(list(peer.initiators)),
            'connector': peer.connector}
