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
import pathlib
import struct
import threading
from concurrent import futures
from unittest import mock

import fixtures
import testtools

from migsafe.brick.kernel import (
    bounded,
    claims,
    exports,
    multipathd,
    openers,
    processes,
    statx,
)
from migsafe.tests.unit.brick import trees


def status(on, device):
    """struct loop_info64 with what is read of it; numbers are (major, minor)."""
    return struct.pack('=3Q', os.makedev(*on), 5, os.makedev(*device) if device else 0)


class LoopsTest(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.root = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.answers = {}
        self.useFixture(fixtures.MonkeyPatch('migsafe.brick.kernel.loops._status', self.status))

    def status(self, name, sys, dev):
        answer = self.answers[name]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def loop(self, name, answer, path='/dev/sdq'):
        directory = self.root / 'class' / 'block' / name
        directory.mkdir(parents=True)
        if answer is not None:
            (directory / 'loop').mkdir()
            # a path says nothing: this one is another device's
            (directory / 'loop' / 'backing_file').write_text(f'{path}\n')
            self.answers[name] = answer

    def loops(self, *numbers):
        return [str(use) for use in openers.over(numbers, str(self.root))]

    def test_over_one(self):
        self.loop('loop7', status((0, 5), (8, 1)))
        self.assertEqual(['loop device loop7'], self.loops('8:1'))

    def test_over_another(self):
        self.loop('loop7', status((0, 5), (8, 1)))
        self.assertEqual([], self.loops('8:2'))

    def test_over_a_file_on_one(self):
        self.loop('loop7', status((8, 1), None))
        self.assertEqual(['loop device loop7 of a file on it'], self.loops('8:1'))

    def test_large_numbers(self):
        self.loop('loop7', status((0, 5), (259, 70000)))
        self.assertEqual(['loop device loop7'], self.loops('259:70000'))

    def test_free(self):
        self.loop('loop0', None)
        self.assertEqual([], self.loops('8:1'))

    def test_one_that_goes_away(self):
        for number in (errno.ENXIO, errno.ENODEV):
            self.loop(f'loop{number}', OSError(number, 'x'))
        self.assertEqual([], self.loops('8:1'))

    def test_one_over_a_file_of_a_server_that_does_not_answer(self):
        self.loop('loop7', bounded.Silent(), '/mnt/image')
        self.assertEqual([], self.loops('8:1'))

    def test_one_over_a_device_that_does_not_answer(self):
        self.loop('loop7', bounded.Silent())
        self.assertIn('/dev/sdq', str(self.assertRaises(OSError, self.loops, '8:1')))

    def test_two_that_look_at_once_both_see_it(self):
        """A question that somebody else has asked already is one that is answered."""
        self.loop('loop7', status((0, 5), (8, 1)))
        asked, go, waiting = threading.Event(), threading.Event(), []
        self.addCleanup(go.set)
        answer = bounded._Question.answer

        def blocks(name, sys, dev):
            asked.set()
            go.wait()
            return self.answers[name]

        def answered(question, seconds):
            waiting.append(question)
            if len(waiting) == 2:
                go.set()
            return answer(question, seconds)

        self.useFixture(fixtures.MonkeyPatch('migsafe.brick.kernel.loops._status', blocks))
        self.useFixture(fixtures.MonkeyPatch('migsafe.brick.kernel.loops.PATIENCE', 3600))
        self.useFixture(fixtures.MonkeyPatch(
            'migsafe.brick.kernel.bounded._Question.answer', answered))
        with futures.ThreadPoolExecutor() as pool:
            first = pool.submit(self.loops, '8:1')
            asked.wait()
            seen = self.loops('8:1')
            go.set()
            self.assertEqual((['loop device loop7'], ['loop device loop7']),
                             (first.result(), seen))
        self.assertIs(*waiting)

    def test_one_that_cannot_be_asked(self):
        self.loop('loop7', OSError(errno.EMFILE, 'x'))
        self.assertIn('loop7', str(self.assertRaises(OSError, self.loops, '8:1')))


class ExportsTest(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.root = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.core = self.root / 'kernel' / 'config' / 'target' / 'core'

    def backstore(self, kind, text):
        (self.core / kind / 'held').mkdir(parents=True)
        (self.core / kind / 'held' / 'info').write_text(text)

    def namespace(self, path, enable='1'):
        directory = (self.root / 'kernel/config/nvmet/subsystems/nqn.x/namespaces/1')
        directory.mkdir(parents=True)
        (directory / 'device_path').write_text(f'{path}\n')
        (directory / 'enable').write_text(f'{enable}\n')

    def exported(self, *numbers):
        return [str(use) for use in openers.exported(numbers, str(self.root))]

    def test_block_backstore(self):
        self.backstore('iblock_0', 'iBlock device: sda  UDEV PATH: /dev/sdq  readonly: 0\n'
                                   '        Major: 8 Minor: 1  CLAIMED: IBLOCK\n')
        self.assertEqual(['exported: LIO backstore iblock_0/held'], self.exported('8:1'))
        self.assertEqual([], self.exported('8:2'))

    def test_passed_through(self):
        self.backstore('pscsi_0', '        SCSI Device Bus Location: Channel ID: 0 Target ID: 1 '
                                  'LUN: 3 Host ID: 2\n')
        disk = self.root / 'class/scsi_device/2:0:1:3/device/block/sda'
        disk.mkdir(parents=True)
        (disk / 'dev').write_text('8:1\n')
        self.assertEqual(['exported: LIO backstore pscsi_0/held'], self.exported('8:1'))

    def test_a_file_backstore_and_a_namespace_on_a_device(self):
        kinds = {'/proc/1/root/run/x y': statx.Kind('b8:1', '0:5'),
                 '/proc/1/root/run/x': statx.Kind('b8:1', '0:5')}
        with mock.patch.object(statx, 'kind', kinds.__getitem__):
            self.backstore('fileio_0', 'TCM FILEIO ID: 0        File: /run/x y  Size: 42  Mode: O')
            self.namespace('/run/x')
            self.assertEqual(['exported: LIO backstore fileio_0/held',
                              'exported: NVMe target nqn.x namespace 1'], self.exported('8:1'))

    def test_a_file_backstore_on_a_file_system_on_it(self):
        with mock.patch.object(statx, 'kind', return_value=statx.Kind('', '8:1')):
            self.namespace('/srv/image')
            self.assertEqual(['exported: NVMe target nqn.x namespace 1 of a file on it'],
                             self.exported('8:1'))

    def test_what_is_off_or_leads_nowhere(self):
        self.namespace('/run/x', '0')
        with mock.patch.object(statx, 'kind', return_value=statx.Kind('b8:1', '0:5')):
            self.assertEqual([], self.exported('8:1'))
        self.assertEqual(('', ''), exports._path('/nowhere'))

    def test_what_does_not_say_in_time_which_device_it_is(self):
        self.namespace('/dev/sdq')
        with mock.patch.object(statx, 'kind', side_effect=bounded.Silent):
            self.assertIn('/dev/sdq', str(self.assertRaises(OSError, self.exported, '8:1')))
            (self.root / 'kernel/config/nvmet/subsystems/nqn.x/namespaces/1/device_path'
             ).write_text('/mnt/image\n')
            self.assertEqual([], self.exported('8:1'))


class ProcessesTest(testtools.TestCase):
    """A /proc with one process, which has one device open and one mounted."""

    MOUNTED = '36 35 8:2 / /srv rw - ext4 /dev/sdb rw\n'

    def setUp(self):
        super().setUp()
        self.root = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.proc = self.root / 'proc'
        self.kinds = {'disk': statx.Kind('b8:1', '0:5'), 'file': statx.Kind('', '8:2'),
                      'sg': statx.Kind('c21:3', '0:5')}
        self.process(4_000_077)
        (self.proc / 'swaps').write_text('Filename Type Size Used Priority\n')
        self.statx = statx.kind
        self.useFixture(fixtures.MonkeyPatch('migsafe.brick.kernel.statx.kind', self.kind))

    def process(self, pid, what='disk', flags='02'):
        self.one = self.proc / str(pid)
        for name in ('fd', 'fdinfo', 'ns', f'task/{pid}'):
            (self.one / name).mkdir(parents=True)
        (self.one / 'ns' / 'mnt').symlink_to('mnt:[1]')
        (self.one / 'exe').symlink_to('/usr/bin/qemu-kvm')
        (self.one / 'comm').write_text('blkid\n')
        (self.one / 'maps').write_text('')
        (self.one / 'mountinfo').write_text(self.MOUNTED)
        self.open(self.one, 3, what, flags)

    def open(self, task, fd, what, flags='02'):
        (task / 'fd').mkdir(exist_ok=True)
        (task / 'fdinfo').mkdir(exist_ok=True)
        (task / 'fd' / str(fd)).symlink_to(what)
        (task / 'fdinfo' / str(fd)).write_text(f'pos:\t0\nflags:\t{flags}\nmnt_id:\t5\n')

    def kind(self, name, directory=statx.AT_FDCWD):
        where = pathlib.Path(f'/proc/self/fd/{directory}') if directory >= 0 else None
        link = os.readlink(where / name if where else name)
        return self.kinds.get(link) or self.statx(name, directory)

    def fails(self, function, number, *suffixes):
        real = getattr(os, function)

        def fails(path, *args, **kwargs):
            if str(path).endswith(suffixes):
                raise OSError(number, os.strerror(number), str(path))
            return real(path, *args, **kwargs)
        return mock.patch.object(os, function, fails)

    def found(self, *numbers):
        return [str(use) for use in openers.uses(numbers or ('8:1', '8:2'), str(self.proc),
                                                 str(self.root))]

    def test_all(self):
        self.assertEqual(['mounted on /srv in the mount namespace of process 4000077',
                          'process 4000077 (qemu-kvm)'], self.found())

    def test_nothing_is_asked_about_nothing(self):
        self.assertEqual([], openers.uses([], '/nowhere'))

    def test_only_looked_at(self):
        (self.one / 'fdinfo' / '3').write_text('flags:\t012000000\n')
        self.assertEqual([], self.found('8:1'))

    def test_a_file_on_it(self):
        self.open(self.one, 4, 'file')
        self.assertIn('process 4000077 (qemu-kvm), a file on it', self.found('8:2'))

    def test_by_another_node_of_the_disk(self):
        tree = self.useFixture(trees.Tree())
        tree.disk('sda')
        generic = tree.top / 'sda' / 'device' / 'scsi_generic' / 'sg3'
        generic.mkdir(parents=True)
        (generic / 'dev').write_text('21:3\n')
        self.open(self.one, 4, 'sg')
        self.assertIn('process 4000077 (qemu-kvm), by sg3', [str(use) for use in
                      openers.processes_of(['8:1'], str(self.proc), str(tree.root))])

    def test_a_thread_with_descriptors_of_its_own(self):
        (self.one / 'fd' / '3').unlink()
        thread = self.one / 'task' / '4000078'
        thread.mkdir()
        self.open(thread, 3, 'disk')
        self.assertEqual(['process 4000077 (qemu-kvm)'], self.found('8:1'))

    def mapping(self, what='disk', pid=4_000_077):
        (self.one / 'fd' / '3').unlink()
        (self.proc / str(pid) / 'maps').write_text(
            '00400000-00401000 rw-s 00000000 00:05 77    /dev/disk\n'
            '7f0000000000-7f0000001000 rw-p 00000000 00:00 0\n')
        (self.proc / str(pid) / 'map_files').mkdir()
        (self.proc / str(pid) / 'map_files' / '400000-401000').symlink_to(what)

    def test_mapped(self):
        self.mapping()
        self.assertEqual(['process 4000077 (qemu-kvm), mapped'], self.found('8:1'))

    def test_mapped_by_a_process_whose_first_thread_has_ended(self):
        (self.one / 'task' / '4000078').mkdir()
        (self.proc / '4000078').mkdir()
        self.mapping(pid=4_000_078)
        self.assertIn('process 4000077 (qemu-kvm), mapped', self.found('8:1'))

    def test_registered_with_io_uring(self):
        self.kinds |= {'anon_inode:[io_uring]': statx.Kind('', processes._anonymous()),
                       'disk\\040one': statx.Kind('', '')}
        (self.one / 'fd' / '3').unlink()
        self.open(self.one, 4, 'anon_inode:[io_uring]')
        (self.root / 'a disk').symlink_to('disk')
        path = str(self.root / 'a disk').replace(' ', '\\040')
        (self.one / 'fdinfo' / '4').write_text(
            f'flags:\t02\nUserFiles:\t2\n    0: {path}\nUserBufs:\t0\n    1: /dev/null\n')
        self.assertEqual(['process 4000077 (qemu-kvm), registered with io_uring'],
                         self.found('8:1'))

    def test_registered_with_io_uring_by_a_name(self):
        """Linux 6.1 tells no more."""
        tree = self.useFixture(trees.Tree())
        tree.disk('sda')
        self.kinds['anon_inode:[io_uring]'] = statx.Kind('', processes._anonymous())
        (self.one / 'fd' / '3').unlink()
        self.open(self.one, 4, 'anon_inode:[io_uring]')
        for name, users in (('sda', 1), ('sdb', 0), ('<none>', 0)):
            (self.one / 'fdinfo' / '4').write_text(
                f'flags:\t02\nUserFiles:\t1\n    0: {name}\nUserBufs:\t0\n')
            self.assertEqual(users, len(openers.processes_of(['8:1'], str(self.proc),
                                                             str(tree.root))))

    def test_what_cannot_be_read_is_not_nobody(self):
        for function, suffix in (('open', '/fd'), ('listdir', '/task'), ('readlink', '/ns/mnt')):
            for number in (errno.EACCES, errno.EMFILE, errno.EPERM):
                with self.subTest(function=function, suffix=suffix, number=number), \
                        self.fails(function, number, suffix):
                    error = self.assertRaises(OSError, self.found)
                    self.assertIn(f'4000077{suffix}', error.strerror)

    def test_descriptors_and_mappings_that_cannot_be_looked_at(self):
        self.mapping()
        self.open(self.one, 3, 'disk')
        for number in (errno.EACCES, errno.EPERM):
            with mock.patch.object(statx, 'kind', side_effect=OSError(number, 'x', 'y')):
                self.assertRaises(OSError, self.found, '8:1')
            (self.one / 'fd' / '3').unlink(missing_ok=True)

    def test_mounts_and_swaps_that_cannot_be_read(self):
        for name in ('4000077/mountinfo', 'swaps'):
            text = (self.proc / name).read_text()
            (self.proc / name).unlink()
            (self.proc / name).mkdir()
            self.assertRaises(IsADirectoryError, self.found)
            (self.proc / name).rmdir()
            (self.proc / name).write_text(text)

    def test_swap(self):
        for what, said in (('disk', 'swap'), ('file', 'swap file ')):
            path = self.root / what
            path.symlink_to(what)
            (self.proc / 'swaps').write_text(f'Filename Type\n{path} partition 1 0 -2\n')
            self.assertTrue(any(use.startswith(said) for use in self.found()), self.found())

    def test_a_process_that_has_ended(self):
        for function, suffix in (('listdir', '/task'), ('open', '/fd')):
            for number in (errno.ENOENT, errno.ESRCH):
                with self.subTest(function=function, suffix=suffix, number=number), \
                        self.fails(function, number, suffix):
                    self.assertEqual(function == 'listdir', bool(self.found('8:1')))

    def test_another_process_of_the_namespace_of_one_that_has_ended(self):
        self.process(4_000_078)
        (self.proc / '4000077' / 'mountinfo').unlink()
        self.assertIn('mounted on /srv in the mount namespace of process 4000078', self.found())

    def test_everybody(self):
        (self.proc / 'self' / 'ns').mkdir(parents=True)
        link = self.proc / 'self' / 'ns' / 'pid'
        for target, answer in ((openers.INITIAL, True), ('pid:[4026532451]', False)):
            link.symlink_to(target)
            self.assertIs(answer, openers.everybody(str(self.proc)))
            link.unlink()

    def multipathd(self, executable='multipathd', ids='0 0 0 0', socket='7', mode=0o755):
        """The process that has the disk open, as multipathd or nearly so."""
        file = self.root / executable
        file.write_bytes(b'')
        file.chmod(mode)
        (self.one / 'exe').unlink()
        (self.one / 'exe').symlink_to(file)
        (self.one / 'status').write_text(f'Name:\tx\nUid:\t{ids}\n')
        (self.proc / 'self' / 'net').mkdir(parents=True, exist_ok=True)
        (self.proc / 'self' / 'net' / 'unix').write_text(
            'Num RefCount Protocol Flags Type St Inode Path\n'
            '0: 2 0 10000 1 1 7 @/org/kernel/linux/storage/multipathd\n')
        self.kinds[f'socket:[{socket}]'] = statx.Kind('', '0:8')
        (self.one / 'fd' / '9').unlink(missing_ok=True)
        self.open(self.one, 9, f'socket:[{socket}]')
        with mock.patch.object(os, 'stat', self.owned):
            return not self.found('8:1')

    @staticmethod
    def owned(path, *args, **kwargs):
        found = os.lstat(os.readlink(path))
        return mock.Mock(st_uid=0, st_mode=found.st_mode)

    def test_only_the_real_multipathd_is_nobody(self):
        (self.one / 'fdinfo' / '3').write_text('flags:\t0100000\n')
        self.assertTrue(self.multipathd())
        for wrong in ({'executable': 'sleep'}, {'ids': '0 1000 0 0'}, {'socket': '8'},
                      {'mode': 0o775}):
            with self.subTest(**wrong):
                self.assertFalse(self.multipathd(**wrong))
        # with one that can write
        (self.one / 'fdinfo' / '3').write_text('flags:\t0100002\n')
        self.assertFalse(self.multipathd())
        self.assertFalse(multipathd.is_it(self.proc / '99', [0], str(self.proc)))


class ClaimsTest(testtools.TestCase):

    def test_what_is_alive_without_a_mount(self):
        tree = self.useFixture(trees.Tree())
        tree.disk('sda')
        root, proc = tree.root, tree.root / 'proc'
        self.assertEqual([], list(claims.claims(['8:1'], str(root), str(proc))))
        (root / 'fs' / 'ext4' / 'sda').mkdir(parents=True)
        (root / 'fs' / 'btrfs' / 'uuid' / 'devices' / 'sda').mkdir(parents=True)
        (proc / 'fs' / 'jbd2' / 'sda').mkdir(parents=True)
        (tree.top / 'sda' / 'bcache').mkdir()
        said = ' '.join(words for _, words in claims.claims(['8:1'], str(root), str(proc)))
        for word in ('ext4', 'lazily', 'btrfs', 'journal of an ext4 on another disk', 'bcache'):
            self.assertIn(word, said)
        self.assertEqual([], list(claims.claims(['8:9'], str(root), str(proc))))
