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

import fixtures

from migsafe.brick import privileged, sysfs
from migsafe.cli import codes
from migsafe.lvm import services
from migsafe.tests.unit.brick import test_place, trees
from migsafe.tests.unit.cli import base


class LvmTest(base.CommandTestCase):

    def setUp(self):
        super().setUp()
        self.tree = self.useFixture(test_place.Machine())
        for name, below in (('sda', 'session1'), ('sdb', 'session2'), ('sdx', 'ata1')):
            self.tree.on_bus(name, f'host-{name}', below)
        self.tree.dm('dm-0', f'mpath-{trees.WWID}', 'sda', 'sdb')
        self.tree.lv('dm-5', 'dm-0', dm_name='vg\x1b[2J-root')
        real = sysfs.Sysfs
        root = str(self.tree.root)
        for patch in (
                mock.patch.object(sysfs, 'Sysfs', lambda: real(root)),
                mock.patch.object(sysfs, 'kernel_name', lambda path: {
                    '/dev/mapper/mpatha': 'dm-0', '/dev/sda1': 'sda1',
                    '/dev/sdx': 'sdx'}.get(path))):
            patch.start()
            self.addCleanup(patch.stop)

    def test_list(self):
        self.assertEqual([{'Logical volume': r'vg\x1b[2J/root', 'Device': 'dm-5',
                           'VG uuid': 'zLkGGY-Qw0u-MeDm-Hz4G-k1aV-xqqX-vS0aaa',
                           'Stands on': 'sda, sdb'}], self.rows('lvm', 'list'))

    def test_ghost(self):
        self.tree.lv('dm-6', dm_name='vg-lost')
        found, out, err = self.run_command('lvm', 'list')
        self.assertEqual(codes.FOUND, found)
        self.assertIn('vg/lost', out)
        self.assertIn('is a ghost', err)

    def release(self, *paths, euid=0):
        with mock.patch('os.geteuid', return_value=euid), \
                mock.patch.object(privileged.default, 'set_client_mode'), \
                mock.patch.object(privileged, 'opened_by', return_value=[]), \
                mock.patch.object(privileged, 'look', return_value={'state': 'free'}), \
                mock.patch.object(privileged, 'remove_lv',
                                  return_value={'done': True}) as removed:
            return self.run_command('lvm', 'release', *paths), removed

    def test_release(self):
        (code, out, err), removed = self.release('/dev/mapper/mpatha')
        self.assertEqual(codes.REPAIRED, code, err)
        self.assertIn(r'vg\x1b[2J/root', out)
        removed.assert_called_once_with('dm-5', f'LVM-{trees.VG}{trees.LV}')

    def test_a_disk_of_the_host(self):
        self.tree.lv('dm-7', 'sdx', dm_name='hostvg-data')
        (code, _out, err), removed = self.release('/dev/sdx')
        self.assertEqual(codes.ERROR, code)
        for word in ('/dev/sdx', 'sdx is a device of a kind', 'lvchange -an'):
            self.assertIn(word, err)
        self.assertFalse(removed.called)

    def test_the_name_of_a_group_of_cinders(self):
        conf = self.useFixture(fixtures.TempDir()).join('cinder.conf')
        with open(conf, 'w') as stream:
            stream.write('[DEFAULT]\nenabled_backends = lvm\n[lvm]\nvolume_group = cinders\n')
        self.tree.lv('dm-8', 'dm-0', dm_name='cinders-volume')
        with mock.patch.object(services, 'CINDER_CONF', conf):
            (code, _out, err), removed = self.release('/dev/mapper/mpatha')
        self.assertEqual(codes.ERROR, code)
        self.assertIn(conf, err)
        self.assertFalse(removed.called)

    def test_not_root(self):
        (code, _out, err), removed = self.release('/dev/mapper/mpatha', euid=1000)
        self.assertEqual(codes.ERROR, code)
        self.assertIn('sudo', err)
        self.assertFalse(removed.called)

    def test_no_device(self):
        (code, _out, err), removed = self.release('/dev/nowhere\x1b')
        self.assertEqual(codes.ERROR, code)
        self.assertIn('no block device', err)
        self.assertFalse(removed.called)
