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

The row of the last write that was answered has to be there, too. A failover to a replica that was
behind, or a backup that was restored, would have this process go on with what is not so any more.
"""

import collections
import datetime
import time
import uuid

import sqlalchemy as sa
from oslo_db import exception as db_exception
from oslo_utils import timeutils

from migsafe import exceptions
from migsafe.journal import errors

#: How many rows of writes that were answered may lie there before they are deleted.
KEPT = 50
#: Age of rows that nobody will ask for, because the process that wrote them has ended.
FORGOTTEN = datetime.timedelta(days=7)
#: Seconds after which the last write may be forgotten, and is not asked for any more.
REMEMBERED = FORGOTTEN.total_seconds() / 7


class Tokens:
    """The rows of one process. Safe under native threads and green threads.

    :param table: its name
    :param host: each row carries it
    :param advice: for messages about its kind of database
    """

    def __init__(self, table: str, host: str, advice: errors.Advice = errors.JOURNAL) -> None:
        self._host = host
        self._command = advice.command('distrust')
        self._table = sa.table(table, sa.column('token', sa.String), sa.column('host', sa.String),
                               sa.column('written_at', sa.DateTime))
        self._put_row = sa.insert(self._table)
        self._answered: collections.deque[str] = collections.deque()
        self._tidied = False
        # its key, and the second of the monotonic clock
        self._last: tuple[str, float] | None = None
        self._rewound = False

    def put(self, connection: sa.Connection) -> str:
        """Insert a row in the transaction of the write, and return its key.

        :raises JournalRewound: the last one that was answered is not there
        """
        old = self._old(connection)
        if len(self._answered) > KEPT:
            old += [self._answered.popleft() for _ in range(KEPT)]
        if old:
            # NOTE: keys, not a range: a range locks what others are about to insert.
            connection.execute(sa.delete(self._table).where(self._table.c.token.in_(old)))
        token = uuid.uuid4().hex
        self._insert(connection, token)
        self.check_last(connection)
        return token

    def check_last(self, connection: sa.Connection) -> None:
        """Look whether the last write that was answered is there.

        :raises JournalRewound: it is not
        """
        # NOTE: what was once found lost is not forgotten as time passes: a restart ends it.
        while (last := self._last) and (
                self._rewound or time.monotonic() - last[1] < REMEMBERED):
            query = sa.select(self._table.c.token).where(self._table.c.token == last[0])
            if connection.dialect.name != 'postgresql':
                # NOTE: as it is now, not as it was when InnoDB made the snapshot of this
                # transaction; PostgreSQL looks anew with each statement.
                query = query.with_for_update(read=True)
            if connection.scalar(query) is not None:
                return
            # NOTE: other threads have written so much meanwhile that it was deleted.
            if self._last == last:
                self._rewound = True
                raise exceptions.JournalRewound(
                    database=errors.label(connection.engine.url), command=self._command)

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
        # NOTE: in this order: a key that may be deleted is not the last one any more.
        self._last = token, time.monotonic()
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
