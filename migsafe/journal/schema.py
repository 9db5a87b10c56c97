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
"""Schema of a database: which one is there, which one this code needs, how to get there.

Alembic is imported only to change a schema: to know it, the files of the revisions are enough, and
a command that reads shall not take longer to start than to answer.
"""

import dataclasses
import functools
import importlib.resources
import re
import threading
from typing import Any

import sqlalchemy as sa

from migsafe import exceptions
from migsafe.journal import errors

VERSION_TABLE = 'migsafe_alembic_version'
# NOTE: alembic keeps its environment in the module alembic.context, so that one process can
# run one upgrade at a time.
_ALEMBIC = threading.Lock()
_LINE = r"^%s = (?:'(\w+)'|None)$"


@dataclasses.dataclass(frozen=True)
class Chain:
    """A line of alembic revisions; two of them can share one database.

    :param location: of the revisions, as package:directory
    :param version_table: where the database keeps which one it has
    :param advice: for messages about such a database
    :param writes: the table that marks writes, see :mod:`migsafe.journal.tokens`
    """

    location: str
    version_table: str
    advice: errors.Advice = errors.JOURNAL
    writes: str = 'migsafe_writes'


JOURNAL = Chain('migsafe.journal:migrations', VERSION_TABLE)


def _config(chain: Chain) -> Any:
    from alembic import config
    made = config.Config()
    made.set_main_option('script_location', chain.location)
    return made


def run(metadata: sa.MetaData, chain: Chain) -> None:
    """Do what the env.py of a chain does; the connection comes from :func:`upgrade`."""
    from alembic import context
    context.configure(
        connection=context.config.attributes['connection'],
        target_metadata=metadata,
        version_table=chain.version_table,
        # NOTE: SQLite can roll back DDL once somebody says BEGIN, as migsafe.journal.engine does.
        transactional_ddl=True,
        render_as_batch=True,
    )
    with context.begin_transaction():
        context.run_migrations()


# NOTE: what is installed does not change under a running process, and the user of the service
# may not be able to read it any more once it has dropped root.
@functools.cache
def _revisions(chain: Chain) -> dict[str, str | None]:
    """Revision -> the one before it, None for the first."""
    package, _colon, directory = chain.location.partition(':')
    found = {}
    for entry in importlib.resources.files(package).joinpath(directory, 'versions').iterdir():
        if entry.name.endswith('.py') and entry.name != '__init__.py':
            text = entry.read_text(encoding='utf-8')
            one, before = (re.search(_LINE % name, text, re.MULTILINE)
                           for name in ('revision', 'down_revision'))
            if one is None or before is None:
                raise ValueError(f'{entry.name} does not say which revision it is')
            found[one[1]] = before[1]
    return found


def head(chain: Chain = JOURNAL) -> str:
    """Return the revision that this code needs."""
    found = _revisions(chain)
    last, = set(found) - set(found.values())
    return str(last)


def known(chain: Chain = JOURNAL) -> set[str]:
    """Return all revisions that this code knows."""
    return set(_revisions(chain))


def current(engine: sa.Engine, chain: Chain = JOURNAL) -> str | None:
    """Return the revision of the database, None for one without the tables of the chain."""
    with errors.translated(errors.label(engine.url), 'reading the schema version',
                           chain.advice), engine.connect() as connection:
        if not sa.inspect(connection).has_table(chain.version_table):
            return None
        column = sa.column('version_num', sa.String())
        query = sa.select(column).select_from(sa.table(chain.version_table))
        return ','.join(sorted(str(found) for found in connection.scalars(query))) or None


def check(engine: sa.Engine, chain: Chain = JOURNAL) -> None:
    """Refuse a schema that this code cannot use.

    :raises JournalSchemaTooNew: a later migsafe wrote it
    :raises JournalSchemaTooOld: ``migsafe-manage db sync`` has not been run
    """
    found, wanted = current(engine, chain), head(chain)
    if found == wanted:
        return
    database = errors.label(engine.url)
    if found is not None and found not in known(chain):
        raise exceptions.JournalSchemaTooNew(database=database, found=found, known=wanted)
    raise exceptions.JournalSchemaTooOld(
        database=database, found=found or 'none', known=wanted, command=chain.advice.sync)


def upgrade(engine: sa.Engine, chain: Chain = JOURNAL) -> None:
    """Bring the schema up to date; does nothing if it is.

    :raises JournalSchemaTooNew: a later migsafe wrote it; it is left as it is
    """
    try:
        check(engine, chain)
    except exceptions.JournalSchemaTooOld:
        from alembic import command
        with _ALEMBIC, \
                errors.translated(errors.label(engine.url), 'upgrading the schema',
                                  chain.advice), \
                engine.connect() as connection:
            made = _config(chain)
            made.attributes['connection'] = connection.execution_options(migsafe_write=True)
            command.upgrade(made, 'head')
            connection.commit()
