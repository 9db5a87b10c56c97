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
import errno
import os
import shutil
import threading
from unittest import mock

import testtools

from migsafe.brick import errors
from migsafe.brick.identity import inquiry
from migsafe.brick.kernel import bounded, openers, sysfs
from migsafe.brick.root import claims, disks, privileged
from migsafe.tests.unit.brick import trees

NAA, OTHER = frozenset(('naa.12',)), frozenset(('naa.34',))


class PrivilegedCase(testtools.TestCase):
    """Disks are files here; what they answer is made up."""

    def setUp(self):
        super().setUp()
        self.tree = self.useFixture(trees.Tree())
        self.tree.disk('sda')
        (self.tree.top / 'sda' / 'device').mkdir()
        self.delete = self.tree.top / 'sda' / 'device' / 'delete'
        self.delete.write_bytes(b'')
        self.dev = self.tree.root / 'dev'
        (self.dev / 'sda').write_bytes(b'')
        self.identity = mock.Mock(return_value=NAA)
        self.patch(inquiry, 'identity', self.identity)
        # who may run tests may not make block devices
        self.patch(sysfs, 'block_number', lambda found: '8:1')
        # nor look at the processes of others
        self.uses = mock.Mock(return_value=[])
        self.patch(openers, 'uses', self.uses)

    def patch(self, where, name, what):
        patcher = mock.patch.object(where, name, what)
        patcher.start()
        self.addCleanup(patcher.stop)

    def open_fails(self, number):
        opened = os.open

        def fails(path, flags, *args):
            if not str(path).startswith('/proc/self/fd/'):
                return opened(path, flags, *args)
            raise OSError(number, os.strerror(number))
        self.patch(os, 'open', fails)


class RemovedTest(PrivilegedCase):

    def removed(self, expected=NAA, name='sda'):
        return claims.removed(name, expected, str(self.tree.root), str(self.dev))

    def assertRemoved(self, yes):
        self.assertEqual(b'1' if yes else b'', self.delete.read_bytes())

    def test_right_disk(self):
        self.assertEqual({'done': True}, self.removed())
        self.assertRemoved(True)

    def test_another_disk(self):
        self.identity.return_value = OTHER
        self.assertEqual({'done': False, 'reason': 'another disk', 'identity': ['naa.34']},
                         self.removed())
        self.assertRemoved(False)

    def test_unknown_identity(self):
        self.assertTrue(self.removed(frozenset())['done'])
        self.assertFalse(self.identity.called)

    def test_a_disk_without_a_node(self):
        (self.dev / 'sda').unlink()
        self.assertFalse(self.removed()['done'])
        self.assertRemoved(False)

    def test_claimed(self):
        self.open_fails(errno.EBUSY)
        self.assertFalse(self.removed()['done'])
        self.assertRemoved(False)

    def test_offline(self):
        self.open_fails(errno.ENXIO)
        self.assertTrue(self.removed()['done'])
        self.assertRemoved(True)

    def test_a_failing_path_goes(self):
        self.identity.side_effect = OSError(errno.EIO, 'no connection')
        self.assertTrue(self.removed()['done'])
        self.assertRemoved(True)

    def test_an_answer_that_is_none(self):
        self.identity.side_effect = errors.BadPage(reason='x')
        self.assertFalse(self.removed()['done'])
        self.assertRemoved(False)

    def test_gone(self):
        shutil.rmtree(self.tree.top / 'sda')
        self.assertTrue(self.removed()['done'])

    def test_what_has_no_delete(self):
        shutil.rmtree(self.delete.parent)
        self.assertFalse(self.removed()['done'])

    def test_a_node_of_another_device(self):
        sysfs.block_number = lambda found: '8:2'
        self.assertFalse(self.removed()['done'])
        self.assertRemoved(False)

    def test_bad_name(self):
        for name in ('../sda', 'sda/..', 'sd\na', '', 'shm!..!sda', '!sda', 'sda!', 'a' * 65):
            self.assertFalse(self.removed(name=name)['done'])
        self.assertRemoved(False)


