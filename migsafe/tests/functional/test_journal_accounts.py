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
"""Accounts of one host each, in a journal on a server: what they can do, and what they cannot.

The whole API runs as such an account with ``MIGSAFE_ACCOUNTS=all``, a part of it without.
"""

import contextlib
import io
import os

import sqlalchemy as sa
from sqlalchemy import exc as sa_exc

from migsafe import exceptions
from migsafe.cli import manage, status
from migsafe.journal import grants, models, opening
from migsafe.tests import servers
from migsafe.tests.unit.journal import api_cases, base

SECRET = 'of-one-host'
HOSTS = ('node11', 'node13')
#: How an insertion is refused; a duplicate or a foreign key would have been another reason.
REFUSED = 'row-level security|CHECK OPTION failed|denied'
#: Everything that holds a row of a host.
NAMES = tuple(table.name for table in grants.TABLES)
#: What a host that was taken over would try; node11's account, node13's rows.
ATTACKS = (
    "UPDATE migsafe_transactions SET host = 'node13'",
    "UPDATE migsafe_transactions SET verdict = 'COMMIT' WHERE host = 'node13'",
    "UPDATE migsafe_records SET payload = '{{}}' WHERE text = 'theirs'",
    'UPDATE migsafe_records SET transaction_id = {theirs}',
    'UPDATE migsafe_transactions SET id = 4711',
    'INSERT INTO migsafe_transactions (id, {columns}) SELECT 4711, {columns} '
    'FROM migsafe_transactions',
    "INSERT INTO migsafe_records (transaction_id, host, kind, resource, {key}, effect, status, "
    "text, created_at) SELECT {theirs}, 'node11', kind, resource, {key}, effect, status, text, "
    'created_at FROM migsafe_records',
    "INSERT INTO migsafe_records (transaction_id, host, kind, resource, {key}, effect, status, "
    "text, created_at) SELECT {theirs}, 'node13', kind, resource, {key}, effect, status, text, "
    'created_at FROM migsafe_records',
    "INSERT INTO migsafe_probes (host, checked_at) SELECT 'node13', checked_at "
    'FROM migsafe_probes',
    "INSERT INTO migsafe_probes (host, checked_at) SELECT 'node12', checked_at "
    'FROM migsafe_probes',
    "UPDATE migsafe_services SET host = 'node13'",
    "UPDATE migsafe_findings SET host = 'node13'",
    "DELETE FROM migsafe_transactions WHERE host = 'node13'",
    "DELETE FROM migsafe_services WHERE host = 'node13'",
    'DELETE FROM migsafe_alembic_version',
    "UPDATE migsafe_alembic_version SET version_num = '999'",
    'TRUNCATE TABLE migsafe_probes',
    'DROP TABLE migsafe_probes',
    'CREATE TABLE migsafe_other (x INTEGER)',
)


class OwnAccounts:
    """A server with an account for each of two hosts, made by what the command prints."""

    server_class = None
    #: takes rights from the account of node13
    take_away = ''
    #: statements of this kind of server alone
    attacks = ()
    quote = '"'

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = cls.server_class()
        cls.server.setUp()
        cls.addClassCleanup(cls.server.cleanUp)
        cls.make_accounts()

    def make_conf(self):
        """The configuration of node13 with its own account; all tables are new."""
        self.wipe()
        opening.sync(self.owners(), self.host)
        for host in HOSTS:
            self.grant(host)
        return base.make_conf(self.state, connection=self.url(host=self.host))

    def owners(self):
        """The configuration of who owns the tables."""
        return base.make_conf(self.state, connection=self.server.url)

    def grant(self, host):
        self.admin(self.printed(host))

    def printed(self, host, account=None):
        path = f'{self.state}.conf'
        with open(path, 'w', encoding='utf-8') as handle:
            handle.write(f'[migsafe]\nconnection = {self.server.url}\n')
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            code = manage.main(['--config-file', path, '--host', host,
                                'db', 'grants', account or f'm_{host}'])
        self.assertEqual(0, code)
        self.assertNotIn(servers.PASSWORD, out.getvalue())
        return out.getvalue()

    def open(self, host=None, **kwargs):
        """As the account of that host."""
        conf, self.conf = self.conf, base.make_conf(
            self.state, connection=self.url(host or self.host))
        try:
            return super().open(host, **kwargs)
        finally:
            self.conf = conf

    def session(self, url):
        engine = sa.create_engine(url, poolclass=sa.NullPool)
        connection = engine.connect()
        self.addCleanup(connection.close)
        return connection


