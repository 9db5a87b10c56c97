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
"""``migsafe settle``: the operator's mailbox."""

import os
import threading
import time

from migsafe.tests.unit.cli import base


class TestSettle(base.CommandTestCase):
    """Writes requests and reports what nova-compute made of them."""

    def setUp(self):
        super().setUp()
        self.journal = self.open()
        self.one = self.begin(self.journal, uuid='m-1', instance='i-1')
        self.two = self.begin(self.journal, uuid='m-2', instance='i-2')

    def requests(self, tx):
        return [(line.effect, line.payload) for line in self.journal.records(
            tx, kinds=('request',))]

    def compute(self, act):
        """Play the recovery of nova-compute: act on each request once it is there."""
        stop, seen = threading.Event(), set()
        mine = self.open()

        def run():
            while not stop.is_set():
                for tx in mine.unsettled():
                    for line in mine.records(tx, kinds=('request',)):
                        if line.id not in seen:
                            seen.add(line.id)
                            act(mine, tx)
                time.sleep(0.02)
        thread = threading.Thread(target=run)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(stop.set)

    def test_repaired(self):
        self.compute(lambda journal, tx: (
            journal.verdict(tx, 'ABORT', 'runs on node13'), journal.finish(tx)))
        row, = self.rows('settle', 'm-1', code=4)
        self.assertEqual(('m-1', 'settled', 'ABORT', 'runs on node13'),
                         (row['UUID'], row['Result'], row['Verdict'], row['Reason']))
        (effect, payload), = self.requests(self.one)
        self.assertEqual('settle', effect)
        self.assertIn('user', payload)
        self.assertEqual([], self.requests(self.two))

    def test_still_held(self):
        self.compute(lambda journal, tx: journal.postpone(tx, 30, 'node11 does not answer'))
        row, = self.rows('settle', 'm-1', '--wait', '1.5', code=3)
        self.assertEqual(('held', 'node11 does not answer'), (row['Result'], row['Reason']))

    def test_nobody_there(self):
        row, = self.rows('settle', '--instance', 'i-2', '--wait', '0', code=3)
        self.assertEqual(('m-2', 'waiting'), (row['UUID'], row['Result']))
        self.assertEqual(1, len(self.requests(self.two)))
        self.assertEqual(0, len(self.requests(self.one)))

    def test_all(self):
        self.compute(lambda journal, tx: journal.finish(tx))
        self.assertEqual(['m-1', 'm-2'],
                         [row['UUID'] for row in self.rows('settle', '--all', code=4)])

    def test_nothing_to_do(self):
        self.journal.finish(self.one)
        self.assertEqual([], self.rows('settle', 'm-1'))
        self.assertEqual([], self.rows('settle', '--instance', 'i-9'))

    def test_unknown(self):
        code, _out, err = self.run_command('settle', 'm-9')
        self.assertEqual(1, code)
        self.assertIn('m-9', err)

    def test_usage(self):
        for args in ((), ('m-1', '--all'), ('--all', '--instance', 'i-1'),
                     ('m-1', '--wait', 'long')):
            self.assertEqual(2, self.run_command('settle', *args)[0])
        self.assertEqual([], self.requests(self.one))

    def test_a_dead_peer_needs_its_name_typed(self):
        for typed in ('', '\n', 'yes\n', 'node13\n', 'node1\n'):
            code, _out, err = self.run_command(
                'settle', 'm-1', '--peer-is-dead', 'node11', '--wait', '0', typed=typed)
            self.assertEqual(1, code)
            self.assertIn('Nothing was done', err)
            self.assertIn('fence it FIRST', err)
        self.assertEqual([], self.requests(self.one))
        self.run_command('settle', 'm-1', '--peer-is-dead', 'node11', '--wait', '0',
                         typed='node11\n')
        (effect, payload), = self.requests(self.one)
        self.assertEqual(('peer_is_dead', 'node11'), (effect, payload['host']))
        self.assertTrue(payload['user'])

    def test_yes_does_not_ask(self):
        code, _out, err = self.run_command(
            'settle', '--all', '--peer-is-dead', 'node11', '--yes', '--wait', '0')
        self.assertEqual(3, code)
        self.assertNotIn('Type the name', err)
        for tx in (self.one, self.two):
            self.assertEqual('peer_is_dead', self.requests(tx)[0][0])

    def test_a_host_that_is_nobodys_peer(self):
        for host in ('node99', 'node13', '\x1b[2J', ''):
            code, _out, err = self.run_command(
                'settle', 'm-1', '--peer-is-dead', host, '--yes')
            self.assertEqual(1, code, err)
        self.assertEqual([], self.requests(self.one))

    def test_withdrawal_needs_the_name_typed(self):
        self.journal.verdict(self.one, 'COMMIT', 'node11 said so')
        for typed in ('', 'yes\n', 'node11\n'):
            code, _out, err = self.run_command(
                'settle', 'm-1', '--withdraw', 'node13', '--yes', '--wait', '0', typed=typed)
            self.assertEqual(1, code)
            for part in ('Nothing was done', 'i-1', 'm-1', 'COMMIT', 'virsh list'):
                self.assertIn(part, err)
        self.assertEqual([], self.requests(self.one))
        self.run_command('settle', 'm-1', '--withdraw', 'node13', '--wait', '0',
                         typed='node13\n')
        (effect, payload), = self.requests(self.one)
        self.assertEqual(('withdraw', 'node13'), (effect, payload['host']))
        self.assertTrue(payload['user'])
        self.assertEqual('COMMIT', self.journal.get('m-1').verdict)

    def test_withdrawal_of_one_migration_between_these_hosts(self):
        for args in (('--all', '--withdraw', 'node13'), ('m-1', '--withdraw', 'node99'),
                     ('m-1', '--withdraw', ''), ('--instance', 'i-1', '--withdraw', 'node13'),
                     ('m-1', '--withdraw', 'node13', '--peer-is-dead', 'node11')):
            code, _out, err = self.run_command('settle', *args, typed=f'{args[-1]}\n')
            self.assertEqual(1, code, err)
        self.assertEqual([], self.requests(self.one) + self.requests(self.two))

    def test_only_transactions_with_that_peer(self):
        other = self.journal.begin('m-3', 'source', 'i-3', 'node13', 'node17')
        self.run_command('settle', '--all', '--peer-is-dead', 'node17', '--yes', '--wait', '0')
        self.assertEqual(1, len(self.requests(other)))
        self.assertEqual([], self.requests(self.one))

    def test_who_asks_is_recorded_through_sudo(self):
        from unittest import mock
        with mock.patch.dict(os.environ, {'SUDO_USER': 'alice'}):
            self.run_command('settle', 'm-1', '--wait', '0')
        self.assertIn('alice', self.requests(self.one)[0][1]['user'])

    def test_a_damaged_transaction_can_be_asked_for(self):
        self.sql("UPDATE migsafe_transactions SET verdict = 'MAYBE' WHERE uuid = 'm-1'")
        row, = self.rows('settle', 'm-1', '--wait', '0', code=3)
        self.assertEqual('<unreadable>', row['Verdict'])
        self.assertEqual(1, len(self.requests(self.two) + self.requests(self.one)))
