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
import os
from unittest import mock

import fixtures

from migsafe.brick.kernel import sysfs
from migsafe.brick.root import privileged
from migsafe.cli import codes
from migsafe.journal import rights
from migsafe.lvm import services
from migsafe.tests.unit.brick import trees
from migsafe.tests.unit.brick.kernel import test_place
from migsafe.tests.unit.cli import base

VOLUME = '3de94ee8-30b8-4faf-82eb-24e1df144337'
TARGETS = tuple(
    f'ip-10.0.0.{n}:3260-iscsi-iqn.2010-10.org.openstack:volume-{VOLUME}-lun-1' for n in (1, 2))


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
                    '/dev/sdx': 'sdx', '/dev/sda': 'sda', TARGETS[0]: 'sda',
                    TARGETS[1]: 'sdb'}.get(os.path.basename(path) if 'iscsi' in path else path))):
            patch.start()
            self.addCleanup(patch.stop)
        self.dev = self.useFixture(fixtures.TempDir()).path
        self.useFixture(fixtures.MonkeyPatch('migsafe.brick.identity.proof.BY_PATH', self.dev))
        self.useFixture(fixtures.MonkeyPatch('migsafe.brick.identity.proof.RUNNING', self.dev))
        self.useFixture(fixtures.MonkeyPatch('migsafe.brick.identity.proof.DEFINED', '/nowhere'))
        self.identity = []

    def domain(self, text=None, path='/dev/mapper/mpatha', serial=VOLUME):
        """A guest of Nova's with a disk."""
        with open(os.path.join(self.dev, 'instance-1.xml'), 'w') as stream:
            stream.write(text if text is not None else (
                '<domstatus><domain><devices><disk><source/></disk><disk>'
                f'<source dev="{path}"/><serial>{serial}</serial></disk></devices></domain>'
                '</domstatus>'))

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

    def release(self, *paths, euid=0, typed=''):
        with mock.patch('os.geteuid', return_value=euid), \
                mock.patch.object(rights, 'owner', return_value=0), \
                mock.patch.object(privileged.default, 'set_client_mode'), \
                mock.patch.object(privileged, 'opened_by', return_value=[]), \
                mock.patch.object(privileged, 'look', side_effect=lambda name, exclusive: {
                    'state': 'free', 'identity': self.identity}), \
                mock.patch.object(privileged, 'remove_lv',
                                  return_value={'done': True}) as removed:
            return self.run_command('lvm', 'release', *paths, typed=typed), removed

    def assertReleased(self, expected, *args, **kwargs):
        (code, _out, err), removed = self.release('/dev/mapper/mpatha', *args, **kwargs)
        self.assertEqual(codes.REPAIRED if expected else codes.ERROR, code, err)
        self.assertEqual(expected, removed.called)
        return err

    def test_nothing_proves_that_it_is_a_volume(self):
        self.identity = ['naa.600140512345678901234567890abcde']
        err = self.assertReleased(False)
        for word in ('sda', 'sdb', '600140512345678901234567890abcde', '--unproven'):
            self.assertIn(word, err)

    def test_a_domain(self):
        for made, released in (({}, True), ({'serial': 'of-the-host'}, False),
                               ({'path': '/dev/sda'}, False), ({'text': '<domain>'}, False),
                               ({'text': ''}, False)):
            with self.subTest(made):
                self.domain(**made)
                self.assertReleased(released)

    def test_a_target(self):
        """Each path has to be proven."""
        for name in TARGETS:
            self.assertReleased(False)
            os.mkdir(os.path.join(self.dev, name))
        self.assertReleased(True)

    def test_the_journal(self):
        self.identity = ['naa.600140512345678901234567890abcde']
        self.assertIn('journal', self.assertReleased(False))
        journal = self.open()
        for identity, released in (('naa.600140512345678901234567890abcdf', False),
                                   ('naa.600140512345678901234567890abcde', True)):
            with self.subTest(identity=identity):
                self.begin(journal, uuid=identity, captures=[('volume_connection', VOLUME, {
                    'attachment_id': 'a', 'connection_info': {
                        'data': {'migsafe_identity': [identity]}}})])
                self.assertReleased(released)

    def test_confirmed(self):
        self.assertReleased(False, '--unproven', typed='yes\n')
        self.assertIn('WWID', self.assertReleased(True, '--unproven', typed='release\n'))
        self.assertReleased(True, '--unproven', '--yes')

    def test_release(self):
        self.domain()
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
        self.domain()
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
