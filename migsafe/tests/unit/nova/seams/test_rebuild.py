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
"""The image of an instance whose rebuild was refused."""

import types
import unittest
from unittest import mock

from nova import exception, objects

from migsafe.nova.seams import rebuild, refusals

OLD = {'image_os_type': 'windows', 'image_kernel_id': 'k-old', 'image_base_image_ref': 'old',
       'image_architecture': 'None', 'boot_roles': 'of long ago'}


class Case(unittest.TestCase):
    def setUp(self):
        super().setUp()
        objects.register_all()
        self.saved = mock.Mock()
        self.instance = types.SimpleNamespace(
            uuid='i', image_ref='new', os_type='linux', architecture='aarch64', vm_mode='xen',
            kernel_id='k-new', ramdisk_id='r-new', save=self.saved, image_meta='meta',
            display_name='as the owner now wants it',
            system_metadata={'image_os_type': 'linux', 'image_hw_new': '1',
                             'boot_roles': 'admin'})
        self.spec = mock.Mock()
        self.asked = self.enterContext(mock.patch.object(
            objects.RequestSpec, 'get_by_instance_uuid', return_value=self.spec))


class TestGiveBack(Case):
    def give_back(self, **metadata):
        rebuild.give_back(self.instance, 'old', OLD | metadata)
        self.saved.assert_called_once_with()

    def test_all_that_comes_from_an_image_and_nothing_else(self):
        self.give_back()
        self.assertEqual(
            {key: value for key, value in OLD.items() if key != 'boot_roles'}
            | {'boot_roles': 'admin'}, self.instance.system_metadata)
        self.assertEqual(('old', 'windows', None, None, 'k-old', ''), (
            self.instance.image_ref, self.instance.os_type, self.instance.architecture,
            self.instance.vm_mode, self.instance.kernel_id, self.instance.ramdisk_id))
        self.assertEqual('as the owner now wants it', self.instance.display_name)

    def test_no_kernel(self):
        self.give_back(image_kernel_id='nokernel', image_ramdisk_id='r')
        self.assertEqual(('', ''), (self.instance.kernel_id, self.instance.ramdisk_id))

    def test_boots_from_a_volume(self):
        self.instance.image_ref = ''
        self.give_back()
        self.assertEqual('', self.instance.image_ref)


class TestRefused(Case):
    def refuse(self, image_ref='new', manager=None):
        return refusals._image_back(manager, {
            'context': None, 'instance': self.instance, 'orig_image_ref': 'old',
            'image_ref': image_ref, 'orig_sys_metadata': OLD},
            exception.NovaException('rebuild refused: held'))

    def test_the_scheduler_is_told(self):
        self.assertEqual('rebuild refused: held', str(self.refuse()))
        self.assertEqual('meta', self.spec.image)
        self.spec.save.assert_called_once_with()

    def test_its_record_is_not_asked_for_when_nothing_was_changed_there(self):
        self.refuse('old')
        self.asked.assert_not_called()

    def test_the_cell_does_not_reach_its_record(self):
        self.spec.save.side_effect = RuntimeError('no API database here')
        with self.assertLogs('migsafe.nova.seams.rebuild', 'WARNING') as said:
            self.assertEqual('rebuild refused: held', str(self.refuse()))
        self.assertIn('no API database here', str(said.output))
        self.assertEqual('old', self.instance.image_ref)

    def test_not_saved_is_not_left_as_if_nothing_had_been(self):
        for failure in (None, RuntimeError('conductor')):
            self.saved.side_effect = RuntimeError('no reply')
            manager = mock.Mock()
            manager._set_instance_obj_error_state.side_effect = failure
            said = str(self.refuse(manager=manager))
            manager._set_instance_obj_error_state.assert_called_once_with(self.instance)
            for word in ('rebuild refused: held', 'no reply', 'old', 'do not reboot'):
                self.assertIn(word, said)
        self.asked.assert_not_called()


if __name__ == '__main__':
    unittest.main()
