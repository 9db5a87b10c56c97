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
import stat
from unittest import mock

import fixtures
import testtools

from migsafe.brick.kernel import openers

NUMBERS = {'/dev/sda': '8:1', '/dev/sd b': '8:2'}


class LoopsTest(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.root = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.asked = []
        self.useFixture(fixtures.MonkeyPatch('migsafe.brick.kernel.openers._number', self.number))

    def number(self, path):
        self.asked.append(path)
        return NUMBERS.get(path)

    def loop(self, name, backing):
        directory = self.root / 'class' / 'block' / name
        directory.mkdir(parents=True)
        if backing is not None:
            (directory / 'loop').mkdir()
            (directory / 'loop' / 'backing_file').write_text(f'{backing}\n')

    def loops(self, *numbers):
        return [str(use) for use in openers.loops(numbers, str(self.root))]

    def test_over_one(self):
        self.loop('loop7', '/dev/sda')
        self.assertEqual(['loop device loop7'], self.loops('8:1'))

    def test_over_another(self):
        self.loop('loop7', '/dev/sda')
        self.assertEqual([], self.loops('8:2'))

    def test_a_space_in_a_name(self):
        self.loop('loop7', '/dev/sd b')
        self.assertEqual(['loop device loop7'], self.loops('8:1', '8:2'))

    def test_free_or_over_a_file(self):
        self.loop('loop0', None)
        self.loop('loop1', '/srv/dead-nfs/image')
        self.assertEqual([], self.loops('8:1'))
        self.assertEqual([], self.asked)

    def test_one_that_goes_away(self):
        self.loop('loop7', '/dev/sda')
        for number in (errno.ENOENT, errno.ENODEV):
            with self.unreadable(number):
                self.assertEqual([], self.loops('8:1'))

    def test_one_that_cannot_be_read(self):
        self.loop('loop7', '/dev/sda')
        with self.unreadable(errno.EMFILE):
            self.assertRaises(OSError, self.loops, '8:1')

    @staticmethod
    def unreadable(number):
        return mock.patch.object(pathlib.Path, 'read_text', side_effect=OSError(number, 'x'))


class ProcessesTest(testtools.TestCase):
    """A /proc with one process, which has one device open and one mounted."""

    MOUNTED = '36 35 8:2 / /srv rw - ext4 /dev/sdb rw\n'

    def setUp(self):
        super().setUp()
        self.proc = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.process(77)
        (self.proc / 'swaps').write_text('Filename Type Size Used Priority\n')
        self.useFixture(
            fixtures.MonkeyPatch('migsafe.brick.kernel.sysfs.block_number', self.number)
        )

    def process(self, pid):
        self.one = self.proc / str(pid)
        for name in ('fd', 'ns'):
            (self.one / name).mkdir(parents=True)
        (self.one / 'ns' / 'mnt').symlink_to('mnt:[1]')
        (self.one / 'comm').write_text('qemu-kvm\n')
        (self.one / 'mountinfo').write_text(self.MOUNTED)
        (self.proc / 'dev').mkdir(exist_ok=True)
        (self.proc / 'dev' / 'sda').write_bytes(b'')
        (self.one / 'fd' / '3').symlink_to(self.proc / 'dev' / 'sda')

    @staticmethod
    def number(found):
        return '8:1' if stat.S_ISREG(found.st_mode) else None

    def fails(self, function, number, *suffixes):
        real = getattr(os, function)

        def fails(path, *args, **kwargs):
            if str(path).endswith(suffixes):
                raise OSError(number, os.strerror(number), str(path))
            return real(path, *args, **kwargs)
        return mock.patch.object(os, function, fails)

    def found(self):
        return [str(use) for function in (openers.processes, openers.mounts, openers.swaps)
                for use in function(('8:1', '8:2'), str(self.proc))]

    def test_all(self):
        self.assertEqual(['process 77 (qemu-kvm)',
                          'mounted on /srv in the mount namespace of process 77'], self.found())

    def test_what_cannot_be_read_is_not_nobody(self):
        for function, suffix in (('listdir', '/fd'), ('readlink', '/fd/3'), ('stat', '/fd/3'),
                                 ('readlink', '/ns/mnt')):
            for number in (errno.EACCES, errno.EMFILE, errno.EPERM):
                with self.subTest(function=function, suffix=suffix, number=number), \
                        self.fails(function, number, suffix):
                    error = self.assertRaises(OSError, self.found)
                    self.assertIn(f'77{suffix}', error.strerror)

    def test_mounts_and_swaps_that_cannot_be_read(self):
        for name in ('77/mountinfo', 'swaps'):
            text = (self.proc / name).read_text()
            (self.proc / name).unlink()
            (self.proc / name).mkdir()
            self.assertRaises(IsADirectoryError, self.found)
            (self.proc / name).rmdir()
            (self.proc / name).write_text(text)

    def test_a_process_that_has_ended(self):
        for function, suffix in (('listdir', '/fd'), ('readlink', '/fd/3'),
                                 ('stat', '/fd/3')):
            for number in (errno.ENOENT, errno.ESRCH):
                with self.subTest(function=function, suffix=suffix, number=number), \
                        self.fails(function, number, suffix):
                    self.assertNotIn('process 77 (qemu-kvm)', self.found())

    def test_another_process_of_the_namespace_of_one_that_has_ended(self):
        self.process(78)
        (self.proc / '77' / 'mountinfo').unlink()
        self.assertIn('mounted on /srv in the mount namespace of process 78', self.found())

    def test_everybody(self):
        (self.proc / 'self' / 'ns').mkdir(parents=True)
        link = self.proc / 'self' / 'ns' / 'pid'
        for target, answer in ((openers.INITIAL, True), ('pid:[4026532451]', False)):
            link.symlink_to(target)
            self.assertIs(answer, openers.everybody(str(self.proc)))
            link.unlink()
