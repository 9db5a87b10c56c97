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
"""The SQLAlchemy engine of a journal, with what durability needs set on every connection."""

import contextlib
import urllib.parse
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from oslo_db.sqlalchemy import engines

from migsafe import exceptions
from migsafe.journal import errors

WRITE = {'migsafe_write': True}
# NOTE: while SQLite waits for a lock it stops the whole thread, and with it every green thread,
# perhaps the very one that holds the lock. It waits this long only; the store then sleeps and
# tries again, which lets the others run.
BUSY_MILLISECONDS = 50
# NOTE: oslo.db gives SQLite a pool that takes none of these. There is no overflow: its connections
# are closed after each use, and a new one reads all CA certificates (tens of ms).
_POOL = {'max_pool_size': 25, 'max_overflow': 0, 'pool_timeout': 30}
# Seconds that a writer waits for the row of a transaction on a server, and after which a server
# ends a session that holds one and says nothing.
# NOTE: a host that lost power in the middle of a commit leaves such a session behind. Without
# the limit it would find its own transactions locked after the reboot, until TCP gives up after
# two hours.
LOCK_SECONDS = 10
IDLE_SECONDS = 20
# Bits of wsrep_sync_wait: 1 reads, 2 UPDATE and DELETE, 4 INSERT (mariadb.com/kb).
ALL_WAIT = 1 | 2 | 4
#: Seconds that a connection to a server may take to be made.
CONNECT_SECONDS = 10
READ_PRAGMAS = (f'busy_timeout = {BUSY_MILLISECONDS}', 'trusted_schema = OFF',
                'cell_size_check = ON')
_PRAGMAS = (
    *READ_PRAGMAS,
    # NOTE: in WAL mode NORMAL loses the last commits on a power cut (sqlite.org/pragma.html).
    'synchronous = FULL',
    # NOTE: what is deleted or overwritten is a secret, and would stay in the file's free space.
    'secure_delete = ON',
)


def create(url: sa.URL) -> sa.Engine:
    """Return an engine for ``url``; it connects when it is first used.

    Options of a [database] section play no part in it: nova.conf's may point elsewhere.
    """
    if url.get_backend_name() == 'mysql' and 'charset' not in url.query:
        url = url.update_query_dict({'charset': 'utf8mb4'})
    sqlite = url.get_backend_name() == 'sqlite'
    if not sqlite and 'connect_timeout' not in url.query:
        # NOTE: a host that answers nothing would else keep a caller for minutes (libpq waits as
        # long as the kernel does); both drivers call it so, in seconds.
        url = url.update_query_dict({'connect_timeout': str(CONNECT_SECONDS)})
    engine: sa.Engine = engines.create_engine(
        url.render_as_string(hide_password=False), sqlite_fk=True, max_retries=0,
        mysql_sql_mode='TRADITIONAL', **({} if sqlite else _POOL))
    # NOTE: without this the text of an SQLAlchemy error holds the values, secrets included.
    engine.hide_parameters = True
    listen = {'sqlite': _listen_sqlite, 'mysql': _listen_mysql, 'postgresql': _listen_postgresql}
    listen.get(url.get_backend_name(), _ignore)(engine)
    return engine


def _ignore(engine: sa.Engine) -> None:
    """A database that nothing is known of keeps its own settings."""


def _listen_mysql(engine: sa.Engine) -> None:
    @sa.event.listens_for(engine, 'connect')
    def prepare(connection: Any, _record: Any) -> None:
        with connection.cursor() as cursor:
            # NOTE: MySQL does not know the second one and takes it for a comment.
            cursor.execute(f'SET SESSION innodb_lock_wait_timeout = {LOCK_SECONDS} '
                           f'/*M!100300 , idle_transaction_timeout = {IDLE_SECONDS} */')
            # NOTE: in a Galera cluster a pool may reach another node with each connection. This
            # one waits until the node has what others have committed (reads, updates, inserts).
            if cursor.execute("SHOW VARIABLES LIKE 'wsrep_sync_wait'"):
                cursor.execute(f'SET SESSION wsrep_sync_wait = {ALL_WAIT}')


def _listen_postgresql(engine: sa.Engine) -> None:
    @sa.event.listens_for(engine, 'connect')
    def prepare(connection: Any, _record: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"SET lock_timeout = '{LOCK_SECONDS}s'")
            cursor.execute(f"SET idle_in_transaction_session_timeout = '{IDLE_SECONDS}s'")
            # NOTE: a server's default may be stricter. A writer would then fail with 40001 where
            # it has to wait for the row, and see it as it was before that.
            cursor.execute('SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL '
                           'READ COMMITTED')
            # NOTE: off would lose the last commits when the server crashes.
            cursor.execute("SELECT set_config('synchronous_commit', 'on', false) "
                           "WHERE current_setting('synchronous_commit') = 'off'")
        connection.commit()