class InUseTest(PrivilegedCase):
    """A claim keeps nobody away who only opens the disk."""

    def setUp(self):
        super().setUp()
        self.tree.disk('sdb')
        (self.tree.top / 'sdb' / 'device').mkdir()
        (self.tree.top / 'sdb' / 'device' / 'delete').write_bytes(b'')
        (self.dev / 'sdb').write_bytes(b'')
        self.numbers = {name: (self.tree.top / name / 'dev').read_text().strip()
                        for name in ('sda', 'sdb')}
        nodes = {os.stat(self.dev / name).st_ino: number for name, number in self.numbers.items()}
        self.patch(sysfs, 'block_number', lambda found: nodes[found.st_ino])
        self.claim = claims.claimed(['sda', 'sdb'], str(self.dev), str(self.tree.root))['claim']
        self.addCleanup(claims.let_go, self.claim)

    def removed(self, name, number=None):
        return claims.removed(name, NAA, str(self.tree.root), str(self.dev),
                              self.claim if number is None else number)

    def used(self, name):
        return [openers.Use(self.numbers[name], 'process 7 (qemu-kvm)')]

    def test_whoever_has_one_open_keeps_all(self):
        self.uses.return_value = self.used('sdb')
        for name in ('sda', 'sdb', 'sda'):
            self.assertEqual(
                {'done': False, 'reason': 'in use: process 7 (qemu-kvm)',
                 'users': [['sdb', 'process 7 (qemu-kvm)']]}, self.removed(name))
        self.assertEqual(b'', self.delete.read_bytes())
        # the claim is still there for the next try
        self.uses.return_value = []
        self.assertTrue(self.removed('sda')['done'])
        self.assertEqual(b'1', self.delete.read_bytes())

    def test_it_is_looked_last(self):
        self.uses.side_effect = lambda *where: (
            self.assertEqual(([mock.call(mock.ANY, 'sda')], b''),
                             (self.identity.mock_calls, self.delete.read_bytes())) or [])
        self.assertTrue(self.removed('sda')['done'])
        self.assertEqual(1, self.uses.call_count)

    def test_one_look_is_good_for_all_and_not_for_long(self):
        now = [100.0]
        self.patch(claims.time, 'monotonic', lambda: now[0])
        self.assertTrue(self.removed('sda')['done'])
        self.assertEqual(set(self.numbers.values()), set(self.uses.call_args[0][0]))
        now[0] += claims.FRESH
        self.uses.return_value = self.used('sdb')
        self.assertFalse(self.removed('sdb')['done'])
        self.uses.return_value = []
        self.assertTrue(self.removed('sdb')['done'])

    def test_one_look_is_enough_at_once(self):
        self.patch(claims.time, 'monotonic', lambda: 100.0)
        self.assertTrue(self.removed('sda')['done'] and self.removed('sdb')['done'])
        self.assertEqual(1, self.uses.call_count)

    def test_one_that_comes_to_the_claim_later_was_not_looked_at(self):
        self.patch(claims.time, 'monotonic', lambda: 100.0)
        claims.let_go(self.claim)
        self.claim = claims.claimed(['sda'], str(self.dev), str(self.tree.root))['claim']
        self.addCleanup(claims.let_go, self.claim)
        self.assertTrue(self.removed('sda')['done'])
        self.uses.return_value = self.used('sdb')
        self.assertEqual([['sdb', 'process 7 (qemu-kvm)']], self.removed('sdb').get('users'))

    def test_without_a_claim_each_is_looked_at(self):
        for name in ('sda', 'sdb'):
            claims.let_go(self.claim)
            self.uses.return_value = self.used(name)
            self.assertEqual([[name, 'process 7 (qemu-kvm)']],
                             self.removed(name, 0)['users'])
            self.assertEqual({self.numbers[name]}, set(self.uses.call_args[0][0]))

    def test_what_cannot_be_found_out_keeps_it(self):
        for error in (OSError(errno.EACCES, '/proc/7/fd: Permission denied'),
                      FileNotFoundError(errno.ENOENT, 'x'),
                      errors.Unsure(device='sda', host='cn1', reason='x')):
            self.uses.side_effect = error
            self.assertFalse(self.removed('sda')['done'])
        self.assertEqual(b'', self.delete.read_bytes())


