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
"""Opens a database for reading only, and keeps one snapshot of it."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import os
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from migsafe import exceptions
from migsafe.journal import errors

#: Seconds until a server has accepted a connection.
CONNECT = 10
#: Seconds until it has begun to answer a question; that is a page of rows at most.
ANSWER = 300
#: What a session begins with. Without the second, PostgreSQL reads the whole of a table for each
#: page: by its default, which is that of a disk with heads, a thousand look-ups cost more.
SESSION: Mapping[str, Sequence[str]] = {
    'mysql': ('SET SESSION TRANSACTION READ ONLY',),
    'postgresql': ('SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY',
                   'SET SESSION random_page_cost = 0.1'),
}

#: The year of OpenStack's first release: an earlier time is that of a clock that was not set.
EARLIEST = 2010


class Unreadable(exceptions.MigsafeError):
    """A database, or a part of it, could not be read."""

    message = '%(label)s cannot be read: %(reason)s'


class NoTable(exceptions.MigsafeError):
    """A table is not there."""

    message = '%(label)s does not have it'


@dataclasses.dataclass
class Snapshot:
    """One view of one database, in which nothing changes while it is read.

    :ivar label: its name for people, without a password
    """

    label: str
    connection: sa.Connection
    _tables: dict[str, sa.Table | None] = dataclasses.field(default_factory=dict)

    def table(self, name: str) -> sa.Table | None:
        """A table as it is there, or None."""
        if name not in self._tables:
            try:
                with translated(self.label):
                    found = sa.inspect(self.connection).get_columns(name)
                    self._tables[name] = sa.Table(name, sa.MetaData(), *(
                        sa.Column(one['name'], one['type']) for one in found))
            except NoTable:
                self._tables[name] = None
        return self._tables[name]

    def must(self, name: str) -> sa.Table:
        """The same, for one without which nothing can be told.

        :raises Unreadable: there is none
        """
        table = self.table(name)
        if table is None:
            raise Unreadable(label=self.label, reason=f'it has no table {name}')
        return table

    def rows(self, query: sa.Select[Any]) -> list[Any]:
        """All that a query finds; it has a limit of its own.

        :raises Unreadable: the database does not answer, or not that
        """
        with translated(self.label):
            return list(self.connection.execute(query).all())

    def value(self, query: sa.Select[Any]) -> Any:
        """The first value that a query finds.

        :raises Unreadable: the database does not answer, or not that
        """
        with translated(self.label):
            return self.connection.scalar(query)


def columns(table: sa.Table, *names: str) -> list[Any]:
    """Columns to select, as the driver gives them; one that is missing reads as NULL.

    SQLAlchemy would refuse a value that does not fit the type of its column, and one bad row would
    hide all others.
    """
    return [sa.type_coerce(table.c[name], sa.types.NullType()).label(name) if name in table.c
            else sa.null().label(name) for name in names]


def live(table: sa.Table) -> Any:
    """The condition that a row is not marked as deleted: 0 in Nova, false in Cinder."""
    if 'deleted' not in table.c:
        return sa.true()
    column = table.c.deleted
    return column.is_(sa.false()) if isinstance(column.type, sa.Boolean) else column == 0


def moment(value: object) -> datetime.datetime | None:
    """A time in UTC as any driver, or any converter of dumps, gives it; None where it is none."""
    try:
        found = datetime.datetime.fromisoformat(value) if isinstance(value, str) else value
        if not isinstance(found, datetime.datetime) or found.year < EARLIEST:
            return None
        return found.astimezone(datetime.UTC).replace(tzinfo=None) if found.tzinfo else found
    except (ValueError, OverflowError):
        return None


def beats(snapshot: Snapshot, name: str, column: str) -> list[datetime.datetime]:
    """When services have last reported that they are alive.

    :param name: of the table of services; some, such as nova-api, are in it and never report
    """
    table = snapshot.table(name)
    if table is None or column not in table.c:
        return []
    query = sa.select(*columns(table, column, 'report_count')).where(live(table))
    return [found for beat, count in snapshot.rows(query)
            if count != 0 and (found := moment(beat))]


@contextlib.contextmanager
def opened(url: sa.URL) -> Iterator[Snapshot]:
    """Open a database and begin a snapshot.

    :raises Unreadable: it cannot be reached, or what is read from it within fails
    """
    label = errors.label(url)
    with translated(label):
        engine = _engine(url)
        try:
            with engine.connect() as connection:
                yield Snapshot(label, connection)
        finally:
            engine.dispose()


@contextlib.contextmanager
def translated(label: str) -> Iterator[None]:
    """Turn what a driver raises into one line that names the database."""
    try:
        yield
    except sa.exc.NoSuchTableError:
        raise NoTable(label=label) from None
    except (*errors.OUTSIDE, ImportError) as error:
        reason = errors.first_line(error)
        if isinstance(error, ImportError | sa.exc.NoSuchModuleError):
            reason += ('. Its driver is not installed, or the URL names another: it begins with '
                       'mysql+pymysql:// or postgresql+psycopg2://')
        raise Unreadable(label=label, reason=reason) from None


def _engine(url: sa.URL) -> sa.Engine:
    kind = url.get_backend_name()
    if kind == 'sqlite':
        return _file(url)
    options: dict[str, Any] = {'connect_timeout': CONNECT}
    if kind == 'mysql':
        options['read_timeout'] = ANSWER
        if 'charset' not in url.query:
            url = url.update_query_dict({'charset': 'utf8mb4'})
    engine = sa.create_engine(
        url, poolclass=sa.NullPool, isolation_level='REPEATABLE READ', hide_parameters=True,
        connect_args=options)

    @sa.event.listens_for(engine, 'connect')
    def prepare(connection: Any, _record: Any) -> None:
        with connection.cursor() as cursor:
            for statement in SESSION[kind]:
                cursor.execute(statement)
        connection.commit()
    return engine


def _file(url: sa.URL) -> sa.Engine:
    path = os.path.abspath(url.database or '')
    read_only = sa.URL.create('sqlite', database=f'file:{urllib.parse.quote(path)}',
                              query={'mode': 'ro', 'uri': 'true'})
    engine = sa.create_engine(read_only, poolclass=sa.NullPool, hide_parameters=True)

    @sa.event.listens_for(engine, 'connect')
    def prepare(connection: Any, _record: Any) -> None:
        # NOTE: bytes that are no UTF-8 in one row must not hide the others.
        connection.text_factory = lambda raw: raw.decode('utf-8', 'backslashreplace')
        # NOTE: the driver begins no transaction for a SELECT; without one there is no snapshot.
        connection.isolation_level = None

    @sa.event.listens_for(engine, 'begin')
    def begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql('BEGIN')
    return engine
