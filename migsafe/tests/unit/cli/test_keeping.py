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
"""Check, backup and restore, and what their messages tell to do."""

import contextlib
import os
import shutil
import sqlite3
import stat
import subprocess

from migsafe import exceptions, ledger
from migsafe.cli import manage
from migsafe.ledger import records
from migsafe.tests.unit.cli import test_manage
from migsafe.tests.unit.journal import base
from migsafe.transaction import history


class TestKeeping(test_manage.ToolTestCase):
    """The file of a journal with one transaction that is decided, and one that is settled."""

    def setUp(self):
        super().setUp()
        self.journal = self.open()
        self.tx = self.journal.begin('m-1', 'source', 'i-1', 'node13', 'node11',
                                     captures=[('volume_connection', 'v-1', base.CONNECTION)])
        self.journal.request(self.tx, 'peer_is_dead', {'host': 'node11'})
        self.journal.verdict(self.tx, 'ABORT', 'node11 is dead')
        self.journal.finish(self.begin(self.journal, 'm-2'), verdict='COMMIT')
        self.copy = os.path.join(os.path.dirname(self.state), 'copy.sqlite')

    def manage(self, *args):
        return self.run_tool(manage.main, '--config-file', self.nova_conf, 'db', *args)

    def follow(self, text):
        """Run the command that a message names."""
        subprocess.run(['sh', '-euc', text[text.index('for s in'):]], check=True)

    def test_a_backup_while_the_journal_is_in_use(self):
        code, out, err = self.manage('backup', self.copy)
        self.assertEqual((0, True), (code, 'same secrets' in out), err)
        self.assertEqual(0o600, stat.S_IMODE(os.stat(self.copy).st_mode))
        self.journal.note(self.tx, 'later')
        with sqlite3.connect(self.copy) as raw:
            self.assertEqual([(2,)], raw.execute(
                'SELECT count(*) FROM migsafe_transactions').fetchall())
        raw.close()
        self.assertEqual(['copy.sqlite'], [name for name in os.listdir(os.path.dirname(self.copy))
                                           if 'copy' in name])
        code, _out, err = self.manage('backup', self.copy)
        self.assertEqual(1, code)
        self.follow(err)
        self.assertEqual(0, self.manage('backup', self.copy)[0])

    def test_a_restored_journal_is_an_old_one(self):
        self.manage('backup', self.copy)
        self.journal.close()
        code, _out, err = self.manage('restore', self.copy)
        self.assertEqual((1, True), (code, 'nothing is overwritten' in err))
        self.follow(err)
        code, out, err = self.manage('restore', self.copy)
        self.assertEqual((0, True), (code, '1 entries' in out), err)
        journal = self.open()
        tx = journal.get('m-1')
        self.assertEqual(('open', 'HOLD'), (tx.state, tx.verdict))
        self.assertIn('restored from a backup', tx.reason)
        self.assertEqual('COMMIT', journal.get('m-2').verdict)
        self.assertEqual({'node11'}, history.read(self.journal_of(self.copy)).dead_hosts)
        self.assertEqual(set(), history.read(journal.records(tx)).dead_hosts)
        journal.check_writable()
        journal.check_whole()

    def test_a_disk_that_was_put_back(self):
        code, out, err = self.manage('distrust')
        self.assertEqual((0, True), (code, '1 entries' in out), err)
        tx = self.journal.get('m-1')
        self.assertEqual(('open', 'HOLD'), (tx.state, tx.verdict))
        self.assertEqual(set(), history.read(self.journal.records(tx)).dead_hosts)
        self.assertEqual('COMMIT', self.journal.get('m-2').verdict)
        os.rename(self.path, self.path + '.away')
        code, _out, err = self.manage('distrust')
        self.assertEqual((1, False), (code, os.path.exists(self.path)), err)

    def test_tables_that_somebody_has_removed(self):
        self.manage('backup', self.copy)
        with contextlib.closing(sqlite3.connect(self.path)) as raw:
            raw.execute('DROP TABLE migsafe_records')
        error = self.assertRaises(exceptions.JournalUnavailable, self.journal.records, self.tx)
        self.assertIn('Run: migsafe-manage db sync. If they are missing after it', str(error))
        self.assertEqual(0, self.manage('sync')[0])
        self.assertRaises(exceptions.JournalUnavailable, self.journal.records, self.tx)
        self.journal.close()
        self.follow(self.manage('restore', self.copy)[2])
        self.assertEqual(0, self.manage('restore', self.copy)[0])
        opened = self.open()
        opened.check_writable()
        self.assertEqual(base.CONNECTION, opened.records(opened.get('m-1'))[0].payload)

    def journal_of(self, copy):
        """The log of the first transaction as it was."""
        shutil.copy2(copy, os.path.join(self.state, 'node99.sqlite'))
        opened = self.open('node99')
        return opened.records(opened.get('m-1', all_hosts=True))

    def test_what_is_no_backup_changes_nothing(self):
        self.journal.close()
        self.manage('backup', self.copy)
        with open(self.copy, 'r+b') as handle:
            handle.seek(4096 * 3)
            handle.write(b'\0' * 4096)
        os.unlink(self.path)
        code, _out, err = self.manage('restore', self.copy)
        self.assertEqual((1, True), (code, 'is damaged' in err), err)
        self.assertFalse(os.path.exists(self.path))
        self.assertEqual([], [name for name in os.listdir(self.state) if 'new' in name])

    def test_check(self):
        code, out, _err = self.manage('check')
        self.assertEqual((0, f'{self.path} is whole.\n'), (code, out))
        self.journal.close()
        with open(self.path, 'r+b') as handle:
            handle.seek(4096 * 3)
            handle.write(b'\0' * 4096)
        self.assertEqual(1, self.manage('check')[0])
        os.unlink(self.path)
        code, _out, err = self.manage('check')
        self.assertEqual((1, True), (code, '--config-file' in err))

    def test_a_server_has_its_own_tools(self):
        self.write_conf('connection = postgresql+psycopg2://u:p4ss@127.0.0.1:1/migsafe\n'
                        'ledger_connection = postgresql+psycopg2://u:p4ss@127.0.0.1:1/migsafe')
        for args in (('check',), ('backup', '--ledger', self.copy),
                     ('restore', '--ledger', self.copy)):
            code, _out, err = self.manage(*args)
            self.assertEqual((1, True, False), (code, 'pg_dump' in err, 'p4ss' in err), err)

    def test_a_server_that_is_away(self):
        self.write_conf('connection = postgresql+psycopg2://u:p4ss@127.0.0.1:1/migsafe')
        for args in (('backup', self.copy), ('restore', self.copy)):
            code, _out, err = self.manage(*args)
            self.assertEqual((1, True, False), (code, '127.0.0.1:1' in err, 'p4ss' in err), err)
            self.assertFalse(os.path.exists(self.copy))

    def test_a_ledger(self):
        directory = os.path.join(os.path.dirname(self.state), 'ledgers')
        self.write_conf(f'ledger_path = {directory}')
        self.conf.set_override('ledger_path', directory, 'migsafe')
        opened = ledger.open_ledger(self.conf, 'node1@a')
        thing = records.Thing('volume', 'v-1')
        peer = records.Peer.of({'host': 'node13', 'initiator': 'iqn.13'})
        opened.intend(thing, [peer], 'mapping')
        opened.settle(thing, [peer.key], 'mapped')

        def run(*args):
            return self.run_tool(manage.main, '--config-file', self.nova_conf,
                                 '--host', 'node1@a', 'db', *args)
        code, _out, err = run('backup', '--ledger', self.copy)
        self.assertEqual(0, code, err)
        opened.close()
        os.unlink(os.path.join(directory, 'node1@a.sqlite'))
        code, out, err = run('restore', '--ledger', self.copy)
        self.assertEqual((0, True), (code, '1 entries' in out), err)
        opened = ledger.open_ledger(self.conf, 'node1@a')
        self.addCleanup(opened.close)
        self.assertEqual(['v-1'], [row.resource for row in opened.due()])
