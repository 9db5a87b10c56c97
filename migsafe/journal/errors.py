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
"""Translates errors of the database into errors of the journal.

The text of an SQLAlchemy error can hold the values of the statement, and those can be CHAP
secrets. Only the first line of the driver's own message is used, and the original is not
chained, so that no traceback in a log shows it.
"""

import contextlib
import dataclasses
import os
import re
import sqlite3
from collections.abc import Iterator

import sqlalchemy as sa
from oslo_db import exception as db_exception
from sqlalchemy import exc as sa_exc

from migsafe import exceptions, masking
from migsafe.text import shell

BUSY = re.compile('database (schema |table )?is locked|database is busy|lock timeout|'
                  'lock wait timeout', re.IGNORECASE)
# NOTE: the second is 40001 of PostgreSQL, which oslo.db does not know.
_AGAIN = re.compile(f'{BUSY.pattern}|could not serialize access', re.IGNORECASE)
_DAMAGED = re.compile('file is not a database|malformed|file is encrypted|database corruption',
                      re.IGNORECASE)
#: A write that may or may not have reached the disk.
FAILED_DISK = re.compile('disk i/o error|input/output error', re.IGNORECASE)
#: Moves a file away that is not in use; FILE is its path.
MOVE = 'for s in "" -wal -shm; do test ! -e FILE$s || mv FILE$s FILE.old$s; done'
#: For a file or log that was cut short while a process had it open: what is left is an old one.
CUT_SHORT = ('What was written last may be lost. Stop the service, and restore a backup with '
             'RESTORE; or have what is left judged anew by evidence, with: DISTRUST. Then start '
             'the service.')
#: For a file that somebody has written into: the old one and the log are mixed.
OVERWRITTEN = (f'Stop the service, and move it away with its log: {MOVE}; then restore a backup '
               'with RESTORE, or begin with an empty one (what this one held is then settled only '
               'by evidence). Then start the service.')
# what the driver says -> what it means, and what to do about it; for words in capitals see
# Advice.of, FILE is the label of the database, DIRECTORY where it lies
_MEANINGS: tuple[tuple[str, str, str], ...] = (
    ('disk is full|no space left|quota exceeded|table .* is full|could not extend file',
     'the disk is full',
     'Free space there; no migration starts until then, guests keep running.'),
    ('readonly database|read-only', 'it is read-only',
     # NOTE: SQLite gives what it makes beside a file the mode that this has then.
     'Remount the file system or give the owner back the right to write: chmod 0700 DIRECTORY; '
     'for s in "" -wal -shm; do test ! -e FILE$s || chmod 0600 FILE$s; done'),
    ('lock (wait )?timeout', 'another session holds the row of the transaction',
     'Find it in SHOW PROCESSLIST or pg_stat_activity.'),
    (BUSY.pattern, 'another process holds its write lock',
     'Find it with: fuser -v FILE'),
    ('unable to open database file|permission denied',
     'it cannot be opened',
     'Check that it and its directory exist, belong to the user of the service and can be '
     'read and written.'),
    ('SQLITE_IOERR_SHORT_READ', 'a file is shorter than its index says: it was cut short while '
     'somebody had it open', CUT_SHORT),
    (FAILED_DISK.pattern, 'the disk reports an I/O error',
     'See dmesg and the health of the disk.'),
    ('no such table|doesn.t exist|does not exist|no such column|unknown column',
     'its tables are missing or incomplete',
     'Run: SYNC. If they are missing after it, somebody has removed them: restore it from a '
     'backup.'),
    ('too many connections|too many clients|connection slots are reserved|'
     'max_user_connections|max_connections_per_hour', 'it has no connection left',
     'Find who holds them in SHOW PROCESSLIST or pg_stat_activity, or raise max_connections '
     'there; no migration starts until then, guests keep running.'),
    ('access denied|authentication failed', 'the database refuses the user or the password',
     'Correct [migsafe] OPTION.'),
)
#: reasons that no waiting cures
_STAYS = frozenset((
    'its tables are missing or incomplete', 'the database refuses the user or the password',
    'its account is for the rows of another host', 'its user may not do that'))
_REMOVED = ('There is no such file any more: it was removed while it was in use. Put it back if '
            'you have it, then restart the service.')
