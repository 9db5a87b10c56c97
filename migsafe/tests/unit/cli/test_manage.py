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
"""``migsafe-manage`` and ``migsafe-status``."""

import contextlib
import io
import json
import os
from unittest import mock

from migsafe import exceptions
from migsafe.cli import manage, status
from migsafe.journal import rights, schema
from migsafe.ledger import opening
from migsafe.tests.unit.cli import base
from migsafe.tests.unit.journal import base as journal_base

LOAD = status.LOAD


class ToolTestCase(base.CommandTestCase):
    """Runs a tool that prints to the process's own streams."""

    def run_tool(self, tool, *args):
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                code = tool(list(args), default_config_files=())
            except SystemExit as exc:
                code = exc.code
        shown = out.getvalue() + err.getvalue()
        self.assertNotIn(base.NOVA_PASSWORD, shown)
        self.assertNotIn('Traceback', shown)
        return code, out.getvalue(), err.getvalue()


class TestManage(ToolTestCase):
    """Schema and size of the journal."""

    def manage(self, *args):
        return self.run_tool(manage.main, '--config-file', self.nova_conf, 'db', *args)

    def test_sync_creates_and_is_harmless_again(self):
        self.assertEqual(3, self.manage('version')[0])
        os.mkdir(self.state, 0o700)
        for _turn in range(2):
            code, out, _err = self.manage('sync')
            self.assertEqual(0, code)
            self.assertIn(schema.head(), out)
        code, out, _err = self.manage('version')
        self.assertEqual((0, f'found: {schema.head()}\nneeded: {schema.head()}\n'), (code, out))

    def test_a_ledger_alone_makes_no_journal(self):
        directory = os.path.join(os.path.dirname(self.state), 'ledgers')
        os.mkdir(directory, 0o700)
        self.write_conf(f'ledger_connection = sqlite:///{directory}/l.sqlite')
        for args in ((), ('--ledger',)):
            code, out, err = self.manage('sync', *args)
            self.assertEqual((0, 'The schema of the ledger is l003.\n'), (code, out), err)
            code, out, _err = self.manage('version', *args)
            self.assertEqual((0, 'ledger found: l003\nledger needed: l003\n'), (code, out))
        self.assertIn('l.sqlite', os.listdir(directory))
        self.assertFalse(os.path.exists(self.state))
        self.assertEqual(3, self.manage('version', '--journal')[0])
        os.mkdir(self.state, 0o700)
        code, out, _err = self.manage('sync', '--journal')
        self.assertEqual((0, f'The schema of the journal is {schema.head()}.\n'), (code, out))

    def test_both_if_both_are_named(self):
        os.mkdir(self.state, 0o700)
        url = f'sqlite:///{self.state}/both.sqlite'
        self.write_conf(f'connection = {url}\nledger_connection = {url}')
        code, out, _err = self.manage('sync')
        self.assertEqual((0, 2), (code, out.count('The schema of the ')))
        self.path = os.path.join(self.state, 'both.sqlite')
        self.sql("UPDATE migsafe_ledger_alembic_version SET version_num = 'l001'")
        self.assertEqual(0, self.manage('version', '--journal')[0])
        self.assertEqual(3, self.manage('version')[0])

    def test_a_ledger_that_is_not_named(self):
        for action in ('sync', 'version'):
            code, _out, err = self.manage(action, '--ledger')
            self.assertEqual(1, code)
            self.assertIn('ledger_connection is not set', err)
            self.assertIn(f'--config-file /etc/cinder/cinder.conf db {action} --ledger', err)
        self.assertFalse(os.path.exists(self.state))

    def test_root_makes_no_directory(self):
        with mock.patch('os.geteuid', return_value=0), \
                mock.patch.object(rights, 'owner', return_value=0):
            code, _out, err = self.manage('sync')
        self.assertEqual(1, code)
        self.assertIn(f'no directory {self.state}', err)
        self.assertIn('--config-file', err)
        self.assertFalse(os.path.exists(self.state))

    def test_an_old_ledger_names_its_own_command(self):
        directory = os.path.join(os.path.dirname(self.state), 'ledgers')
        self.conf.set_override('ledger_path', directory, 'migsafe')
        opening.open_ledger(self.conf, 'node1@a').close()
        self.path = os.path.join(directory, 'node1@a.sqlite')
        self.sql("UPDATE migsafe_ledger_alembic_version SET version_num = 'l001'")
        found = self.assertRaises(exceptions.JournalSchemaTooOld, opening.open_ledger,
                                  self.conf, 'node1@a', create=False)
        self.assertIn(f'Run: {opening.SYNC}', str(found))
        self.sql('DROP TABLE migsafe_exports')
        self.sql("UPDATE migsafe_ledger_alembic_version SET version_num = 'l003'")
        opened = opening.open_ledger(self.conf, 'node1@a', create=False)
        self.addCleanup(opened.close)
        found = self.assertRaises(exceptions.JournalUnavailable, opened.due)
        self.assertIn(f'Run: {opening.SYNC}', str(found))

    def test_a_later_schema(self):
        self.open().close()
        self.sql("UPDATE migsafe_alembic_version SET version_num = '0ff'")
        self.assertEqual(3, self.manage('version')[0])
        code, _out, err = self.manage('sync')
        self.assertEqual(1, code)
        self.assertIn('later version', err)

    def grants(self, account, *args, host='node13'):
        return self.run_tool(manage.main, '--config-file', self.nova_conf, '--host', host,
                             'db', 'grants', account, *args)

    def test_grants_needs_no_server(self):
        for url, words in (('mysql+pymysql', "ON `m_node13`.`migsafe_records` TO 'a-1'@'%';"),
                           ('postgresql+psycopg2', 'ON migsafe_records TO "a-1";')):
            self.write_conf(f'connection = {url}://m:{base.NOVA_PASSWORD}@127.0.0.1:1/m')
            code, out, err = self.grants('a-1')
            self.assertEqual((0, ''), (code, err))
            self.assertIn(words, out)
        self.write_conf('connection = mysql+pymysql://127.0.0.1:1/m')
        self.assertIn("TO 'a'@'10.0.0.%';", self.grants('a@10.0.0.%')[1])

    def test_grants_of_what_cannot_be(self):
        self.write_conf('connection = postgresql+psycopg2://127.0.0.1:1/m')
        for account in ('a"b', "a'b", 'a`b', 'a\\', 'a;b', '', 'a@h', 'a\nb', '\x1b[2J', 'x' * 64):
            code, out, err = self.grants(account)
            self.assertEqual((1, ''), (code, out), account)
            self.assertIn('the account', err)
            self.assertTrue(err.rstrip('\n').isprintable(), err)
        for host in ("n' OR 1=1", 'n;', 'n"', 'n\\', 'n\x00'):
            code, out, err = self.grants('a', host=host)
            self.assertEqual((1, ''), (code, out), host)
        self.write_conf('connection = mysql+pymysql://127.0.0.1:1/m%60;x')
        self.assertIn('the database', self.grants('a')[2])
        self.write_conf('connection = mysql+pymysql://127.0.0.1:1/m')
        self.assertIn('more than 64', self.grants('a', host='n' * 70)[2])
        self.write_conf()
        code, out, err = self.grants('a')
        self.assertEqual((1, ''), (code, out))
        self.assertIn('needs no accounts', err)

    def test_purge(self):
        clock = self.useFixture(journal_base.Clock())
        opened = self.open()
        opened.finish(self.begin(opened))
        self.begin(opened, uuid='m-2')
        clock.advance(10 * 86400)
        self.assertIn('Purged 0 ', self.manage('purge')[1])
        self.assertIn('Purged 1 ', self.manage('purge', '--days', '9')[1])
        self.assertIn('Purged 0 ', self.manage('purge', '--days', '0')[1])
        self.assertEqual(['m-2'], [tx.uuid for tx in opened.list()])

    def test_retention_of_zero_keeps_everything(self):
        self.write_conf('retention_days = 0')
        opened = self.open()
        opened.finish(self.begin(opened))
        code, out, _err = self.manage('purge')
        self.assertEqual(0, code)
        self.assertIn('--days N', out)
        self.assertEqual(1, len(opened.list()))

    def test_usage(self):
        for args in ((), ('exorcise',), ('purge', '--days', '-1'), ('purge', '--days', 'x'),
                     ('sync', '--ledger', '--journal')):
            self.assertEqual(2, self.manage(*args)[0])
        code, out, _err = self.run_tool(manage.main, '--help')
        self.assertEqual(0, code)
        self.assertIn('3  found', out)

    def test_errors(self):
        for command in ('purge',):
            code, _out, err = self.manage(command)
            self.assertEqual(1, code)
            self.assertIn(self.path, err)


