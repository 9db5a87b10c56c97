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
"""Opens a database of Nova to write in, for one short transaction at a time."""

from __future__ import annotations

import contextlib
import os
import urllib.parse
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from migsafe.audit.readers import database
from migsafe.audit.readers.database import Snapshot
from migsafe.journal import errors

#: Seconds that a row of another transaction is waited for.
PATIENCE = 30


@contextlib.contextmanager
def changing(url: sa.URL) -> Iterator[Snapshot]:
    """One transaction: what is done within is written whole at the end, or not at all.

    :raises Unreadable: it cannot be reached, or what is done within fails
    """
    label = errors.label(url)
    with database.translated(label):
        engine = _engine(url)
        try:
            with engine.begin() as connection:
                yield Snapshot(label, connection)
        finally:
            engine.dispose()


def lock(snapshot: Snapshot, table: sa.Table, key: int) -> None:
    """Keep others from changing a row until the transaction has ended."""
    snapshot.connection.execute(
        sa.select(table.c.id).where(table.c.id == key).with_for_update())


def _engine(url: sa.URL) -> sa.Engine:
    kind = url.get_backend_name()
    if kind == 'sqlite':
        return _file(url)
    options: dict[str, Any] = {'connect_timeout': database.CONNECT}
    if kind == 'mysql':
        options |= {'read_timeout': PATIENCE, 'write_timeout': PATIENCE}
        if 'charset' not in url.query:
            url = url.update_query_dict({'charset': 'utf8mb4'})
    # NOTE: a row that was locked is read as it is now, not as it was when the transaction began.
    return sa.create_engine(url, poolclass=sa.NullPool, isolation_level='READ COMMITTED',
                            hide_parameters=True, connect_args=options)


def _file(url: sa.URL) -> sa.Engine:
    path = os.path.abspath(url.database or '')
    there = sa.URL.create('sqlite', database=f'file:{urllib.parse.quote(path)}',
                          query={'mode': 'rw', 'uri': 'true'})
    engine = sa.create_engine(there, poolclass=sa.NullPool, hide_parameters=True,
                              connect_args={'timeout': PATIENCE})

    @sa.event.listens_for(engine, 'connect')
    def prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None

    @sa.event.listens_for(engine, 'begin')
    def begin(connection: sa.Connection) -> None:
        # NOTE: the whole file is locked, where a server locks rows.
        connection.exec_driver_sql('BEGIN IMMEDIATE')
    return engine
