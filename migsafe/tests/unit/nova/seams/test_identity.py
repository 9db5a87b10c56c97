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
import json
import unittest

from nova import context as nova_context
from nova import objects
from nova.tests.unit import fake_block_device
from nova.virt import block_device

from migsafe.brick.guard import policy
from migsafe.nova.seams import identity

KNOWN = ['naa.600140512345678901234567890abcde']


class PreserveTest(unittest.TestCase):

    def preserved(self, old, new):
        objects.register_all()
        values = fake_block_device.FakeDbBlockDeviceDict({
            'id': 1, 'volume_id': 'v', 'source_type': 'volume', 'boot_index': 0,
            'destination_type': 'volume', 'connection_info': old})
        device = block_device.DriverVolumeBlockDevice(objects.BlockDeviceMapping._from_db_object(
            nova_context.get_admin_context(), objects.BlockDeviceMapping(), values))
        identity.preserve(device._preserve_multipath_id, device, (new,), {})
        return new

    def test_kept_with_the_multipath_id(self):
        old = json.dumps({'data': {'multipath_id': '3600', policy.KEY: KNOWN}})
        self.assertEqual({'data': {'multipath_id': '3600', policy.KEY: KNOWN}},
                         self.preserved(old, {'data': {}}))

    def test_what_the_array_says_stays(self):
        old = json.dumps({'data': {policy.KEY: ['naa.1111111111111111']}})
        self.assertEqual(KNOWN, self.preserved(old, {'data': {policy.KEY: KNOWN}})[
            'data'][policy.KEY])

    def test_nothing_known(self):
        for old in ('{}', '{"data": {}}', 'null'):
            with self.subTest(old=old):
                self.assertEqual({'data': {}}, self.preserved(old, {'data': {}}))

    def test_new_one_without_data(self):
        old = json.dumps({'data': {policy.KEY: KNOWN}})
        self.assertEqual({'driver_volume_type': 'x', 'data': None},
                         self.preserved(old, {'driver_volume_type': 'x', 'data': None}))


class NamedTest(unittest.TestCase):

    def test_the_volume_is_named(self):
        def wrapper(wrapped, instance, args, kwargs):
            return policy.current().volume

        def connect(context, connection_info, instance):
            raise AssertionError('the wrapper decides')
        info = {'serial': 'vol-7', 'data': {}}
        self.assertEqual('vol-7', identity.named(wrapper)(connect, None, ('c', info, 'i'), {}))
        self.assertEqual('(not named)', policy.current().volume)
