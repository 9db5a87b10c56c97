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
"""Upgrades a schema while nobody else does: processes of one host, or hosts at one server.

Two at once would run the same statements, and all but one of them fail.
"""

import contextlib
import hashlib
import os
import time
from collections.abc import Iterator

import sqlalchemy as sa

from migsafe import exceptions
from migsafe.journal import errors, files, schema

#: How long one waits for another.
PATIENCE = 300.0
# NOTE: both are a session's, whatever it commits, and end with it. On MariaDB the name is one for
# all databases of the server, and it is a node's own in a Galera cluster.
_TRY = {'mysql': 'SELECT GET_LOCK(:name, 0)', 'mariadb': 'SELECT GET_LOCK(:name, 0)',
        'postgresql': 'SELECT CAST(pg_try_advisory_lock(:number) AS INTEGER)'}


def upgrade(engine: sa.Engine, chain: schema.Chain) -> None:
    """Bring the schema up to date; does nothing if it is.

    :raises JournalSchemaTooNew: a later migsafe wrote it; it is left as it is
    :raises JournalUnavailable: another process has been at it for ``PATIENCE`` seconds
    """
    try:
        schema.check(engine, chain)
    except exceptions.JournalSchemaTooOld:
        with _alone(engine, chain):
            # NOTE: it looks again, as another one may have done it meanwhile.
            schema.upgrade(engine, chain)


@contextlib.contextmanager
def _alone(engine: sa.Engine, chain: schema.Chain) -> Iterator[None]:
    backend, path = engine.url.get_backend_name(), engine.url.database or ''
    if backend == 'sqlite':
        with files.exclusive(*os.path.split(path)):
            yield
    elif backend not in _TRY:
        yield
    else:
        with errors.translated(errors.label(engine.url), 'upgrading the schema', chain.advice), \
                engine.connect() as connection:
            try:
                _wait(connection, _TRY[backend], f'{chain.version_table}.{path}')
                yield
            finally:
                # NOTE: not back to the pool: with the session the lock goes.
                connection.invalidate()


def _wait(connection: sa.Connection, statement: str, name: str) -> None:
    """Wait for the lock of this name."""
    digest = hashlib.sha256(name.encode())
    values = {'name': f'migsafe-{digest.hexdigest()[:40]}',
              'number': int.from_bytes(digest.digest()[:8], 'big', signed=True)}
    names = {name: value for name, value in values.items() if f':{name}' in statement}
    deadline = time.monotonic() + PATIENCE
    while connection.scalar(sa.text(statement), names) != 1:
        connection.rollback()
        if time.monotonic() > deadline:
            raise exceptions.JournalAway(
                database=errors.label(connection.engine.url),
                reason=f'another process has been upgrading its tables for {PATIENCE:.0f} seconds',
                cure='Find it in SHOW PROCESSLIST or pg_stat_activity. If it is gone, run the '
                'command again.')
        time.sleep(0.2)
    # NOTE: a session that is idle in a transaction is ended, see migsafe.journal.engine.
    connection.rollback()
