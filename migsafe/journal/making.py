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
        # NOTE: SQLite does the same when the last connection is closed, but says nothing if it
        # fails: the file would get its name, and its content stay in a log of another name.
        left = made.truncate_log()
        revision = schema.current(made.engine, chain)
    finally:
        made.close()
    if left:
        raise exceptions.JournalAway(
            database=path, reason='what was written cannot be put into the file: somebody else '
            'has it open', cure='It is tried again at the next start.')
    return revision


def _check(prepared: str, path: str, chain: schema.Chain, revision: str | None) -> None:
    """Look at the file alone, without a log beside it.

    :param revision: that it has to have
    :raises JournalFileCorrupt: it is not whole
    """
    engine = sa.create_engine(
        f'sqlite:///file:{parse.quote(prepared)}?mode=ro&immutable=1&uri=true',
        poolclass=sa.NullPool)
    with engine.connect() as connection:
        found = connection.exec_driver_sql('PRAGMA integrity_check(3)').scalars().all()
    if found != ['ok'] or schema.current(engine, chain) != revision:
        raise exceptions.JournalFileCorrupt(
            database=path, reason=f'it was just made: {"; ".join(map(str, found))[:300]}')