class Cases(OwnAccounts):
    """What the issue of one account for all is, and that own accounts end it."""

    def fill(self):
        """Rows of both hosts in each table; returns the journals and node13's transaction."""
        opened = {}
        for host in HOSTS:
            opened[host] = journal = self.open(host)
            tx = journal.begin(f'm-{host}', 'source', 'i-1', 'node13', 'node11',
                               captures=[('volume_connection', 'v-1', base.CONNECTION)])
            journal.note(tx, 'theirs' if host == 'node13' else 'mine')
            journal.check_writable()
            journal.set_status(armed=True, pid=1, boot_id='b', plugin_version='1',
                               nova_version='34', concurrency='threading')
            journal.set_findings('R9', {('i-1', 'v-1'): 'not its disk'})
        return opened, tx

    def rows(self):
        """Everything that is in the tables, as their owner sees it."""
        with contextlib.closing(self.session(self.server.url)) as connection:
            return {name: connection.exec_driver_sql(
                f"SELECT * FROM {name} WHERE host = 'node13'").all() for name in NAMES}

    def attempt(self, connection, statement):
        """Run a statement as an attacker would; return what it did."""
        try:
            found = connection.exec_driver_sql(statement)
            rows = found.fetchall() if found.returns_rows else []
            connection.commit()
        except sa_exc.DBAPIError as error:
            connection.rollback()
            return str(error.orig)
        return rows

    def statements(self, tx):
        columns = ', '.join(f'{self.quote}{column.name}{self.quote}'
                            for column in models.TRANSACTIONS.c if column.name != 'id')
        for statement in (*ATTACKS, *self.attacks):
            yield statement.format(theirs=tx.id, columns=columns,
                                   key=f'{self.quote}key{self.quote}')

    def test_the_account_of_another_host_reads_and_writes_nothing(self):
        opened, tx = self.fill()
        before = self.rows()
        self.assertTrue(all(before.values()), before)
        connection = self.session(self.url('node11'))
        for name in NAMES:
            found = connection.exec_driver_sql(f'SELECT host FROM {name}').scalars().all()
            self.assertEqual({'node11'}, set(found), name)
        connection.rollback()
        for statement in self.statements(tx):
            with self.subTest(statement):
                found = self.attempt(connection, statement)
                self.assertEqual(before, self.rows(), statement)
                if statement.startswith('INSERT'):
                    self.assertRegex(found, REFUSED)
        opened['node13'].begin('m-2', 'source', 'i-2', 'node13', 'node11')
        self.assertEqual(['theirs'], [
            line.text for line in opened['node13'].records(tx, kinds=('note',))])

    def test_one_account_for_all_can_do_it(self):
        """The control: the same statements as the owner of the tables do harm."""
        _opened, tx = self.fill()
        before = self.rows()
        connection = self.session(self.server.url)
        done = 0
        for statement in list(self.statements(tx))[:3]:
            self.attempt(connection, statement)
            done += before != self.rows()
            before = self.rows()
        self.assertEqual(3, done)

    def test_the_life_of_a_transaction(self):
        journal = self.open()
        tx = journal.begin('m-1', 'source', 'i-1', 'node13', 'node11',
                           captures=[('volume_connection', 'v-1', base.CONNECTION),
                                     ('port_binding', 'p-1', None)])
        again = journal.begin('m-1', 'source', 'i-1', 'node13', 'node11')
        self.assertEqual(tx, again)
        first = journal.intent(tx, 'r', 'create', 'v-1', base.CONNECTION)
        second = journal.intent(tx, 'r', 'connect', 'v-1', outcomes=[(first, 'ok', {'a': 1})])
        journal.outcome(tx, second, 'unknown')
        journal.hold(tx, 'r', 'v-1', 'a holder')
        journal.request(tx, 'settle', {'user': 'op'})
        journal.verdict(tx, 'HOLD', 'not known')
        journal.verdict(tx, 'COMMIT', 'it runs there')
        journal.withdraw(tx, 'COMMIT', 'it does not')
        journal.verdict(tx, 'ABORT', 'it runs here')
        journal.postpone(tx, 0, 'later')
        journal.settled(tx, 'r', 'v-1')
        journal.check_writable()
        journal.set_findings('R9', {('i-1', 'v-1'): 'x', ('i-2', 'v-2'): 'y'})
        journal.set_findings('R9', {('i-1', 'v-1'): 'z'})
        self.assertEqual(['z'], [one.text for one in journal.findings()])
        self.assertEqual({'node13': (1, 1)}, journal.count_unsettled())
        journal.finish(tx, 'done')
        later = tx.created_at.replace(year=tx.created_at.year + 1)
        self.assertIn(base.SECRET, str(self.rows()))
        journal.blank(later)
        self.assertNotIn(base.SECRET, str(self.rows()))
        self.assertEqual(1, journal.purge(later))
        self.assertEqual([], journal.list(all_hosts=True))
        self.assertEqual([], self.rows()['migsafe_records'])

    def test_what_an_account_can_reach_is_said(self):
        journal = self.open()
        self.assertIsNone(journal.reach())
        self.fill()
        self.assertIsNone(journal.reach())
        self.assertIn('Success', self.checked(self.url('node13')))
        conf = base.make_conf(self.state, connection=self.server.url)
        self.conf = conf
        everybodys = super(OwnAccounts, self).open()
        self.assertIn('node11', everybodys.reach())
        self.assertIn('node11', self.checked(self.server.url))
        self.assertIn('db grants', self.checked(self.server.url))
        with contextlib.closing(self.session(self.server.url)) as connection:
            for name in NAMES:
                connection.exec_driver_sql(f'DELETE FROM {name}')
            connection.commit()
        self.assertIn('migsafe_transactions', everybodys.reach())
        self.assertEqual({name: [] for name in NAMES}, self.rows())
        for number, (statement, words) in enumerate(self.holes):
            with self.subTest(statement):
                self.grant(self.host)
                self.admin(statement)
                self.assertIn(words, self.open().reach(), number)

    def checked(self, url):
        """What ``migsafe-status upgrade check`` says of an account."""
        path = f'{self.state}.check.conf'
        with open(path, 'w', encoding='utf-8') as handle:
            handle.write(f'[DEFAULT]\nhost = node13\n[migsafe]\nconnection = {url}\n')
        found = status.Checks(
            lambda: status.config.load([path]), lambda: None).check_account()
        return f'{found.code.name.title()}: {found.details}'

    def test_the_name_of_another_host(self):
        """A host that was renamed, or that has another's account, is told so."""
        self.conf = base.make_conf(self.state, connection=self.url('node11'))
        journal = super(OwnAccounts, self).open('node13')
        error = self.assertRaises(exceptions.JournalUnavailable, self.begin, journal)
        self.assertIn('of another host', str(error))
        self.assertIn('db grants', str(error))
        # the account that was made for it
        self.begin(self.open())

    def test_an_account_that_may_not_write(self):
        self.admin(self.take_away)
        error = self.assertRaises(exceptions.JournalUnavailable, self.begin, self.open())
        self.assertIn('its user may not do that', str(error))
        self.assertIn('run migsafe-manage db sync with an account', str(error))
        opening.sync(self.owners(), self.host)
        self.grant(self.host)
        self.begin(self.open())

    def test_after_an_upgrade_of_the_tables(self):
        """An account is never used with less than its tables have."""
        self.admin("UPDATE migsafe_alembic_version SET version_num = '002';", 'migsafe')
        error = self.assertRaises(exceptions.JournalSchemaTooOld, self.open)
        self.assertIn('db sync', str(error))
        opening.sync(self.owners(), self.host)
        self.grant(self.host)
        self.open().check_writable()


