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
"""Makes the SQLite file of a journal or ledger: whole under its name, or not at all."""

import contextlib
import os
import sqlite3
from urllib import parse

import sqlalchemy as sa

from migsafe import exceptions
from migsafe.journal import files, schema, store


def make(path: str, owner: int, chain: schema.Chain) -> None:
    """Build a database under another name: a kill or a disk fault leaves none, or a whole one.

    An empty or half-made file of this name is thus always damage, never a beginning.

    :raises JournalError: nothing of it is left then
    """
    prepared = os.path.join(os.path.dirname(path), f'.{os.path.basename(path)}.new')
    files.remove(prepared)
    try:
        _check(prepared, path, chain, _build(prepared, owner, path, chain))
        files.publish(prepared, path)
    except BaseException:
        # NOTE: where even that cannot be done, the next start begins with it.
        with contextlib.suppress(OSError):
            files.remove(prepared)
        raise


def _build(prepared: str, owner: int, path: str, chain: schema.Chain) -> str | None:
    """Write it, and return the revision that it has."""
    files.create_empty(prepared)
    made = store.Store(sa.URL.create('sqlite', database=prepared), owner, path, chain.advice)
    try:
        made.open()
        schema.upgrade(made.engine, chain)
        made.truncate_log()
        revision = schema.current(made.engine, chain)
    finally:
        made.close()
    files.check_merged(prepared, path)
    return revision


def _check(prepared: str, path: str, chain: schema.Chain, revision: str | None) -> None:
    """Look at the file alone, without a log beside it.

    :param revision: that it has to have
    :raises JournalUnavailable: it is not whole, or cannot be read back
    """
    try:
        with contextlib.closing(sqlite3.connect(
                f'file:{parse.quote(prepared)}?mode=ro&immutable=1', uri=True)) as connection:
            found = [str(line) for line, in connection.execute('PRAGMA integrity_check(3)')]
            revisions = connection.execute(str(sa.select(sa.column('version_num')).select_from(
                sa.table(chain.version_table)))).fetchall()
    except sqlite3.Error as error:
        # NOTE: it is no damaged journal: there has been none, and nothing of it is left.
        found, revisions = [str(error)], []
    if found != ['ok'] or revisions != [(revision,)]:
        raise exceptions.JournalUnavailable(
            database=path, reason=f'what was just written is not read back: '
            f'{"; ".join(found)[:300]}',
            cure='See dmesg and the health of the disk. It is tried again at the next start.')
