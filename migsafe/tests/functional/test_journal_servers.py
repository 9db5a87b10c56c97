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
"""The journal in real MariaDB and PostgreSQL servers, and beside one that goes away."""

import signal
import subprocess
import sys
import time
from unittest import mock

import pymysql
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime import migration

from migsafe import exceptions
from migsafe.cli import database
from migsafe.journal import commits, models, opening, schema, values
from migsafe.journal import engine as journal_engine
from migsafe.tests import servers
from migsafe.tests.unit.journal import api_cases, base

OTHER_PROCESS = """
import sys
from migsafe import journal
from migsafe.tests.unit.journal import base
opened = journal.open_journal(base.make_conf('/nonexistent', connection=sys.argv[1]), 'node13')
for turn in range(20):
    tx = opened.begin(f'm-{turn}', 'source', 'i-1', 'node13', 'node11', captures=[('r', 'k', {})])
    opened.outcome(tx, opened.intent(tx, 'r', 'e', sys.argv[2]), 'ok')
"""


class ServerCases(api_cases.ApiCases):
    """Everything that the SQLite journal does, and what only a server can do to it."""

    server_class = None

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = cls.server_class()
        cls.server.setUp()
        cls.addClassCleanup(cls.server.cleanUp)

    def make_conf(self):
        self.server.wipe()
        conf = base.make_conf(self.state, connection=self.server.url)
        opening.sync(conf, self.host)
        return conf

    def test_migrations_make_what_the_models_say(self):
        with self.journal._store.engine.connect() as connection:
            context = migration.MigrationContext.configure(
                connection, opts={'version_table': schema.VERSION_TABLE, 'compare_type': True})
            self.assertEqual([], compare_metadata(context, models.Base.metadata))

    def test_sync_is_the_operators_work(self):
        self.server.wipe()
        exc = self.assertRaises(exceptions.JournalSchemaTooOld, self.open)
        self.assertIn('migsafe-manage db sync', str(exc))
        self.assertNotIn(servers.PASSWORD, str(exc))
        self.assertEqual(schema.head(), opening.sync(self.conf, self.host))
        self.open().check_writable()

    def test_sync_goes_on_after_a_kill_in_the_middle(self):
        self.server.execute('DROP TABLE migsafe_probes', 'DROP TABLE migsafe_alembic_version',
                            *self.drop_index)
        opening.sync(self.conf, self.host)
        self.test_migrations_make_what_the_models_say()

    def test_a_later_schema_is_refused(self):
        self.server.execute("UPDATE migsafe_alembic_version SET version_num = '999'")
        exc = self.assertRaises(exceptions.JournalSchemaTooNew, self.open)
        self.assertIn('"999"', str(exc))
        self.assertRaises(exceptions.JournalSchemaTooNew, opening.sync, self.conf, self.host)

    def test_every_row_carries_its_host(self):
        other = self.open('node11')
        mine = self.begin(self.journal)
        theirs = self.begin(other, role='destination')
        self.assertEqual([mine], self.journal.list())
        self.assertEqual([theirs], other.list())
        self.assertEqual([mine, theirs], self.journal.list(all_hosts=True))
        other.note(theirs, 'x')
        self.assertIsNone(other.get('m-1', 'source'))
        self.assertEqual({'node11': (1, 0), 'node13': (1, 0)}, self.journal.count_unsettled())

    def test_the_longest_text_of_the_longest_characters(self):
        tx = self.begin(self.journal)
        self.journal.note(tx, '\U0001f600' * 70_000)
        tx = self.journal.verdict(tx, 'HOLD', '\U0001f600' * values.TEXT_LIMIT)
        self.assertEqual(values.TEXT_BYTES // 4, tx.reason.count('\U0001f600'))

    def test_two_processes_write_at_once(self):
        children = [subprocess.Popen([sys.executable, '-c', OTHER_PROCESS, self.server.url, name],
                                     stderr=subprocess.PIPE) for name in ('a', 'b')]
        errors = [child.communicate(timeout=600)[1].decode() for child in children]
        self.assertEqual([0, 0], [child.returncode for child in children], errors)
        found = self.journal.list()
        self.assertEqual(20, len(found))
        for tx in found:
            kinds = sorted(r.kind for r in self.journal.records(tx))
            self.assertEqual(['capture'] + ['intent'] * 2 + ['outcome'] * 2, kinds)

    def test_a_killed_server_is_named_and_nothing_is_lost(self):
        tx = self.begin(self.journal)
        intent = self.journal.intent(tx, 'r', 'e', payload=base.CONNECTION)
        self.server.kill()
        try:
            for call in (lambda: self.journal.outcome(tx, intent, 'ok'),
                         self.journal.check_writable, self.journal.unsettled, self.open):
                exc = self.assertRaises(exceptions.JournalUnavailable, call)
                self.assertIn(f'127.0.0.1:{self.server.port}', str(exc))
                self.assertNotIn(servers.PASSWORD, str(exc))
        finally:
            self.server.start()
        self.journal.check_writable()
        self.journal.outcome(tx, intent, 'ok')
        self.assertEqual(['intent', 'outcome'], [r.kind for r in self.journal.records(tx)])

    def test_a_server_that_comes_back_is_found_by_itself(self):
        tx = self.begin(self.journal)
        for turn in range(3):
            self.server.kill()
            self.server.start()
            self.journal.note(tx, f'after restart {turn}')
        self.assertEqual(3, len(self.journal.records(tx)))

    def hang(self, tx):
        """Lock the row of a transaction in a session that then says nothing."""
        engine = journal_engine.create(sa.make_url(self.server.url))
        connection = engine.connect()
        self.addCleanup(engine.dispose)
        connection.execute(sa.select(models.Transaction.id).where(
            models.Transaction.id == tx.id).with_for_update())
        return connection

    def test_a_session_that_hangs_is_not_waited_for(self):
        with mock.patch.object(journal_engine, 'LOCK_SECONDS', 1), \
                mock.patch.object(commits, 'BUSY_SECONDS', 0.5):
            journal = self.open()
            tx = self.begin(journal)
            other = self.hang(tx)
            self.addCleanup(other.close)
            exc = self.assertRaises(exceptions.JournalUnavailable, journal.note, tx, 'x')
        self.assertIn('holds the row', str(exc))
        self.assertEqual([], journal.records(tx))
        other.close()
        journal.note(tx, 'x')

    def test_the_session_of_a_host_without_power_is_ended(self):
        tx = self.begin(self.journal)
        with mock.patch.object(journal_engine, 'IDLE_SECONDS', 1):
            other = self.hang(tx)
        started = time.monotonic()
        self.journal.note(tx, 'after the reboot')
        self.assertLess(time.monotonic() - started, 8)
        self.assertEqual(1, len(self.journal.records(tx)))
        other.invalidate()

    def test_a_wrong_password_is_not_shown(self):
        wrong = self.server.url.replace(servers.PASSWORD, 'wrong-but-secret')
        self.conf.set_override('connection', wrong, 'migsafe')
        started = time.monotonic()
        exc = self.assertRaises(exceptions.JournalUnavailable, self.open)
        self.assertIn('[migsafe] connection', str(exc))
        self.assertNotIn('wrong-but-secret', str(exc))
        self.assertLess(time.monotonic() - started, 15)
        self.conf.set_override('connection', self.server.url, 'migsafe')
        self.open().check_writable()

    def test_a_server_that_says_nothing(self):
        """Its process is stopped: the kernel still takes connections for it."""
        url = sa.make_url(self.server.url)
        self.server.process.send_signal(signal.SIGSTOP)
        self.addCleanup(self.server.process.send_signal, signal.SIGCONT)
        with mock.patch.object(database, 'SECONDS', 1):
            exc = self.assertRaises(exceptions.JournalUnavailable, database.check_answers, url)
        self.assertIn('did not answer within 1 seconds', str(exc))
        self.assertIn('Check that the database runs there', str(exc))
        self.server.process.send_signal(signal.SIGCONT)
        database.check_answers(url)
        self.open().check_writable()

    def test_a_row_that_is_damaged_hides_no_other(self):
        tx = self.begin(self.journal)
        self.begin(self.journal, uuid='m-2')
        self.journal.note(tx, 'one', {'a': 1})
        self.journal.note(tx, 'two', {'b': 2})
        self.server.execute(
            "UPDATE migsafe_records SET payload = '{chap-secret-4711' WHERE text = 'one'",
            "UPDATE migsafe_transactions SET state = 'haunted' WHERE uuid = 'm-1'")
        self.assertEqual(['m-1', 'm-2'], [t.uuid for t in self.journal.unsettled()])
        one, two = self.journal.records(tx)
        exc = self.assertRaises(exceptions.JournalCorrupt, lambda: one.payload)
        self.assertIn(f'id {one.id}', str(exc))
        self.assertNotIn(base.SECRET, str(exc))
        self.assertEqual({'b': 2}, two.payload)


class TestMariaDB(ServerCases, base.JournalTestCase):
    """The journal in MariaDB."""

    server_class = servers.MariaDB

    def test_each_session_waits_for_what_another_node_has_committed(self):
        with self.journal._store.engine.connect() as connection:
            self.assertEqual(7, connection.exec_driver_sql(
                'SELECT @@SESSION.wsrep_sync_wait').scalar())

    def test_a_server_that_is_read_only(self):
        tx = self.begin(self.journal)
        self.admin('SET GLOBAL read_only = ON')
        self.addCleanup(self.admin, 'SET GLOBAL read_only = OFF')
        exc = self.assertRaises(exceptions.JournalUnavailable, self.journal.note, tx, 'x')
        self.assertIn('see read_only of MariaDB', str(exc))
        self.admin('SET GLOBAL read_only = OFF')
        self.journal.note(tx, 'x')
        self.assertEqual(1, len(self.journal.records(tx)))

    def admin(self, statement):
        """Run it as who may all."""
        connection = pymysql.connect(unix_socket=f'{self.server.base}/sock', user='root')
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)

    drop_index = ('DROP INDEX migsafe_transactions_unsettled_idx ON migsafe_transactions',)


