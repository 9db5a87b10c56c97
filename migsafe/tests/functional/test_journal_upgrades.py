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
"""Several processes that open an older file, and several hosts that run db sync at once."""

import os
import sqlite3
from unittest import mock

import fixtures
import sqlalchemy as sa
from oslotest import base as oslo_base

from migsafe import exceptions
from migsafe.journal import engine, schema, upgrading
from migsafe.journal import opening as journal_opening
from migsafe.ledger import opening as ledger_opening
from migsafe.tests import opening, servers
from migsafe.tests.unit.journal import base

AT_ONCE = 5
OLD = {
    'journal': ('DROP TABLE migsafe_findings', 'DROP TABLE migsafe_writes',
                "UPDATE migsafe_alembic_version SET version_num = '001'"),
    'ledger': ('DROP TABLE migsafe_ledger_writes',
               "UPDATE migsafe_ledger_alembic_version SET version_num = 'l002'"),
}


class TestFile(oslo_base.BaseTestCase):
    """Of one host: the service, and commands that are run beside its start."""

    rounds = 3

    def test_all_succeed(self):
        processes = opening.Processes(AT_ONCE)
        self.addCleanup(processes.close)
        where = self.useFixture(fixtures.TempDir()).path
        for number in range(self.rounds):
            for kind, option in (('journal', 'state_path'), ('ledger', 'ledger_path')):
                directory = os.path.join(where, f'{kind}{number}')
                self.assertEqual(['done'] * AT_ONCE,
                                 processes.at_once(kind, **{option: directory}))
                path = os.path.join(directory, 'node13.sqlite')
                with sqlite3.connect(path) as raw:
                    for statement in OLD[kind]:
                        raw.execute(statement)
                raw.close()
                self.assertEqual(['done'] * AT_ONCE,
                                 processes.at_once(kind, **{option: directory}))


class Cases:
    """Of five hosts."""

    server_class = None

    def test_all_succeed(self):
        server = self.useFixture(self.server_class())
        processes = opening.Processes(AT_ONCE)
        self.addCleanup(processes.close)
        heads = {'journal': ('migsafe_alembic_version', schema.head()),
                 'ledger': ('migsafe_ledger_alembic_version', schema.head(ledger_opening.CHAIN))}
        for kind, option in (('journal', 'connection'), ('ledger', 'ledger_connection')):
            # NOTE: first with nothing there, then with older tables.
            for old in ((), OLD[kind]):
                server.execute(*old)
                self.assertEqual(['done'] * AT_ONCE, processes.at_once(
                    f'sync {kind}', **{option: server.url}))
                table, head = heads[kind]
                self.assertEqual([head], server.column(f'SELECT version_num FROM {table}'))

    def test_one_that_hangs(self):
        server = self.useFixture(self.server_class())
        conf = base.make_conf('/nonexistent', connection=server.url)
        other = engine.create(sa.make_url(server.url))
        self.addCleanup(other.dispose)
        with upgrading._alone(other, schema.JOURNAL), \
                mock.patch.object(upgrading, 'PATIENCE', 0.1):
            exc = self.assertRaises(exceptions.JournalUnavailable, journal_opening.sync, conf,
                                    'node13')
        self.assertIn('run the command again', str(exc))
        self.assertNotIn(servers.PASSWORD, str(exc))
        self.assertEqual(schema.head(), journal_opening.sync(conf, 'node13'))


class TestMariaDB(Cases, oslo_base.BaseTestCase):
    """MariaDB."""

    server_class = servers.MariaDB


class TestPostgreSQL(Cases, oslo_base.BaseTestCase):
    """PostgreSQL."""

    server_class = servers.PostgreSQL