class MariaDBAccounts(OwnAccounts):
    """Views in a database of the host's own."""

    server_class = servers.MariaDB
    quote = '`'
    take_away = "REVOKE ALL ON migsafe_node13.migsafe_transactions FROM 'm_node13'@'%';"
    attacks = (
        'SELECT * FROM migsafe.migsafe_records',
        "INSERT INTO migsafe_probes (host, checked_at) VALUES ('node11', now()) "
        "ON DUPLICATE KEY UPDATE host = 'node13'",
        "REPLACE INTO migsafe_probes (host, checked_at) VALUES ('node13', now())",
        'CREATE OR REPLACE VIEW migsafe_probes AS SELECT * FROM migsafe.migsafe_probes',
        'LOCK TABLES migsafe_probes WRITE', 'UPDATE migsafe.migsafe_transactions SET uuid = 1',
        "GRANT ALL ON migsafe.* TO m_node11",
    )
    holes = (
        ("GRANT SELECT ON migsafe.migsafe_probes TO 'm_node13'@'%';", 'of the database migsafe'),
        ("REVOKE SELECT ON migsafe.migsafe_probes FROM 'm_node13'@'%'; CREATE OR REPLACE VIEW "
         'migsafe_node13.migsafe_probes AS SELECT * FROM migsafe.migsafe_probes '
         "WHERE host = 'node13';", 'write rows of any host'),
    )

    @classmethod
    def make_accounts(cls):
        for host in HOSTS:
            cls.admin(f"CREATE USER 'm_{host}'@'%' IDENTIFIED BY '{SECRET}';")

    @classmethod
    def admin(cls, text, _database=None):
        import pymysql
        from pymysql.constants import CLIENT
        connection = pymysql.connect(
            unix_socket=f'{cls.server.base}/sock', user='root', autocommit=True,
            database='migsafe', client_flag=CLIENT.MULTI_STATEMENTS)
        with connection, connection.cursor() as cursor:
            cursor.execute(text)
            while cursor.nextset():
                pass

    def wipe(self):
        self.server.wipe()

    def url(self, host):
        return (f'mysql+pymysql://m_{host}:{SECRET}@127.0.0.1:{self.server.port}/'
                f'migsafe_{host}')


