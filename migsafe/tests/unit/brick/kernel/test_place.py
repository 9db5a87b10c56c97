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
"""Where disks are, by a made-up sysfs in the layout of real ones."""

import os

import fixtures
import testtools

from migsafe.brick.kernel import place, sysfs
from migsafe.lvm import uses
from migsafe.tests.unit.brick import trees

P = place.Place


class Machine(trees.Tree):
    """A tree whose disks hang on buses."""

    def on_bus(self, name, *directories, driver=None):
        """A disk below some directories, as /sys/devices has it."""
        self.disk(name)
        real = self.root.joinpath('devices', *directories, 'block', name)
        real.parent.mkdir(parents=True)
        os.rename(self.top / name, real)
        (self.top / name).symlink_to(real)
        host = next((part for part in directories if part.startswith('host')), None)
        if driver:
            (self.root / 'class' / 'scsi_host' / host).mkdir(parents=True, exist_ok=True)
            (self.root / 'class' / 'scsi_host' / host / 'proc_name').write_text(driver + '\n')
        return name

    def nvme(self, name, **transports):
        """A namespace, with its controllers."""
        self.disk(name)
        device = self.top / name / 'device'
        device.mkdir()
        for controller, transport in transports.items():
            (device / controller).mkdir()
            (device / controller / 'transport').write_text(transport + '\n')
        return name


