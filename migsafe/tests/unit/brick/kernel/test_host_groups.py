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
from unittest import mock

import testtools

from migsafe.brick.guard import release
from migsafe.brick.kernel import holders, host_groups
from migsafe.tests.unit.brick import trees
from migsafe.tests.unit.brick.kernel import test_place

ELSE = 'LVM-' + 'b' * 32 + 'c' * 32


class OwnTest(testtools.TestCase):
    """A volume on sda, which comes by iSCSI, with an LV of vg0; sdx is of the host."""

    def setUp(self):
        super().setUp()
        self.tree = self.useFixture(test_place.Machine())
        self.tree.on_bus('sda', 'platform', 'host2', 'session1', 'target2', driver='iscsi_tcp')
        self.tree.on_bus('sdb', 'platform', 'host3', 'session2', 'target3', driver='iscsi_tcp')
        self.tree.on_bus('sdx', 'pci0', 'ata1', 'host0', 'target0', driver='ahci')
        self.tree.lv('dm-0', 'sda')

    def reason(self, **named):
        node = holders.node(self.tree.sysfs, 'dm-0')
        return host_groups.reason(self.tree.sysfs, [node], named)

    def test_a_guests(self):
        self.tree.dm('dm-1', ELSE, 'sdx', dm_name='hostvg-root')
        self.assertIsNone(self.reason(other='[backend] volume_group'))

    def test_a_name_that_a_service_uses(self):
        said = self.reason(vg0='[lvm-1] volume_group of /etc/cinder/cinder.conf')
        for word in ('vg0/root', '[lvm-1] volume_group of /etc/cinder/cinder.conf'):
            self.assertIn(word, said)

    def test_the_name_of_the_hosts_own(self):
        self.tree.dm('dm-1', ELSE, 'sdx', dm_name='vg0-var')
        said = self.reason()
        for word in ('vg0/root', 'vg0/var', 'sdx', 'of this host itself'):
            self.assertIn(word, said)

    def test_the_uuid_of_the_hosts_own(self):
        self.tree.dm('dm-1', f'LVM-{trees.VG}' + 'c' * 32, 'sdx', dm_name='hostvg-var')
        self.assertIn('hostvg/var', self.reason())

    def test_on_a_partition_of_the_hosts_disk(self):
        self.tree.dm('dm-1', ELSE, self.tree.partition('sdx', 2), dm_name='vg0-var')
        self.assertIn('sdx', self.reason())

    def test_on_what_cannot_be_told(self):
        self.tree.disk('loop0')
        self.tree.dm('dm-1', ELSE, 'loop0', dm_name='vg0-var')
        self.assertIn('loop0', self.reason())

    def test_other_guests_may_have_the_same_name(self):
        self.tree.dm('dm-1', ELSE, 'sdb', dm_name='vg0-root')
        self.tree.dm('dm-2', ELSE, dm_name='vg0-ghost')
        self.assertIsNone(self.reason())

    def test_release_leaves_it_alone(self):
        root = mock.Mock()
        for named, other in (({'vg0': 'somebody'}, None), ({}, 'vg0-var')):
            if other:
                self.tree.dm('dm-1', ELSE, 'sdx', dm_name=other)
            self.assertRaises(release.HostsOwn, release.release, self.tree.sysfs, root,
                              ['sda'], named)
        self.assertFalse(root.remove_lv.called)

    def test_what_can_be_a_volume(self):
        sysfs = self.tree.sysfs
        self.assertIsNone(host_groups.not_a_volume(sysfs, 'sda'))
        self.assertIn('a local disk', host_groups.not_a_volume(sysfs, 'sdx'))
        self.tree.disk('loop0')
        self.assertIn('loop0', host_groups.not_a_volume(sysfs, 'loop0'))
