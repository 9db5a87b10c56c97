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
"""Whether the account of a journal on a server can get at the rows of other hosts."""

import uuid
from typing import Any

import sqlalchemy as sa
from oslo_utils import timeutils

from migsafe.journal import grants, models, view

ADVICE = (
    'The account of [migsafe] connection is not for the rows of this host alone: {found}. A host '
    'that was taken over could change what others recover by. Give each host an account of its '
    'own, see migsafe-manage db grants, or use the file, which is the default.')
#: How the databases refuse a row that is not the account's own, whatever their language:
#: insufficient_privilege of PostgreSQL; CHECK OPTION failed, command and column denied of MariaDB.
REFUSED = ('42501', 1369, 1142, 1143)
# NOTE: views keep nobody out who may use what is below them.
_MYSQL = sa.text(
    'SELECT table_schema FROM information_schema.tables WHERE table_name = :name '
    "AND table_type = 'BASE TABLE' LIMIT 1")
# NOTE: policies are not for an owner, nor for a superuser, who is a member of each role.
_POSTGRESQL = sa.text(
    'SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = to_regclass(:name) '
    "AND pg_has_role(relowner, 'MEMBER')")
_INSERT = 'INSERT INTO migsafe_probes (host, checked_at) VALUES (%s, %s)'
_OWNED: dict[str, tuple[sa.TextClause, str]] = {
    'mysql': (_MYSQL, 'it has rights on the table {name} of the database {found}'),
    'mariadb': (_MYSQL, 'it has rights on the table {name} of the database {found}'),
    'postgresql': (_POSTGRESQL, 'it is, or may become, the owner of the table {name}, {found}'),
}


def reach(connection: sa.Connection, host: str) -> str | None:
    """Return what the account can get at beside the rows of ``host``; None for nothing.

    It is tried, not read in a catalogue alone; what was tried is rolled back.

    :param connection: in no transaction, on a server
    """
    for look in (_reads, _owns, _writes):
        try:
            if found := look(connection, host):
                return found
        finally:
            connection.rollback()
    return None


def _reads(connection: sa.Connection, host: str) -> str | None:
    for table in grants.TABLES:
        other = connection.scalar(
            sa.select(table.c.host).where(table.c.host != host).limit(1))
        if other is not None:
            return f'it can read rows of {view.text(other)}, in {table.name}'
    return None


def _owns(connection: sa.Connection, _host: str) -> str | None:
    query, text = _OWNED[connection.dialect.name]
    for table in grants.TABLES:
        found = connection.scalar(query, {'name': table.name})
        if found is not None:
            return text.format(name=table.name, found=view.text(found))
    return None


def _writes(connection: sa.Connection, _host: str) -> str | None:
    """Try to insert a row of a host that nobody is."""
    # NOTE: past SQLAlchemy, because oslo.db logs each error with its traceback, and a refusal is
    # what is hoped for at each start.
    driver: Any = connection.dialect.loaded_dbapi
    cursor = connection.connection.cursor()
    try:
        cursor.execute(_INSERT, (f'?{uuid.uuid4()}', timeutils.utcnow()))
    except driver.Error as error:
        if {getattr(error, 'pgcode', None), *error.args[:1]}.isdisjoint(REFUSED):
            raise
        return None
    finally:
        cursor.close()
    return f'it can write rows of any host, in {models.PROBES.name}'