class SilentTest(PrivilegedCase):
    """The array does not answer."""

    def setUp(self):
        super().setUp()
        self.answers = threading.Event()
        self.addCleanup(self.ended)
        self.begun = threading.Event()
        self.identity.side_effect = lambda fd, name: (
            self.begun.set(), self.answers.wait()) and NAA
        self.seconds = []
        ask = bounded.ask

        def asked(questions, seconds, *more):
            self.seconds.append(seconds)
            return ask(questions, 0.01 if seconds < 60 and not self.answers.is_set() else 60,
                       *more)
        self.patch(bounded, 'ask', asked)
        disks._SILENT.clear()
        self.addCleanup(disks._SILENT.clear)

    def ended(self):
        """No question of this test is open in the next."""
        self.answers.set()
        for thread in threading.enumerate():
            if thread.name.startswith('ask '):
                thread.join()

    def asked(self):
        return disks.asked(['sda'], 10.0, str(self.dev), str(self.tree.root))['sda']

    def test_it_is_left(self):
        self.assertEqual(('silent', []), (self.asked()['state'], self.asked()['identity']))

    def test_what_holds_its_commands_back_is_not_asked(self):
        state = self.tree.top / 'sda' / 'device' / 'state'
        for text, asked in (('blocked', False), ('transport-offline', False), ('running', True)):
            state.write_text(f'{text}\n')
            self.identity.reset_mock()
            self.assertEqual('silent', self.asked()['state'])
            # it is left after a moment, in which a loaded machine may not have begun
            self.assertEqual(asked, asked and self.begun.wait(60) or self.identity.called)

    def test_the_removal_does_not_wait_as_long_again(self):
        self.asked()
        # with the claim, which is asked for in the same way
        self.patch(disks, 'opened', lambda *where: os.open('/dev/null', os.O_RDONLY))
        self.assertTrue(claims.removed('sda', NAA, str(self.tree.root),
                                           str(self.dev))['done'])
        self.assertEqual([10.0, disks.AGAIN], self.seconds)

    def test_the_kernels_note_of_another_disk_keeps_it(self):
        (self.tree.top / 'sda' / 'device' / 'wwid').write_text('naa.34\n')
        self.patch(disks, 'opened', lambda *where: os.open('/dev/null', os.O_RDONLY))
        found = claims.removed('sda', NAA, str(self.tree.root), str(self.dev))
        self.assertEqual((False, ['naa.34']), (found['done'], found['identity']))


class ClaimedTest(PrivilegedCase):

    def setUp(self):
        super().setUp()
        privileged.default.set_client_mode(False)
        self.addCleanup(privileged.default.set_client_mode, True)
        self.before = len(os.listdir('/proc/self/fd'))

    def claimed(self, *names):
        return claims.claimed(names, str(self.dev), str(self.tree.root))

    def assertOpen(self, number):
        self.assertEqual(number, len(os.listdir('/proc/self/fd')) - self.before)

    def test_until_it_is_let_go(self):
        found = self.claimed('sda', 'sdz')
        self.assertTrue(found['done'])
        self.assertOpen(1)
        for _ in range(2):
            privileged.let_go(found['claim'])
            self.assertOpen(0)

    def test_all_or_none(self):
        found = self.claimed('sda', '../sda')
        self.assertEqual((False, '../sda'), (found['done'], found['name']))
        self.assertOpen(0)

    def test_none_is_kept_open_whatever_goes_wrong_with_the_next(self):
        self.tree.disk('sdb')
        (self.dev / 'sdb').write_bytes(b'')
        first = disks.nodes.opened
        for error in (errors.Unsure(device='sdb', host='cn1', reason='x'),
                      RuntimeError('no thread'), MemoryError(), KeyboardInterrupt()):
            def opened(name, *args, error=error):
                if name == 'sdb':
                    raise error
                return first(name, *args)
            with self.subTest(repr(error)), \
                    mock.patch.object(disks.nodes, 'opened', opened):
                self.assertRaises(type(error), self.claimed, 'sda', 'sdb')
                self.assertOpen(0)
        self.assertEqual({}, claims._CLAIMS)

    def test_without_a_thread_to_open_it_in(self):
        with mock.patch.object(bounded.threading.Thread, 'start',
                               side_effect=RuntimeError("can't start new thread")):
            self.assertRaises(RuntimeError, self.claimed, 'sda')
        found = self.claimed('sda')
        self.assertTrue(found['done'], found)
        privileged.let_go(found['claim'])
        self.assertOpen(0)

    def test_what_somebody_has(self):
        self.open_fails(errno.EBUSY)
        self.assertEqual((False, 'sda'), (self.claimed('sda')['done'],
                                          self.claimed('sda')['name']))
        self.assertOpen(0)


