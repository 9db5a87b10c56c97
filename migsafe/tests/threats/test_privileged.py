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
"""What needs root, called with any arguments: nothing outside of /dev and /sys is touched."""

import functools
import os
import pathlib
from unittest import mock

import fixtures
from hypothesis import given, strategies
from oslo_concurrency import processutils

from migsafe.brick import errors
from migsafe.brick.guard import release
from migsafe.brick.kernel import holders, kinds, openers
from migsafe.brick.root import claims, disks, privileged, qemu_conf
from migsafe.tests.threats import examples, values
from migsafe.tests.unit.brick.root import test_privileged

NAMES = strategies.one_of(values.WORDS, strategies.sampled_from(('sda', 'sdb', 'dm-0')))


class TestPrivileged(test_privileged.PrivilegedCase):
    """Each function of the daemon."""

    def setUp(self):
        super().setUp()
        self.useFixture(fixtures.MockPatchObject(privileged.default, 'client_mode', False))
        self.roots = {'dev': str(self.dev), 'sys': str(self.tree.root / 'sys')}
        self.outside = pathlib.Path(self.tree.root, 'outside')
        self.outside.write_text('of the host')

    def open_files(self):
        return len(os.listdir('/proc/self/fd'))

    def check(self, call, *arguments):
        """It answers, or says that it cannot, and leaves nothing open."""
        before = self.open_files()
        real, opened = os.open, []

        def noted(path, *args, **kwargs):
            opened.append(os.fspath(path))
            return real(path, *args, **kwargs)
        with mock.patch.object(processutils, 'execute') as execute, \
                mock.patch('os.open', noted):
            try:
                found = call(*arguments)
            except (ValueError, TypeError, OSError, errors.DeviceError) as error:
                found = {'reason': str(error)}
        self.assertLess(len(str(found)), 20000)
        number = found.get('claim') if isinstance(found, dict) else None
        if number is not None:
            privileged.let_go(number)
        self.assertEqual(before, self.open_files())
        for path in opened:
            where = os.path.realpath(os.path.dirname(path))
            self.assertTrue(where.startswith(str(self.tree.root)) or where.startswith('/proc'),
                            path)
        self.assertEqual('of the host', self.outside.read_text())
        return execute

    @examples.settings()
    @given(NAMES, strategies.booleans())
    def test_look(self, name, exclusive):
        self.check(lambda: disks.looked(name, exclusive, **self.roots))

    @examples.settings()
    @given(strategies.one_of(values.ANYTHING, strategies.lists(NAMES, max_size=6)),
           strategies.one_of(values.PLAIN, strategies.floats(-1, 1)))
    def test_ask(self, names, seconds):
        """It has the roots of the tree, which the call itself does not."""
        asked = disks.asked
        with mock.patch.object(disks, 'asked', lambda names, seconds: asked(
                names, seconds, **self.roots)):
            self.check(privileged.ask, names, seconds)

    @examples.settings()
    @given(strategies.one_of(values.ANYTHING, strategies.lists(strategies.one_of(
        values.WORDS, strategies.from_regex(r'[0-9]{1,9}:[0-9]{1,9}\n?', fullmatch=True)))))
    def test_opened_by(self, numbers):
        """What it looks up in sysfs and in the processes are numbers of devices."""
        with mock.patch.object(openers, 'uses', return_value=[]) as uses:
            self.check(privileged.opened_by, numbers)
        for call in uses.call_args_list:
            for number in call[0][0]:
                self.assertRegex(number, r'\A[0-9]{1,4}:[0-9]{1,7}\Z')

    def test_no_question_is_about_more_than_there_are(self):
        for call in (privileged.opened_by, privileged.claim, lambda many: privileged.ask(many, 1)):
            self.assertRaises(ValueError, call, ['8:1'] * 10_001)

    @examples.settings()
    @given(strategies.lists(NAMES, max_size=6, unique=True))
    def test_claim(self, names):
        self.check(lambda: claims.claimed(names, **self.roots))

    @examples.settings()
    @given(values.ANYTHING)
    def test_claims_of_what_are_no_names(self, names):
        with mock.patch.object(claims, 'claimed', return_value={}) as claimed:
            try:
                privileged.claim(names)
            except ValueError:
                self.assertFalse(claimed.called)
            else:
                self.assertTrue(all(isinstance(name, str) for name in claimed.call_args[0][0]))

    @examples.settings()
    @given(NAMES.filter(lambda name: name != 'sda'), values.ANYTHING, values.PLAIN)
    def test_remove_scsi(self, name, expected, number):
        self.check(lambda: claims.removed(
            name, privileged.designators.read(expected), number=number, **self.roots))
        self.assertEqual(b'', self.delete.read_bytes())

    @examples.settings()
    @given(NAMES, values.WORDS)
    def test_remove_lv(self, name, uuid):
        execute = self.check(privileged.remove_lv, name, uuid)
        self.assertFalse(execute.called)

    @examples.settings()
    @given(values.PLAIN)
    def test_let_go(self, number):
        self.check(privileged.let_go, number)

    @examples.settings()
    @given(values.ANYTHING, values.PLAIN)
    def test_lvm_advice(self, named, seconds):
        """What it is given are names of a comment, and never words of a command."""
        asked = []
        with mock.patch.object(privileged.client.Client, '_run', lambda _self, *words: (
                asked.extend(words), 'nonsense')[1]):
            self.check(privileged.lvm_advice, named, seconds)
            self.check(privileged.lvm_advice, [['--config', '; reboot']], 5)
        self.assertFalse({'--config', '; reboot'} & set(asked))

    def test_qemu_settings(self):
        """It takes nothing, and gives nothing else of the file."""
        path = self.tree.root / 'qemu.conf'
        path.write_text('spice_password = "hush"\nmigration_port_min = 7\n')
        with mock.patch.object(qemu_conf.settings, '__defaults__', (str(path),)):
            self.assertEqual({'migration_port_min': '7'}, privileged.qemu_settings())

    def test_every_function_is_here(self):
        """What a client may call is what privsep has made a partial of."""
        callable_ = {name for name, found in vars(privileged).items()
                     if isinstance(found, functools.partial)}
        self.assertIn('remove_scsi', callable_)
        self.assertEqual(set(), {f'test_{name}' for name in callable_} - set(dir(self)))


