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
"""Which names in libvirt's domains prove that a disk is a volume."""

import os
from unittest import mock

import fixtures
import testtools

from migsafe.brick.identity import proof
from migsafe.brick.kernel import sysfs
from migsafe.tests.unit.brick import trees

VOLUME = '0b1f9b5e-7a63-4c3e-8a80-52a7c8d1f001'
#: What Nova writes for a plain path and for a map (os-brick's ``path``), and by-path's LUN number
#: on a target: names that are another disk's by tomorrow.
PASSING = ('/dev/sda', '/dev/dm-0', '/dev/mapper/mpatha', '/dev/disk/by-id/dm-name-mpatha',
           '/dev/disk/by-id/lvm-pv-uuid-xP2r0W', '/dev/disk/by-id/../../sda',
           '/dev/disk/by-path/ip-10.0.0.1:3260-iscsi-iqn.2003-01.org.x:sn-lun-1')
#: Names that are made of what the disk answers.
LASTING = (f'/dev/mapper/{trees.WWID}', f'/dev/disk/by-id/wwn-0x{trees.WWID[1:]}',
           f'/dev/disk/by-id/scsi-{trees.WWID}', f'/dev/disk/by-id/dm-uuid-mpath-{trees.WWID}',
           f'/dev/disk/by-id/nvme-eui.{trees.WWID[1:]}',
           f'/dev/disk/by-id/nvme-uuid.{VOLUME}')


class DomainsTest(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.tree = self.useFixture(trees.Tree())
        self.tree.mpath()
        self.running, self.defined = (self.useFixture(fixtures.TempDir()).path for _ in range(2))
        for name, path in (('RUNNING', self.running), ('DEFINED', self.defined),
                           ('BY_PATH', '/nowhere')):
            self.useFixture(fixtures.MonkeyPatch(f'migsafe.brick.identity.proof.{name}', path))

    def known(self, directory, path):
        with open(os.path.join(directory, 'instance-1.xml'), 'w') as stream:
            stream.write(f'<domain><devices><disk><source dev="{path}"/><serial>{VOLUME}</serial>'
                         '</disk></devices></domain>')
        with mock.patch.object(sysfs, 'kernel_name', {
                name: 'sda' if name == '/dev/sda' else 'dm-0'
                for name in PASSING + LASTING}.get):
            return sorted(proof.known(self.tree.sysfs))

    def test_running(self):
        """QEMU has open what these names mean."""
        for path in PASSING + LASTING:
            with self.subTest(path):
                self.assertEqual(['sda'] if path == '/dev/sda' else ['sda', 'sdb'],
                                 self.known(self.running, path))

    def test_defined(self):
        """The domain may have been off since the name was written down."""
        for path in PASSING:
            with self.subTest(path):
                self.assertEqual([], self.known(self.defined, path))
        for path in LASTING:
            with self.subTest(path):
                self.assertEqual(['sda', 'sdb'], self.known(self.defined, path))
