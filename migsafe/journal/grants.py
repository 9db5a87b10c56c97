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
"""SQL that gives each host an account of its own, for its own rows of a journal on a server.

PostgreSQL has policies for rows (postgresql.org/docs, 5.9). MariaDB and MySQL have none: there a
host gets a database with views of the tables, which keep out what is not its own, for readers by
their condition and for writers by WITH CHECK OPTION.

No account may choose the id of a row: one that is ahead of the counter would be in the way of
others. A line of a log must be of a transaction that the account sees, or the foreign key would
lock another host's.
"""

import re
import string
from collections.abc import Iterator

import sqlalchemy as sa

from migsafe import exceptions
from migsafe.journal import models, schema

TABLES = (models.TRANSACTIONS, models.RECORDS, models.SERVICES, models.PROBES, models.FINDINGS,
          models.WRITES)
# NOTE: none of these characters has a meaning between quotes in either language, so that what is
# printed for an administrator to run holds nothing but what he typed.
_HOST = re.compile(r'[A-Za-z0-9_.@:%+\-]{1,201}')
_ACCOUNT = re.compile(r'([A-Za-z0-9_.\-]{1,63})(?:@([A-Za-z0-9_.:%/\-]{1,255}))?')
#: Longest name of a database (mariadb.com/kb, Identifier Names).
LONGEST = 64

_OWN_LINES = string.Template("""host = '$host' AND EXISTS (
    SELECT 1 FROM $transactions AS its WHERE its.id = transaction_id AND its.host = '$host')""")
_POSTGRESQL = string.Template("""
ALTER TABLE $table ENABLE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS "$account" ON $table;
CREATE POLICY "$account" ON $table TO "$account"
  USING (host = '$host')
  WITH CHECK ($rows);
REVOKE ALL ON $table FROM PUBLIC, "$account";
GRANT $rights
  ON $table TO "$account";""")
# NOTE: a view has the columns of the time when it was made. After an upgrade of the tables the
# last one shows no version until all are made anew.
_MYSQL = string.Template("""
CREATE OR REPLACE SQL SECURITY DEFINER VIEW `$own`.`$table` AS
  SELECT * FROM `$tables`.`$table`
  WHERE $rows
  WITH CASCADED CHECK OPTION;
GRANT $rights
  ON `$own`.`$table` TO $account;""")
_MYSQL_VERSION = string.Template("""
CREATE OR REPLACE SQL SECURITY DEFINER VIEW `$own`.`$table` AS
  SELECT version_num FROM `$tables`.`$table`
  WHERE version_num = '$version';
GRANT SELECT ON `$own`.`$table` TO $account;""")


def script(url: sa.URL, host: str, account: str) -> str:
    """Return the SQL for one host, to be run by the owner of the tables after ``db sync``.

    It may be run again, and has to be after an upgrade of the schema. The account itself, with its
    password, is made by who runs it.

    :param url: of the journal
    :param host: whose rows these are
    :param account: ``NAME``, on MariaDB and MySQL also ``NAME@FROM``
    :raises ConfigError: the journal is a file, which is one host's alone
    :raises JournalBadValue: a name cannot stand in it
    """
    write = {'postgresql': _postgresql, 'mysql': _mysql, 'mariadb': _mysql}.get(
        url.get_backend_name())
    if write is None or not url.database:
        raise exceptions.ConfigError(
            group='migsafe', option='connection',
            reason='it names no database on a PostgreSQL, MariaDB or MySQL server. A journal that '
            'is a file is its host\'s alone and needs no accounts')
    for what, name in (('the host', host), ('the database', url.database)):
        if not _HOST.fullmatch(name):
            raise exceptions.JournalBadValue(
                what=what, reason=f'{ascii(name)[:80]} cannot stand in a statement')
    parts = _ACCOUNT.fullmatch(account)
    if not parts or (parts[2] and write is _postgresql):
        raise exceptions.JournalBadValue(
            what='the account', reason=f'{ascii(account)[:80]} is none: letters, digits, _ . and '
            '-; on MariaDB and MySQL it may be followed by @ and where it connects from')
    return '\n'.join(write(url, host, parts[1], parts[2] or '%')) + '\n'


def _rows_of(host: str, table: sa.Table, transactions: str) -> str:
    """The condition that a row is of ``host``."""
    if table is not models.RECORDS:
        return f"host = '{host}'"
    return _OWN_LINES.substitute(host=host, transactions=transactions)


def _rights(table: sa.Table, quote: str) -> str:
    columns = ', '.join(f'{quote}{column.name}{quote}' for column in table.c
                        if column.name != 'id')
    return f'SELECT, DELETE, INSERT ({columns}), UPDATE ({columns})'


def _postgresql(_url: sa.URL, host: str, account: str, _origin: str) -> Iterator[str]:
    yield 'BEGIN;'
    # NOTE: before PostgreSQL 15 everybody may put a function or an operator there.
    yield 'REVOKE CREATE ON SCHEMA public FROM PUBLIC;'
    for table in TABLES:
        yield _POSTGRESQL.substitute(
            host=host, account=account, table=table.name, rights=_rights(table, '"'),
            rows=_rows_of(host, table, models.TRANSACTIONS.name))
        if 'id' in table.c:
            yield f'GRANT USAGE ON SEQUENCE {table.name}_id_seq TO "{account}";'
    yield f'\nGRANT SELECT ON {schema.VERSION_TABLE} TO "{account}";'
    yield 'COMMIT;'


def _mysql(url: sa.URL, host: str, account: str, origin: str) -> Iterator[str]:
    tables, own = str(url.database), f'{url.database}_{host}'
    if len(own) > LONGEST:
        raise exceptions.JournalBadValue(
            what='the host', reason=f'a database {own} has more than {LONGEST} characters')
    names = {'tables': tables, 'own': own, 'account': f"'{account}'@'{origin}'"}
    yield f'CREATE DATABASE IF NOT EXISTS `{own}`;'
    for table in TABLES:
        yield _MYSQL.substitute(
            names, table=table.name, rights=_rights(table, '`'),
            rows=_rows_of(host, table, f'`{tables}`.`{models.TRANSACTIONS.name}`'))
    yield _MYSQL_VERSION.substitute(names, table=schema.VERSION_TABLE, version=schema.head())