#: Looked at first for a database on a server, where no file is to be mended.
_ON_SERVER: tuple[tuple[str, str, str], ...] = (
    ('read.only', 'it is read-only',
     'It may be a replica, or be set so: see read_only of MariaDB, and '
     'default_transaction_read_only of PostgreSQL. [migsafe] OPTION must name the primary.'),
    ('row.level security|check option failed', 'its account is for the rows of another host',
     'The account of [migsafe] OPTION was made for a host that is not [DEFAULT] host. See '
     'migsafe-manage db grants --help.'),
    ('permission denied|command denied|must be owner', 'its user may not do that',
     'Grant the user of [migsafe] OPTION all rights on these tables, on PostgreSQL also CREATE '
     'on their schema. For an account of one host: run SYNC with an account that has them, and '
     'then the SQL of migsafe-manage db grants.'),
)


@dataclasses.dataclass(frozen=True)
class Advice:
    """What messages about one kind of database tell to do.

    :param sync: the command that makes its tables
    :param option: of [migsafe], which says where it is
    :param directory: of [migsafe], which says where its file is
    """

    sync: str
    option: str
    directory: str

    def of(self, cure: str) -> str:
        """Fill in a text: SYNC, RESTORE and DISTRUST are commands, OPTION is one of [migsafe]."""
        for action in ('restore', 'distrust', 'sync'):
            cure = cure.replace(action.upper(), self.command(action))
        return cure.replace('OPTION', self.option)

    def command(self, action: str) -> str:
        """Return an action of migsafe-manage db as it is typed for this kind of database."""
        return self.sync.replace('db sync', f'db {action}')


JOURNAL = Advice('migsafe-manage db sync', 'connection', 'state_path')
# NOTE: what happens while SQLite connects is not wrapped by SQLAlchemy.
OUTSIDE = (db_exception.DBError, sa_exc.SQLAlchemyError, sqlite3.Error, OSError)


def label(url: sa.URL) -> str:
    """Return the name of a database for messages: a file's path, or the URL without secrets."""
    if url.get_backend_name() == 'sqlite':
        return url.database or ':memory:'
    bare = url.set(query={})
    return bare.render_as_string(hide_password=True)


@contextlib.contextmanager
def translated(database: str, what: str, advice: Advice = JOURNAL) -> Iterator[None]:
    """Turn whatever the database, the driver or the file system raises into a JournalError.

    :param database: its label
    :param what: the call that fails, for the message
    :param advice: for its kind of database
    """
    try:
        yield
    except exceptions.MigsafeError:
        raise
    except OUTSIDE as exc:
        raise translate(exc, database, what, advice) from None


def translate(exc: BaseException, database: str, what: str,
              advice: Advice = JOURNAL) -> exceptions.JournalError:
    """Return the journal's error for a foreign one."""
    text = first_line(exc)
    if _DAMAGED.search(text):
        return exceptions.JournalFileCorrupt(database=database, reason=text)
    if FAILED_DISK.search(text) and _is_full(database):
        # SQLite says so of the index beside a log, which it cannot make then.
        text = f'no space left: {text}'
    for pattern, reason, cure in (*(_ON_SERVER if '://' in database else ()), *_MEANINGS):
        if re.search(pattern, text, re.IGNORECASE):
            if 'chmod' in cure and not os.path.lexists(database):
                cure = _REMOVED
            kind = exceptions.JournalUnavailable if reason in _STAYS else exceptions.JournalAway
            return kind(
                database=database, reason=f'{what}: {reason} ({text})',
                cure=advice.of(cure).replace('DIRECTORY', shell(os.path.dirname(database)))
                .replace('FILE', shell(database)))
    return exceptions.JournalAway(
        database=database, reason=f'{what}: {type(exc).__name__}: {text}',
        cure='Check that the database answers; nothing was changed.')


def _is_full(database: str) -> bool:
    """Whether the file system of a SQLite file has no room for one page."""
    try:
        found = os.statvfs(os.path.dirname(database))
    except OSError:
        return False
    return found.f_bavail * found.f_frsize < 4096


def first_line(exc: BaseException) -> str:
    """Return the driver's own message, one line, without statement, values or passwords."""
    inner: BaseException = exc
    for _level in range(4):
        below = getattr(inner, 'inner_exception', None) or getattr(inner, 'orig', None)
        if not isinstance(below, BaseException):
            break
        inner = below
    text = str(inner).strip().splitlines() or [type(inner).__name__]
    # NOTE: which operation has failed; SQLite has one text for all of them.
    name = getattr(inner, 'sqlite_errorname', '')
    which = f', {name}' if name.startswith('SQLITE_IOERR_') else ''
    return masking.mask(f'{text[0][:300]}{which}')


def is_busy(exc: BaseException) -> bool:
    """Tell whether the same work may simply be tried again: nothing of it was done.

    A duplicate means that another writer inserted the same row first; the work looks for it.
    """
    again = (db_exception.DBDeadlock, db_exception.DBDuplicateEntry)
    return isinstance(exc, again) or bool(_AGAIN.search(first_line(exc)))
