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
"""Volume groups that nova.conf and cinder.conf name."""

import os

import fixtures
import testtools

from migsafe import exceptions
from migsafe.lvm import services


class ServicesTest(testtools.TestCase):

    def file(self, text):
        path = os.path.join(self.useFixture(fixtures.TempDir()).path, 'a.conf')
        with open(path, 'w') as stream:
            stream.write(text)
        return [path]

    def test_nova(self):
        text = '[libvirt]\nimages_type = {}\nimages_volume_group = nova\n'
        found = services.nova(self.file(text.format('lvm')))
        self.assertEqual(['nova'], [one.vg_name for one in found])
        self.assertEqual([], services.nova(self.file(text.format('qcow2'))))
        self.assertEqual([], services.nova([]))

    def test_cinder(self):
        found = services.cinder(self.file(
            '[DEFAULT]\nenabled_backends = one,two,three,four,nfs\n'
            '[backend_defaults]\nvolume_group = common\n'
            '[one]\nvolume_group = vg-one\n'
            '[two]\nvolume_driver = cinder.volume.drivers.lvm.LVMVolumeDriver\n'
            '[three]\nvolume_driver = cinder.volume.drivers.rbd.RBDDriver\nvolume_group = no\n'
            '[four]\nvolume_driver = migsafe.cinder.driver.GuardedDriver\n'
            'migsafe_wrapped_driver = cinder.volume.drivers.lvm.LVMVolumeDriver\n'
            'volume_group = vg-four\n'
            '[nfs]\nvolume_driver = cinder.volume.drivers.nfs.NfsDriver\n'))
        self.assertEqual(['vg-one', 'common', 'vg-four'], [one.vg_name for one in found])
        self.assertIn('[one] volume_group of /', found[0].who)

    def test_a_directory_alone(self):
        top = self.useFixture(fixtures.TempDir()).path
        conf = os.path.join(top, 'cinder.conf')
        self.useFixture(fixtures.MonkeyPatch('migsafe.lvm.services.CINDER_CONF', conf))
        self.assertEqual([], services.both([]))
        os.mkdir(conf + '.d')
        with open(os.path.join(conf + '.d', 'lvm.conf'), 'w') as stream:
            stream.write('[DEFAULT]\nenabled_backends = one\n[one]\nvolume_group = mine\n')
        self.assertEqual(['mine'], [one.vg_name for one in services.both([])])

    def test_no_cinder(self):
        self.assertEqual([], services.cinder([]))

    def test_not_a_configuration(self):
        self.assertRaises(exceptions.ConfigError, services.nova, self.file('password'))
        self.assertRaises(exceptions.ConfigError, services.cinder, ['/nowhere/cinder.conf'])