class TestUpgradeCheck(ToolTestCase):
    """Each check finds what it is for."""

    def setUp(self):
        super().setUp()
        self.nova = self.useFixture(
            journal_base.fixtures.MockPatchObject(status, 'installed_nova')).mock
        self.nova.return_value = '34.0.0'
        self.useFixture(journal_base.fixtures.MockPatchObject(status, 'LOAD', 'pass'))
        self.open().close()

    def check(self, code, *wanted):
        """Run all checks; ``wanted`` is the (check, word) of the one that is not a success."""
        found, out, err = self.run_tool(
            status.main, '--config-file', self.nova_conf, 'upgrade', 'check', '--json')
        self.assertEqual(code, found, out + err)
        bad = {c['check']: c['details'] for c in json.loads(out)['checks'] if c['result']}
        self.assertEqual([name for name, _word in wanted], list(bad))
        for name, word in wanted:
            self.assertIn(word, bad[name])

    def test_all_well(self):
        self.check(0)

    def test_table(self):
        code, out, _err = self.run_tool(
            status.main, '--config-file', self.nova_conf, 'upgrade', 'check')
        self.assertEqual(0, code)
        self.assertIn('Supported Nova', out)

    def test_nova(self):
        for version in ('30.1.0', '32.0.0', '35.0.0', 'weird'):
            self.nova.return_value = version
            self.check(2, ('Supported Nova', version))
        for version in ('31.2.0', '33.0.0'):
            self.nova.return_value = version
            self.check(0)
        self.nova.return_value = None
        self.check(2, ('Supported Nova', 'not installed'))

    def test_another_project_of_the_same_name(self):
        self.installed.return_value = ['The distribution migsafe 0.4.1 is another', 'Remove it']
        self.check(2, ('Installed migsafe', 'migsafe 0.4.1'))

    def test_an_entry_point_that_can_be_loaded(self):
        with mock.patch.object(status, 'LOAD', LOAD):
            self.check(0)

    def test_an_entry_point_that_cannot_be_loaded(self):
        broken = 'import sys; sys.modules["migsafe.text"] = None'
        with mock.patch.object(status, 'LOAD', f'{broken}\n{LOAD}'):
            self.check(2, ('Load as os_vif does', 'migsafe.text'))

    def test_options(self):
        self.write_conf(enabled='false')
        self.check(1, ('Options', 'enabled = true'))
        self.write_conf('enforce = false')
        self.check(1, ('Options', 'enforce = true'))

    def test_no_journal_yet(self):
        os.unlink(self.path)
        self.check(1, ('Journal schema', 'creates it'))

    def test_permissions(self):
        os.chmod(self.state, 0o755)
        self.check(2, ('Journal schema', 'chmod 0700'), ('Journal', 'chmod 0700'))

    def test_schema(self):
        self.sql("UPDATE migsafe_alembic_version SET version_num = '0ff'")
        self.check(2, ('Journal schema', 'later version'), ('Journal', 'later version'))

    def test_a_server_that_is_away(self):
        self.write_conf('connection = postgresql+psycopg2://m:nova-db-hush@127.0.0.1:1/m')
        self.check(2, ('Journal schema', '127.0.0.1:1'), ('Journal', '127.0.0.1:1'),
                   ('Journal account', '127.0.0.1:1'))

    def test_unsettled(self):
        opened = self.open()
        opened.finish(self.begin(opened, uuid='m-0'))
        self.check(0)
        self.begin(opened)
        opened.verdict(self.begin(opened, uuid='m-2'), 'HOLD', 'peer is down')
        self.check(1, ('Journal', '2 live migration(s) of this host are not settled, 1 of them '
                                  'held'))
        self.write_conf(host='node11')
        self.open('node11').close()
        self.check(0)

    def test_directories(self):
        directory = self.nova_conf + '.d'
        os.mkdir(directory)
        with open(os.path.join(directory, 'a.conf'), 'w') as handle:
            handle.write('[migsafe]\nenabled = false\n')
        self.check(0)
        code, out, _err = self.run_tool(status.main, '--config-file', self.nova_conf,
                                        '--config-dir', directory, 'upgrade', 'check')
        self.assertEqual(1, code)
        self.assertIn('enabled = true', out)
        code, _out, err = self.run_tool(status.main, '--config-dir', '/nonexistent.d',
                                        'upgrade', 'check')
        self.assertEqual(255, code)
        self.assertIn('/nonexistent.d', err)

    def test_a_bad_option(self):
        self.write_conf('rpc_timeout = soon')
        code, out, _err = self.run_tool(
            status.main, '--config-file', self.nova_conf, 'upgrade', 'check', '--json')
        self.assertEqual(2, code)
        self.assertIn('rpc_timeout', out)

    def test_a_missing_file(self):
        code, _out, err = self.run_tool(
            status.main, '--config-file', '/nonexistent.conf', 'upgrade', 'check')
        self.assertEqual(255, code)
        self.assertIn('/nonexistent.conf', err)

    def test_nova_is_not_imported(self):
        import subprocess
        import sys
        done = subprocess.run(
            [sys.executable, '-c', 'import sys; import migsafe.cli.status, migsafe.cli.main, '
             'migsafe.cli.manage; print([n for n in sys.modules if n.split(".")[0] in '
             '("nova", "cinder", "eventlet", "migsafe_nova")])'],
            capture_output=True, text=True, check=True)
        self.assertEqual('[]', done.stdout.strip())
