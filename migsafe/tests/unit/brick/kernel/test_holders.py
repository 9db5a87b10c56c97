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
import shutil

import testtools
from hypothesis import given, settings, strategies

from migsafe.brick import errors
from migsafe.brick.kernel import holders, kinds, sysfs
from migsafe.tests.unit.brick import trees

K = kinds.Kind


class HoldersTest(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.tree = self.useFixture(trees.Tree())

    def held(self, *names, also=()):
        found = holders.climb(self.tree.sysfs, names)
        return [holders.chain(found, node) for node in holders.blocking(found, names, also)]

    def test_nothing_above(self):
        self.tree.disk('sda')
        self.assertEqual([], self.held('sda'))

    def test_map_and_its_partition_maps_go_along(self):
        self.tree.mpath()
        self.tree.dm('dm-1', f'part1-mpath-{trees.WWID}', 'dm-0', dm_name='mpatha1')
        self.assertEqual([], self.held('sda', 'sdb'))

    def test_lv_on_a_map(self):
        self.tree.mpath()
        self.tree.lv('dm-5', 'dm-0')
        self.assertEqual(
            ['LVM logical volume vg0/root (dm-5) of VG uuid '
             'zLkGGY-Qw0u-MeDm-Hz4G-k1aV-xqqX-vS0aaa on multipath map mpatha (dm-0) on disk sda'],
            self.held('sda', 'sdb'))

    def test_lv_in_a_partition(self):
        self.tree.disk('sda')
        self.tree.lv('dm-0', self.tree.partition('sda'))
        self.assertEqual(1, len(self.held('sda')))
        self.assertIn('on partition sda1 on disk sda', self.held('sda')[0])

    def test_only_the_lowest_is_named(self):
        self.tree.disk('sda')
        self.tree.lv('dm-0', 'sda')
        self.tree.dm('dm-1', 'CRYPT-LUKS2-abc', 'dm-0', dm_name='secret')
        self.assertEqual(1, len(self.held('sda')))
        self.assertIn('vg0/root', self.held('sda')[0])

    def test_kinds_that_hold(self):
        for number, (uuid, word) in enumerate((
                ('CRYPT-LUKS1-x', 'dm-crypt'), ('DMRAID-x', 'device-mapper table'),
                ('', 'device-mapper table'), ('stratis-1-x', 'device-mapper table'),
                ('LVM-short', 'LVM logical volume'))):
            with self.subTest(uuid=uuid):
                disk = self.tree.disk(f'sd{chr(99 + number)}')
                self.tree.dm(f'dm-{number + 10}', uuid, disk)
                self.assertIn(word, self.held(disk)[0])

    def test_md_and_bcache(self):
        for name in ('md0', 'md_d1', 'bcache0'):
            with self.subTest(name=name):
                disk = self.tree.disk(f'sd-{name}')
                self.tree.disk(name)
                self.tree.hold(disk, name)
                self.assertEqual(1, len(self.held(disk)))
                self.assertEqual([], self.held(disk, also=[name]))

    def test_what_stands_on_what_the_caller_takes_down_holds(self):
        disk = self.tree.disk('nvme0n1')
        self.tree.disk('md0')
        self.tree.hold(disk, 'md0')
        self.tree.lv('dm-0', 'md0')
        self.assertEqual(1, len(self.held(disk, also=['md0'])))

    def test_names_of_a_guest_are_escaped(self):
        self.tree.disk('sda')
        self.tree.lv('dm-0', 'sda', dm_name='a\x1b[2J--b-\nERROR all is well')
        self.assertIn(r'a\x1b[2J-b/\nERROR all is well', self.held('sda')[0])

    def test_a_loop_ends_and_holds(self):
        self.tree.disk('sda')
        self.tree.lv('dm-0', 'sda')
        self.tree.lv('dm-1', 'dm-0')
        self.tree.hold('dm-1', 'dm-0')
        self.assertNotEqual([], self.held('sda'))

    def test_unreadable_is_not_free(self):
        self.tree.disk('sda')
        holder = self.tree.top / 'sda' / 'holders'
        holder.rmdir()
        holder.write_text('')
        error = self.assertRaises(errors.Unsure, holders.climb, self.tree.sysfs, ['sda'])
        self.assertIn('holders', str(error))

    def test_a_name_that_is_none(self):
        for name in ('..', '../../etc', 'a/b', '', 'x' * 65, 'sda\n'):
            with self.subTest(name=name):
                self.assertFalse(self.tree.sysfs.exists(name))
                self.assertEqual({}, holders.climb(self.tree.sysfs, [name]))

    def test_a_holder_with_a_name_that_is_none(self):
        self.tree.disk('sda')
        (self.tree.top / 'sda' / 'holders' / 'bad\nname').mkdir()
        self.assertRaises(errors.Unsure, holders.climb, self.tree.sysfs, ['sda'])

    def test_a_device_that_never_holds_still(self):
        self.tree.disk('sda')
        (self.tree.top / 'sda' / 'holders' / 'dm-7').symlink_to('nowhere')
        error = self.assertRaises(errors.Unsure, holders.climb, self.tree.sysfs, ['sda'])
        self.assertIn('come and go', str(error))

    def test_a_device_that_vanishes_in_the_middle(self):
        self.tree.disk('sda')
        self.tree.lv('dm-0', 'sda')
        real, seen = self.tree.sysfs, []

        class Vanishing(sysfs.Sysfs):
            def holders(self, name):
                found = super().holders(name)
                if name == 'sda' and not seen:
                    seen.append(name)
                    return ['dm-0', 'dm-9']
                return found
        tree = holders.climb(Vanishing(str(self.tree.root)), ['sda'])
        self.assertEqual({'sda', 'dm-0'}, set(tree))
        self.assertTrue(seen and real.exists('dm-0'))


NAMES = ['sda', 'sdb', 'md0', 'dm-0', 'dm-1', 'dm-2', 'dm-3']
UUIDS = strategies.sampled_from(['', f'mpath-{trees.WWID}', f'LVM-{trees.VG}{trees.LV}', 'CRYPT-x',
                         f'part1-mpath-{trees.WWID}', 'LVM-\n..'])


@strategies.composite
def graphs(draw):
    """Any edges between a few devices, loops and diamonds included, and some dangling."""
    pairs = strategies.tuples(
        strategies.sampled_from(NAMES), strategies.sampled_from([*NAMES, 'dm-9', 'dm-\n', '..a'])
    )
    return (draw(strategies.lists(pairs, max_size=12, unique=True)),
            [draw(UUIDS) for _ in NAMES], draw(strategies.text(max_size=20)))


class AnyTreeTest(testtools.TestCase):

    @settings(max_examples=100, deadline=None)
    @given(graphs())
    def test_never_free_by_mistake(self, graph):
        edges, uuids, label = graph
        tree = trees.Tree()
        with tree:
            for name, uuid in zip(NAMES, uuids, strict=True):
                if name.startswith('dm-'):
                    tree.dm(name, uuid, dm_name=label.replace('\0', ''))
                else:
                    tree.disk(name)
            above = {name: set() for name in NAMES}
            for below, holder in edges:
                (tree.top / below / 'holders' / holder).symlink_to(tree.top / holder)
                above[below].add(holder)
            reached, todo = set(), ['sda']
            while todo:
                name = todo.pop()
                if name not in reached:
                    reached.add(name)
                    todo += above.get(name, ())
            try:
                found = holders.climb(tree.sysfs, ['sda'])
            except errors.Unsure:
                self.assertFalse(reached <= set(NAMES), 'a whole tree was refused')
                return
            self.assertEqual(reached, set(found))
            goes = {'sda', *(n for n, u in zip(NAMES, uuids, strict=True)
                             if n.startswith('dm-') and 'mpath' in u)}
            self.assertEqual(bool(reached - goes), bool(holders.blocking(found, ['sda'])))
            for node in found.values():
                self.assertNotIn('\n', holders.chain(found, node))

    @settings(max_examples=150, deadline=None)
    @given(
        strategies.lists(
            strategies.sampled_from(['map', 'partition', 'lv', 'crypt', 'other']),
            min_size=1,
            max_size=4,
        ),
        strategies.lists(
            strategies.tuples(strategies.integers(0, 40), strategies.integers(0, 3)), max_size=6
        ),
    )
    def test_what_stays_is_found_whatever_vanishes(self, chain, vanishing):
        """A chain that ends in a holder, while other devices on it come and go at any moment.

        :param vanishing: (the how manieth look at sysfs, at which device of the chain another
            one goes from above it)
        """
        tree = trees.Tree()
        with tree:
            nodes = [tree.disk('sda')]
            for number, kind in enumerate(chain):
                if kind == 'partition' and nodes == ['sda']:
                    nodes.append(tree.partition('sda'))
                    continue
                uuid = {'map': f'mpath-{trees.WWID}', 'lv': f'LVM-{trees.VG}{trees.LV}',
                        'crypt': 'CRYPT-x'}.get(kind, '')
                nodes.append(tree.dm(f'dm-{number}', uuid, nodes[-1], dm_name='..\nname'))
            tree.lv('dm-9', nodes[-1])
            victims = {}
            for number, (look, place) in enumerate(vanishing):
                below = nodes[place % len(nodes)]
                victims.setdefault(look, []).append((below, tree.dm(
                    f'dm-{20 + number}', 'CRYPT-y', below)))
            looks = Vanishing(tree, victims)
            try:
                found = holders.climb(looks, ['sda'])
            except errors.Unsure:
                self.assertTrue(victims)
                return
            self.assertIn('dm-9', found)
            self.assertNotEqual([], holders.blocking(found, ['sda']))


class Vanishing(sysfs.Sysfs):
    """Devices go from it while somebody looks.

    :param victims: the how manieth look -> (device below, device that goes)
    """

    def __init__(self, tree, victims):
        super().__init__(str(tree.root))
        self._tree, self._victims, self._looks = tree, victims, 0

    def _path(self, name):
        for below, victim in self._victims.get(self._looks, ()):
            (self._tree.top / below / 'holders' / victim).unlink()
            shutil.rmtree(self._tree.top / victim)
        self._looks += 1
        return super()._path(name)