class TestStacks(test_privileged.PrivilegedCase):
    """A guest stacks what it likes."""

    @staticmethod
    def ladder(levels):
        """Two on each level, each on both below: 2 to the power of ``levels`` ways down."""
        tree = {}
        for level in range(levels):
            for side in 'ab':
                below = tuple(f'{other}{level - 1}' for other in 'ab') if level else ()
                tree[f'{side}{level}'] = holders.Node(
                    f'{side}{level}', kinds.Kind.LV, '1:1', below=below)
        return tree

    def test_heights_look_at_each_node_once(self):
        high = release.heights(self.ladder(400))
        self.assertEqual((1, 400), (high['a0'], high['b399']))

    def test_heights_of_a_loop(self):
        tree = {name: holders.Node(name, kinds.Kind.LV, '1:1', below=(below,))
                for name, below in (('a', 'b'), ('b', 'c'), ('c', 'a'), ('d', 'c'))}
        high = release.heights(tree)
        self.assertEqual(set(tree), set(high))
        self.assertGreater(high['d'], high['c'])

    @examples.settings()
    @given(strategies.dictionaries(strategies.integers(0, 12), strategies.sets(
        strategies.integers(0, 12), max_size=4), max_size=13))
    def test_heights_are_above_what_is_below(self, edges):
        tree = {str(name): holders.Node(str(name), kinds.Kind.LV, '1:1', below=tuple(
            str(below) for below in sorted(belows) if below in edges and below < name))
            for name, belows in edges.items()}
        high = release.heights(tree)
        for name, node in tree.items():
            self.assertEqual(1 + max((high[below] for below in node.below), default=0),
                             high[name])
