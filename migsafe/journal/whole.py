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
"""Whether a SQLite file is whole. Who looks has no right to change it.

The last one who closes a file in WAL mode copies the log into it and deletes the log, which may
hold the only good copy of what was written last. A connection that is opened for reading cannot.
"""

import contextlib
import os
import sqlite3
import time
import urllib.parse
from collections.abc import Iterator

from migsafe import exceptions

#: A larger file is not read as a whole each time that it is opened, see :func:`check`.
SMALL = 4 * 1024 * 1024
# NOTE: the smallest page that SQLite has; whatever the page size, the file is a multiple of it.
PAGE_SIZE = 512


def look(path: str) -> None:
    """Check the length of a file, and the content of a small one.

    :raises JournalFileCorrupt: file and log are as they were
    """
    with _opened(path) as connection:
        _check_length(connection, path)
        _tables(connection)
        if os.path.getsize(path) <= SMALL:
            _check(connection, path, '')


def check(path: str) -> None:
    """Check all of a file, a table at a time, so that green threads get their turn in between.

    :raises JournalFileCorrupt: it is damaged, or of two moments
    """
    with _opened(path) as connection:
        _check_length(connection, path)
        for table in _tables(connection):
            _check(connection, path, table)
            time.sleep(0)


@contextlib.contextmanager
def _opened(path: str) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(f'file:{urllib.parse.quote(path)}?mode=ro', uri=True,
                                 isolation_level=None)
    try:
        connection.execute('PRAGMA trusted_schema = OFF')
        connection.execute('PRAGMA cell_size_check = ON')
        yield connection
    finally:
        connection.close()


def _tables(connection: sqlite3.Connection) -> list[str]:
    return [name.replace('"', '""') for name, in connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND rootpage > 0").fetchall()]


def _check(connection: sqlite3.Connection, path: str, table: str) -> None:
    """Unlike quick_check, it compares indexes, without which rows are not found."""
    which = f'"{table}"' if table else '3'
    found = [str(line) for line, in connection.execute(f'PRAGMA integrity_check({which})')]
    if found != ['ok']:
        raise exceptions.JournalFileCorrupt(database=path, reason='; '.join(found)[:300])


def _check_length(connection: sqlite3.Connection, path: str) -> None:
    # NOTE: SQLite reads what is missing of the last page as zeros and says nothing. Only
    # with a log to be replayed may the end of the file be half written.
    log = path + '-wal'
    if os.path.lexists(log) and os.lstat(log).st_size:
        return
    size = os.path.getsize(path)
    pages, = connection.execute('PRAGMA page_count').fetchone()
    each, = connection.execute('PRAGMA page_size').fetchone()
    if size % PAGE_SIZE or size < pages * each:
        raise exceptions.JournalFileCorrupt(database=path, reason='its end is cut off')
