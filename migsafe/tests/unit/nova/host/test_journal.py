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
"""The journal of a nova-compute that cannot be opened at start."""

import os
import types
import unittest
from unittest import mock

from migsafe import exceptions
from migsafe.brick.guard import kept_devices
from migsafe.journal import late as late_store
from migsafe.journal import opening
from migsafe.nova.deferred import findings
from migsafe.nova.host import journal as host_journal
from migsafe.tests.unit.nova import hosts
from migsafe.tests.unit.resources import cloud as fake
from migsafe.transaction import clients

NEAR, FAR, NEVER = 'i-near', 'i-far', 'i-never'


class TestUnreadable(hosts.TwoHosts):
    """Its directory is not there."""

    def setUp(self):
        super().setUp()
        self.src.journal.begin('m-1', 'source', NEAR, fake.SRC, fake.DST)
        self.src.journal.set_findings('R4', {(NEAR, 'v-1'): 'held'})
        self.path = os.path.dirname(self.src.journal.database)
        os.rename(self.path, f'{self.path}.away')
        os.symlink(f'{self.path}.nowhere', self.path)
        self.opened = []
        self.asked = []
        records = types.SimpleNamespace(moves=self.moves)
        self.late = host_journal.of_host(self.conf, fake.SRC, records)
        self.addCleanup(self.late.close)
        self.assertRaises(exceptions.JournalAway, self.late.open, self.opened.append)

    def heal(self):
        os.unlink(self.path)
        os.rename(f'{self.path}.away', self.path)

    def moves(self, uuid):
        self.asked.append(uuid)
        move = {NEAR: ('live-migration', fake.SRC, fake.DST), FAR: ('live-migration', 'x', 'y'),
                NEVER: ('resize', fake.SRC, fake.DST)}[uuid]
        return [clients.OtherMove(move[0], 'm', 'done', move[1], move[2], True)]

    def test_records_answer_for_an_instance_that_never_moved_here(self):
        for uuid in (FAR, NEVER):
            self.assertEqual([], self.late.unsettled_for_instance(uuid))
            self.assertEqual([], self.late.list(instance_uuid=uuid))
        for call in (lambda: self.late.unsettled_for_instance(NEAR), self.late.list,
                     lambda: self.late.list(instance_uuid=NEAR), self.late.statuses,
                     self.late.check_writable, self.late.check_whole):
            self.assertRaises(exceptions.JournalAway, call)
        self.assertEqual([], self.opened)

    def test_it_comes_back_with_its_next_use(self):
        self.heal()
        tx, = self.late.unsettled_for_instance(NEAR)
        self.assertEqual('m-1', tx.uuid)
        self.late.check_writable()
        self.assertEqual([self.late], self.opened)
        self.assertEqual([], self.asked)

    def test_what_is_damaged_is_nobodys_to_answer(self):
        self.heal()
        self.src.journal.close()
        with open(self.late.database, 'wb') as handle:
            handle.write(b'x' * 8192)
        self.assertRaises(exceptions.JournalFileCorrupt, self.late.unsettled_for_instance, NEVER)
        self.assertEqual([], self.asked)

    def test_what_was_kept_is_known_again_and_nothing_is_overwritten(self):
        self.addCleanup(kept_devices.clear)
        known = []
        noted = findings.Noted('R4', self.late, lambda *found: known.append(found))
        noted.put((FAR, 'v-2'), 'new')
        self.assertEqual({(FAR, 'v-2'): 'new'}, noted.all())
        self.heal()
        both = {(NEAR, 'v-1'): 'held', (FAR, 'v-2'): 'new'}
        self.assertEqual(both, noted.all())
        self.assertEqual([((NEAR, 'v-1'), 'held')], known)
        self.assertEqual(both, {(one.instance_uuid, one.key): one.text
                                for one in self.late.findings()})


class TestServer(hosts.TwoHosts):
    def test_one_that_does_not_answer(self):
        """A port that nobody listens at, and that nobody else can have meanwhile."""
        import socket
        with socket.socket() as bound:
            bound.bind(('127.0.0.1', 0))
            self.conf.set_override(
                'connection', f'postgresql+psycopg2://u:hush@127.0.0.1:{bound.getsockname()[1]}/m',
                'migsafe')
            self.addCleanup(self.conf.clear_override, 'connection', 'migsafe')
            late = host_journal.of_host(self.conf, fake.SRC, None)
            with self.assertRaises(exceptions.JournalAway) as caught:
                late.open(print)
            self.assertIn('127.0.0.1', str(caught.exception))
            self.assertNotIn('hush', str(caught.exception))
            self.assertIn('connect_timeout=10', str(late._store.engine.url))
            self.one_that_keeps_waiting(late, caught.exception)

    def one_that_keeps_waiting(self, late, error):
        """It is not tried again for each who asks, which a start would do for each instance."""
        clock, tried = [1000.0], []

        def ready(*_args):
            tried.append(clock[0])
            clock[0] += 10
            raise error

        with mock.patch.object(opening, 'ready', ready), \
                mock.patch.object(late_store.time, 'monotonic', lambda: clock[0]):
            for _ in range(5):
                self.assertRaises(exceptions.JournalAway, late.statuses)
            self.assertEqual([1000.0], tried)
            clock[0] += 101
            self.assertRaises(exceptions.JournalAway, late.statuses)
        self.assertEqual(2, len(tried))


if __name__ == '__main__':
    unittest.main()