class PostgreSQLAccounts(OwnAccounts):
    """Policies for rows."""

    server_class = servers.PostgreSQL
    take_away = 'REVOKE ALL ON migsafe_transactions FROM m_node13;'
    attacks = (
        'SET ROLE migsafe', 'SET row_security = off', 'TABLE migsafe_records',
        'ALTER TABLE migsafe_probes DISABLE ROW LEVEL SECURITY',
        'DROP POLICY m_node11 ON migsafe_probes',
        'CREATE POLICY x ON migsafe_probes TO m_node11 USING (true)',
        "INSERT INTO migsafe_probes (host, checked_at) VALUES ('node11', now()) "
        "ON CONFLICT (host) DO UPDATE SET host = 'node13'",
        "SELECT setval('migsafe_records_id_seq', 1)",
        "SELECT setval('migsafe_transactions_id_seq', 9000000)",
        'CREATE FUNCTION public.now() RETURNS text AS $$SELECT 1$$ LANGUAGE sql',
    )
    holes = (
        ('CREATE POLICY everybody ON migsafe_probes USING (true);', 'write rows of any host'),
        ('DROP POLICY everybody ON migsafe_probes; GRANT migsafe TO m_node13;',
         'owner of the table'),
    )

    @classmethod
    def make_accounts(cls):
        for host in HOSTS:
            cls.admin(f"CREATE ROLE m_{host} LOGIN PASSWORD '{SECRET}';")

    @classmethod
    def admin(cls, text, _database=None):
        engine = sa.create_engine(cls.server.url, isolation_level='AUTOCOMMIT',
                                  poolclass=sa.NullPool)
        with engine.connect() as connection:
            connection.connection.cursor().execute(text)

    def wipe(self):
        self.admin('REVOKE migsafe FROM m_node13;')
        self.server.wipe()
        self.admin('GRANT ALL ON SCHEMA public TO PUBLIC;')

    def url(self, host):
        return f'postgresql+psycopg2://m_{host}:{SECRET}@127.0.0.1:{self.server.port}/migsafe'


class TestMariaDB(MariaDBAccounts, Cases, base.JournalTestCase):
    """Accounts of hosts in MariaDB."""


class TestPostgreSQL(PostgreSQLAccounts, Cases, base.JournalTestCase):
    """Accounts of hosts in PostgreSQL."""


if os.environ.get('MIGSAFE_ACCOUNTS') == 'all':
    class TestWholeMariaDB(MariaDBAccounts, api_cases.ApiCases, base.JournalTestCase):
        """Each call of the journal as the account of one host in MariaDB."""

    class TestWholePostgreSQL(PostgreSQLAccounts, api_cases.ApiCases, base.JournalTestCase):
        """Each call of the journal as the account of one host in PostgreSQL."""