class LookedTest(PrivilegedCase):

    def looked(self, exclusive=False, name='sda'):
        return disks.looked(name, exclusive, str(self.dev), str(self.tree.root))

    def test_states(self):
        self.assertEqual(['naa.12'], self.looked()['identity'])
        for number, state in ((errno.EBUSY, 'busy'), (errno.ENXIO, 'dead'),
                              (errno.EACCES, 'unknown')):
            with self.subTest(state=state):
                self.open_fails(number)
                self.assertEqual(state, self.looked()['state'])

    def test_a_node_that_is_not_there(self):
        (self.dev / 'sda').unlink()
        self.assertEqual('unknown', self.looked()['state'])
        shutil.rmtree(self.tree.top / 'sda')
        self.assertEqual('dead', self.looked()['state'])

    def test_a_claim_asks_for_nothing_else(self):
        self.assertEqual('free', self.looked(exclusive=True)['state'])
        self.assertFalse(self.identity.called)

    def test_no_answer(self):
        for error in (OSError(errno.EIO, 'x'), errors.BadPage(reason='x')):
            self.identity.side_effect = error
            self.assertEqual(('free', []), (self.looked()['state'], self.looked()['identity']))

    def test_bad_name(self):
        for name in ('../sda', 'shm!..!..!etc!passwd'):
            self.assertEqual('unknown', self.looked(name=name)['state'])


class NodesTest(testtools.TestCase):
    """What stands in /dev is looked at before it is opened, without anything made up."""

    def setUp(self):
        super().setUp()
        self.tree = self.useFixture(trees.Tree())
        self.opened = []
        opened = os.open

        def recorded(path, flags, *args):
            self.opened.append((str(path), bool(flags & os.O_PATH)))
            return opened(path, flags, *args)
        patcher = mock.patch.object(os, 'open', recorded)
        patcher.start()
        self.addCleanup(patcher.stop)

    def assertNotOpened(self, name, dev='/dev'):
        for exclusive in (True, False):
            found = disks.looked(name, exclusive, dev, str(self.tree.root))
            self.assertEqual('unknown', found['state'], found)
        inside = {path for path, looks in self.opened
                  if not looks and not path.endswith('/device/state')}
        self.assertEqual({str(self.tree.top / name / 'dev')}, inside)

    def test_a_character_device(self):
        self.tree.disk('null')
        (self.tree.top / 'null' / 'dev').write_text('1:3\n')
        self.assertNotOpened('null')

    def test_a_file(self):
        self.tree.disk('sda')
        (self.tree.root / 'sda').write_bytes(b'')
        self.assertNotOpened('sda', str(self.tree.root))

    def test_a_link(self):
        self.tree.disk('sda')
        (self.tree.root / 'sda').symlink_to('/dev/null')
        self.assertNotOpened('sda', str(self.tree.root))

    def test_no_character_device_has_a_kernel_name(self):
        self.assertIsNone(sysfs.kernel_name('/dev/null'))
        self.assertIsNone(sysfs.block_number(os.stat('/dev/null')))


class RemoveLvTest(testtools.TestCase):

    def test_only_a_logical_volume_by_its_own_uuid(self):
        remove = privileged.remove_lv
        privileged.default.set_client_mode(False)
        self.addCleanup(privileged.default.set_client_mode, True)
        tree = self.useFixture(trees.Tree())
        uuid = f'LVM-{trees.VG}{trees.LV}'
        tree.disk('sda')
        tree.lv('dm-0', 'sda')
        sysfs = tree.sysfs
        with mock.patch.object(privileged.processutils, 'execute') as execute, \
                mock.patch.object(privileged.kernel_sysfs, 'Sysfs', lambda: sysfs):
            for name, wrong in (('dm-0', 'mpath-3600'), ('dm-0', uuid[:-1] + 'x'),
                                ('dm-0', uuid + '-a b')):
                self.assertFalse(remove(name, wrong)['done'])
            self.assertFalse(execute.called)
            self.assertTrue(remove('dm-9', uuid)['done'])
            self.assertFalse(remove('dm-0', uuid)['done'])
            execute.assert_called_once_with('dmsetup', 'remove', '--uuid', uuid)