class TestPostgreSQL(ServerCases, base.JournalTestCase):
    """The journal in PostgreSQL."""

    server_class = servers.PostgreSQL

    def test_two_processes_where_the_default_is_stricter(self):
        for level in ('repeatable read', 'serializable'):
            self.server.execute(
                f"ALTER DATABASE migsafe SET default_transaction_isolation = '{level}'")
            self.addCleanup(self.server.execute, 'ALTER DATABASE migsafe RESET ALL')
            self.assertEqual([level], self.server.column('SHOW transaction_isolation'))
            self.server.execute('DELETE FROM migsafe_transactions')
            self.test_two_processes_write_at_once()

    def test_a_server_that_is_read_only(self):
        tx = self.begin(self.journal)
        self.journal._store.engine.dispose()
        self.server.execute('ALTER DATABASE migsafe SET default_transaction_read_only = on')
        self.addCleanup(self.server.execute, 'SET default_transaction_read_only = off',
                        'ALTER DATABASE migsafe RESET ALL')
        exc = self.assertRaises(exceptions.JournalUnavailable, self.journal.note, tx, 'x')
        self.assertIn('default_transaction_read_only of PostgreSQL', str(exc))
        self.server.execute('SET default_transaction_read_only = off',
                            'ALTER DATABASE migsafe RESET ALL')
        self.journal._store.engine.dispose()
        self.journal.note(tx, 'x')
        self.assertEqual(1, len(self.journal.records(tx)))

    drop_index = ('DROP INDEX migsafe_transactions_unsettled_idx',)
