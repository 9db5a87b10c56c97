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
"""Marks each write to a server, so that a lost answer to its COMMIT can be asked for again.

A connection that breaks during a COMMIT leaves open whether the server has carried it out. Each
write therefore inserts a row with a key of its own, in the same transaction: it is there if the
write is, and not otherwise.
"""

import collections
import datetime
import uuid

import sqlalchemy as sa
from oslo_db import exception as db_exception
from oslo_utils import timeutils

#: How many rows of writes that were answered may lie there before they are deleted.
KEPT = 50
#: Age of rows that nobody will ask for, because the process that wrote them has ended.
FORGOTTEN = datetime.timedelta(days=7)


class Tokens:
    """The rows of one process. Safe under native threads and green threads.

    :param table: its name
    :param host: each row carries it
    """

    def __init__(self, table: str, host: str) -> None:
        self._host = host
        self._table = sa.table(table, sa.column('token', sa.String), sa.column('host', sa.String),
                               sa.column('written_at', sa.DateTime))
        self._put_row = sa.insert(self._table)
        self._answered: collections.deque[str] = collections.deque()
        self._tidied = False

    def put(self, connection: sa.Connection) -> str:
        """Insert a row in the transaction of the write, and return its key."""
        old = self._old(connection)
        if len(self._answered) >= KEPT:
            old += [self._answered.popleft() for _ in range(KEPT)]
        if old:
            # NOTE: keys, not a range: a range locks what others are about to insert.
            connection.execute(sa.delete(self._table).where(self._table.c.token.in_(old)))
        token = uuid.uuid4().hex
        self._insert(connection, token)
        return token

    def _old(self, connection: sa.Connection) -> list[str]:
        if self._tidied:
            return []
        self._tidied = True
        column = self._table.c
        return list(connection.scalars(sa.select(column.token).where(
            column.host == self._host, column.written_at < timeutils.utcnow() - FORGOTTEN)
            .limit(10 * KEPT)))

    def answered(self, token: str) -> None:
        """Let a row go: nobody has to ask for it any more."""
        self._answered.append(token)

    def is_there(self, engine: sa.Engine, token: str) -> bool:
        """Tell for good whether a write was committed.

        The same key is inserted once more, and rolled back. The database makes this wait for a
        session that holds the key and has not ended, so that what is not there cannot come later.

        :raises Exception: of the database or its driver; it is not known then
        """
        with engine.connect() as connection:
            transaction = connection.begin()
            try:
                self._insert(connection, token)
            except db_exception.DBDuplicateEntry:
                return True
            finally:
                transaction.rollback()
        return False

    def _insert(self, connection: sa.Connection, token: str) -> None:
        connection.execute(self._put_row, {
            'token': token, 'host': self._host, 'written_at': timeutils.utcnow()})