def _listen_sqlite(engine: sa.Engine) -> None:
    path = engine.url.database
    if path and path != ':memory:':
        @sa.event.listens_for(engine, 'do_connect')
        def only_what_is_there(_dialect: Any, _record: Any, given: list[Any],
                               options: dict[str, Any]) -> None:
            # NOTE: SQLite would make a file that was removed anew, empty and readable by others,
            # and the service could not start with it.
            given[0] = f'file:{urllib.parse.quote(path)}?mode=rw'
            options['uri'] = True

    @sa.event.listens_for(engine, 'connect')
    def prepare(connection: Any, _record: Any) -> None:
        prepare_sqlite(connection, _PRAGMAS)

    # NOTE: oslo.db says BEGIN, and a reader that becomes a writer later fails with "database is
    # locked" at once, whatever the time-out. A writer has to say so at the start.
    @sa.event.listens_for(engine, 'before_cursor_execute', retval=True)
    def begin(connection: sa.Connection, _cursor: Any, statement: str, parameters: Any,
              _context: Any, _many: bool) -> tuple[str, Any]:
        if statement == 'BEGIN' and connection.get_execution_options().get('migsafe_write'):
            return 'BEGIN IMMEDIATE', parameters
        return statement, parameters


def prepare_sqlite(connection: Any, pragmas: tuple[str, ...] = READ_PRAGMAS) -> None:
    """Set up a new connection to a SQLite file."""
    # NOTE: bytes that are not UTF-8 in one row must not make the other rows unreadable.
    connection.text_factory = _decode
    for pragma in pragmas:
        connection.execute(f'PRAGMA {pragma}')


@contextlib.contextmanager
def unsynced(connection: sa.Connection) -> Iterator[None]:
    """Commit without waiting for the disk; between transactions of a SQLite file in WAL mode.

    What is committed is in the log and in every reader's eyes, survives the end of the process,
    and is made durable by the next commit that is synced, since that syncs the log as a whole. A
    power cut before that takes it away, and nothing of what was committed before it: with
    NORMAL, checkpoints are synced as ever (sqlite.org/pragma.html#pragma_synchronous).
    """
    _synchronous(connection, 'NORMAL')
    try:
        yield
    finally:
        if not connection.invalidated:  # its successor has what every new connection is given
            _synchronous(connection, 'FULL')


def empty_log(connection: sa.Connection) -> bool:
    """Bring the log of a SQLite file into it, and empty it; between transactions.

    :returns: whether something is left in the log
    """
    cursor = connection.connection.cursor()
    try:
        # NOTE: busy, pages in the log, pages copied (sqlite.org/pragma.html)
        busy, left, _copied = cursor.execute('PRAGMA wal_checkpoint(TRUNCATE)').fetchone()
        return bool(busy or left)
    finally:
        cursor.close()
        connection.rollback()


def changes(connection: sa.Connection) -> int:
    """How many rows a connection to a SQLite file has changed."""
    raw: Any = connection.connection.driver_connection
    return int(raw.total_changes)


def write_something(connection: sa.Connection) -> None:
    """Have a commit that changes no row of a SQLite file be in its log all the same."""
    connection.exec_driver_sql('PRAGMA user_version = 0')


def _synchronous(connection: sa.Connection, level: str) -> None:
    """Set how far a commit goes; a connection that does not obey is not used again."""
    try:
        cursor = connection.connection.cursor()
        cursor.execute(f'PRAGMA synchronous = {level}')
        cursor.close()
    except BaseException:
        connection.invalidate()
        raise


def _decode(raw: bytes) -> str:
    return raw.decode('utf-8', 'backslashreplace')


def use_wal(engine: sa.Engine, database: str, advice: errors.Advice = errors.JOURNAL) -> None:
    """Put a SQLite file into WAL mode; it stays so.

    :param advice: for its kind of database
    :raises JournalUnavailable: the file system cannot do it (NFS and other network mounts)
    """
    with errors.translated(database, 'switching to WAL mode', advice):
        raw = engine.raw_connection()
        try:
            cursor = raw.cursor()
            mode = cursor.execute('PRAGMA journal_mode = WAL').fetchone()[0]
            cursor.close()
        finally:
            raw.close()
    if mode != 'wal':
        raise exceptions.JournalUnavailable(
            database=database, reason=f'SQLite cannot use WAL mode there (it is in mode {mode})',
            cure=f'Set [migsafe] {advice.directory} to a directory on a local file system.')