class PlaceTest(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.tree = self.useFixture(Machine())

    def place(self, name):
        return place.place(self.tree.sysfs, name)

    def test_scsi(self):
        bus = self.tree.on_bus
        for expected, name in (
                (P.LOCAL, bus('sda', 'pci0', 'ata1', 'host0', 'target0', driver='ahci')),
                (P.LOCAL, bus('sdb', 'pci0', 'host1', 'target1', driver='megaraid_sas')),
                (P.NETWORK, bus('sdc', 'platform', 'host2', 'session1', 'target2',
                                driver='iscsi_tcp')),
                (P.NETWORK, bus('sdd', 'pci0', 'host3', 'rport-3:0-1', 'target3',
                                driver='qla2xxx')),
                (P.UNKNOWN, bus('sde', 'pci0', 'host4', 'target4', driver='something_new')),
                (P.UNKNOWN, bus('sdf', 'pci0', 'host5', 'target5')),
                (P.UNKNOWN, self.tree.disk('sdg'))):
            self.assertIs(expected, self.place(name), name)

    def test_transport_class_of_the_host(self):
        # a driver for both, by what the kernel says of this host
        self.tree.on_bus('sda', 'pci0', 'host7', 'target7', driver='mptspi')
        self.assertIs(P.LOCAL, self.place('sda'))
        (self.tree.root / 'class' / 'fc_host' / 'host7').mkdir(parents=True)
        self.assertIs(P.NETWORK, self.place('sda'))

    def test_nvme(self):
        nvme = self.tree.nvme
        for expected, name in (
                (P.LOCAL, nvme('nvme0n1', nvme0='pcie')),
                (P.NETWORK, nvme('nvme1n1', nvme1='tcp', nvme2='tcp')),
                (P.NETWORK, nvme('nvme2n1', nvme3='pcie', nvme4='rdma')),
                (P.UNKNOWN, nvme('nvme3n1'))):
            self.assertIs(expected, self.place(name), name)

    def test_names(self):
        for expected, name in ((P.LOCAL, 'vda'), (P.NETWORK, 'rbd0'), (P.NETWORK, 'nbd3'),
                               (P.UNKNOWN, 'loop0'), (P.UNKNOWN, 'zd16'), (P.UNKNOWN, 'dm-9')):
            self.assertIs(expected, self.place(self.tree.disk(name)), name)

    def test_stacked(self):
        tree = self.tree
        tree.on_bus('sda', 'a', 'host0', 'target0', driver='ahci')
        tree.on_bus('sdc', 'b', 'host1', 'session1', 'target1')
        tree.on_bus('sdd', 'c', 'host1', 'session2', 'target2')
        tree.dm('dm-0', 'mpath-36', 'sdc', 'sdd')
        tree.dm('dm-1', 'part2-mpath-36', 'dm-0')
        tree.dm('dm-2', 'CRYPT-LUKS2-x', 'sda')
        tree.lv('dm-3', 'dm-2')
        tree.dm('dm-4', 'other', 'sda', 'sdc')
        self.assertEqual([P.NETWORK, P.NETWORK, P.LOCAL, P.INSIDE, P.UNKNOWN],
                         [self.place(f'dm-{number}') for number in range(5)])

    def test_partition(self):
        self.tree.disk('vda')
        self.assertIs(P.LOCAL, self.place(self.tree.partition('vda', 3)))


class UsesBase(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.tree = self.useFixture(trees.Tree())
        self.proc = self.tree.root / 'proc'
        (self.proc / '1').mkdir(parents=True)
        self.tree.disk('sda')
        self.tree.lv('dm-0', 'sda')
        self.number = (self.tree.top / 'dm-0' / 'dev').read_text().strip()

    def uses(self, mounts='', swaps='', opens=None):
        (self.proc / '1' / 'mountinfo').write_text(mounts)
        (self.proc / 'swaps').write_text('Filename Type Size Used Priority\n' + swaps)
        names = {'/dev/mapper/vg0-root': 'dm-0'}
        return [(use.what, use.system) for use in
                uses.uses(self.tree.sysfs, opens or (lambda: {}), str(self.proc), names.get)]


class UsesTest(UsesBase):

    def test_mounts(self):
        line = '36 28 {} / {} rw - ext4 /dev/mapper/vg0-root rw\n'
        self.assertEqual([('mounted on /', True)], self.uses(line.format(self.number, '/')))
        self.assertEqual([(r'mounted on /mnt/\\040x\x1b', False)],
                         self.uses(line.format(self.number, '/mnt/\\040x\x1b')))
        # btrfs, whose number is nobody's
        self.assertEqual([('mounted on /var', True)], self.uses(line.format('0:44', '/var')))
        self.assertEqual([], self.uses('36 28 0:22 / / rw - overlay overlay rw\nx\n\n'))

    def test_below(self):
        self.tree.dm('dm-7', 'CRYPT-x', 'dm-0')
        number = (self.tree.top / 'dm-7' / 'dev').read_text().strip()
        self.assertEqual([('mounted on /home', True)],
                         self.uses(f'1 2 {number} / /home rw - ext4 /dev/dm-7 rw\n'))

    def test_swap(self):
        self.assertEqual([('swap', True)], self.uses(
            swaps='/dev/mapper/vg0-root partition 1 0 -2\n/file file 1 0 -3\n'))

    def test_no_proc(self):
        (self.proc / 'swaps').write_text('')
        self.assertRaises(OSError, uses.uses, sysfs.Sysfs(str(self.tree.root)),
                          dict, '/nowhere')


class OpenTest(UsesBase):
    """Open, without a mount or a swap that tells whose it is."""

    RAW = [('open and not mounted by the host (vg0/root)', False)]

    def setUp(self):
        super().setUp()
        self.useFixture(fixtures.MonkeyPatch('migsafe.lvm.uses.PATIENCE', 0.02))
        self.useFixture(fixtures.MonkeyPatch('migsafe.lvm.uses.PAUSE', 0.001))

    def lv(self, name, vg, *below, dm_name='vg0-root', kind=''):
        return self.tree.dm(name, f'LVM-{vg * 32}{"L" * 32}{kind}', *below, dm_name=dm_name)

    def number_of(self, name):
        return (self.tree.top / name / 'dev').read_text().strip()

    def opened(self, **numbers):
        """name -> how often it is open."""
        return self.uses(opens=lambda: {
            self.number_of(name.replace('_', '-')): count for name, count in numbers.items()})

    def test_raw(self):
        self.assertEqual([], self.opened(dm_0=0))
        self.assertEqual(self.RAW, self.opened(dm_0=1))

    def test_mounted_is_said_once(self):
        line = f'1 2 {self.number} / /mnt rw - ext4 /dev/mapper/vg0-root rw\n'
        self.assertEqual([('mounted on /mnt', False)],
                         self.uses(line, opens=lambda: {self.number: 1}))

    def test_for_a_moment(self):
        """As udev and blkid do after each change."""
        # it ends with the last of these looks, however long they take
        self.useFixture(fixtures.MonkeyPatch('migsafe.lvm.uses.PATIENCE', 3600))
        looks = [1, 1, 0]
        self.assertEqual([], self.uses(
            opens=lambda: {self.number: looks.pop(0) if len(looks) > 1 else looks[0]}))
        self.assertEqual([0], looks)

    def test_parts_of_a_pool_or_a_snapshot(self):
        """All are open as soon as it is active, without anybody."""
        self.lv('dm-1', 'P', 'sda', kind='-tdata')
        self.lv('dm-2', 'P', 'dm-1', kind='-tpool')
        self.lv('dm-3', 'P', 'dm-2')
        self.lv('dm-4', 'P', 'dm-2')
        self.assertEqual([], self.opened(dm_1=1, dm_2=2, dm_3=0, dm_4=0))
        self.assertEqual(self.RAW, self.opened(dm_1=1, dm_2=2, dm_3=1, dm_4=0))

    def test_held_by_another_kind(self):
        self.tree.dm('dm-7', 'CRYPT-x', 'dm-0')
        self.assertEqual(self.RAW, self.opened(dm_0=1, dm_7=0))

    def test_a_volume_group_inside(self):
        """Who uses the upper one uses the lower one; who has it active alone does not."""
        self.lv('dm-1', 'I', 'dm-0', dm_name='inner-lv')
        self.assertEqual([], self.opened(dm_0=1, dm_1=0))
        self.assertEqual([('open and not mounted by the host (inner/lv)', False)] * 2,
                         self.opened(dm_0=1, dm_1=1))

    def test_many(self):
        self.lv('dm-1', 'z', 'sda', dm_name='a-1')
        self.lv('dm-2', 'z', 'sda', dm_name='a-2')
        self.assertEqual([('open and not mounted by the host (a/1 and 1 more)', False)],
                         self.opened(dm_1=1, dm_2=1))

    def test_no_logical_volume(self):
        self.tree.dm('dm-7', 'mpath-36', 'sda')
        self.assertEqual([], self.uses(opens=lambda: {self.number_of('dm-7'): 1, '254:99': 1}))
