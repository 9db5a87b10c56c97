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
"""Copies the SQLite file of a journal or ledger, while it is in use, and puts a copy back.

For a journal on a server see :mod:`migsafe.journal.moving`.
"""

import contextlib
import os
import sqlite3
import urllib.parse
from collections.abc import Callable, Iterator

import sqlalchemy as sa

from migsafe import exceptions
from migsafe.journal import errors, files, schema, store, whole
from migsafe.text import shell

Mark = Callable[[store.Store], int]


def backup(path: str, copy: str, chain: schema.Chain) -> None:
    """Copy a file as it is at one moment, whoever writes to it meanwhile.

    The copy has its name once it was seen to be whole, and its mode is 0600: it has the same
    secrets.

    :param path: of the database
    :param copy: path of the copy; nothing may be there
    :raises JournalUnavailable: also JournalFileCorrupt; nothing of the copy is left
    """
    must_be_free(copy)
    if not os.path.lexists(path):
        raise exceptions.JournalUnavailable(
            database=path, reason='there is no such file',
            cure='The command may read another configuration: see --config-file and --host.')
    with errors.translated(path, f'the backup to {copy}', chain.advice), prepared(copy) as new:
        copy_file(path, new)
        whole.check(new)
        files.publish(new, copy)


def restore(path: str, copy: str, chain: schema.Chain, mark: Mark) -> int:
    """Put a copy in the place of a file that is gone; it is marked as one of an earlier time.

    :param path: of the database; nothing may be there
    :param copy: what :func:`backup` made, on this host or another
    :param mark: writes to the restored database that it is one, and returns to how many rows
    :returns: what ``mark`` does
    :raises JournalUnavailable: also JournalFileCorrupt; nothing is changed
    """
    must_exist(copy)
    files.ensure_directory(os.path.dirname(path))
    with errors.translated(path, f'the restoration from {copy}', chain.advice), \
            files.exclusive(*os.path.split(path)):
        must_be_free(path)
        files.check_log_alone(path)
        whole.check(copy)
        with prepared(path) as new:
            copy_file(copy, new)
            with opened(new, path, chain) as made:
                marked = mark(made)
            whole.check(new)
            files.publish(new, path)
    return marked


def must_exist(copy: str) -> None:
    """Refuse a copy that is not there."""
    if not os.path.lexists(copy):
        raise exceptions.JournalUnavailable(
            database=copy, reason='there is no such file', cure='Name the copy that db backup '
            'has made.')


@contextlib.contextmanager
def opened(new: str, name: str, chain: schema.Chain) -> Iterator[store.Store]:
    """Open a file that is not published yet, with the schema of today; its log is empty then.

    :param name: what messages call it
    """
    made = store.Store(sa.URL.create('sqlite', database=new), os.geteuid(), name, chain.advice)
    try:
        made.open()
        schema.upgrade(made.engine, chain)
        schema.check(made.engine, chain)
        yield made
        made.truncate_log()
    finally:
        made.close()


def must_be_free(path: str) -> None:
    """Refuse to overwrite what is there."""
    if os.path.lexists(path):
        raise exceptions.JournalUnavailable(
            database=path, reason='there is a file of this name, and nothing is overwritten',
            cure='Stop its service and move it away with its log: '
            + errors.MOVE.replace('FILE', shell(path)))


@contextlib.contextmanager
def prepared(path: str) -> Iterator[str]:
    """Give the path of an empty file beside; it is taken away if it was not published."""
    new = os.path.join(os.path.dirname(os.path.abspath(path)), f'.{os.path.basename(path)}.new')
    files.remove(new)
    files.create_empty(new)
    try:
        yield new
    finally:
        files.remove(new)


def copy_file(path: str, new: str) -> None:
    """Copy the content of one file into another one, which is there."""
    source = sqlite3.connect(f'file:{urllib.parse.quote(path)}?mode=ro', uri=True)
    try:
        target = sqlite3.connect(f'file:{urllib.parse.quote(new)}?mode=rw', uri=True)
        try:
            # NOTE: SQLite begins anew if somebody writes meanwhile (sqlite.org/backup.html); all
            # pages in one step are those of one moment.
            source.backup(target)
        finally:
            target.close()
    finally:
        source.close()
    as_one_file(new)


def as_one_file(new: str) -> None:
    """Have a copy be one file, with nothing beside it."""
    connection = sqlite3.connect(f'file:{urllib.parse.quote(new)}?mode=rw', uri=True)
    try:
        connection.execute('PRAGMA journal_mode = DELETE').fetchall()
    finally:
        connection.close()
