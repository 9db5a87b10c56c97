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
"""The disconnect of the volume that a guest has been moved away from."""

import types

import testtools
from nova import exception
from oslo_concurrency import processutils

from migsafe.brick import refusals
from migsafe.brick.guard import kept_devices
from migsafe.nova.seams import swap

OLD = {'driver_volume_type': 'iscsi', 'data': {'volume_id': 'vol-1'}}
NEW = {'driver_volume_type': 'iscsi', 'data': {'volume_id': 'vol-2'}}
INSTANCE = types.SimpleNamespace(uuid='vm-1', host='cmp1')


class TestDisconnect(testtools.TestCase):

    def setUp(self):
        super().setUp()
        kept_devices.clear()
        self.addCleanup(kept_devices.clear)

    def swapped(self, failure, info=OLD, old=OLD):
        """The driver disconnects in the middle of a swap, which fails."""
        def _disconnect_volume(_driver, context, connection_info, instance):
            """The method of the driver."""

        def wrapper(wrapped, driver, args, kwargs):
            raise failure

        def swap_volume(_driver, context, old_connection_info, new_connection_info):
            return swap.disconnect(wrapper)(
                types.MethodType(_disconnect_volume, 'driver'), None, (None, info, INSTANCE), {})
        return swap.swap_volume(
            types.MethodType(swap_volume, 'driver'), None, (None, old, NEW), {})

    def test_what_fails_does_not_undo_the_swap(self):
        for failure in (exception.CinderConnectionFailed(reason='503'),
                        processutils.ProcessExecutionError('device busy', exit_code=5)):
            self.assertIsNone(self.swapped(failure))
            # so that Nova does not take the export from under it either
            self.assertEqual(['cmp1'], list(kept_devices.hosts('vol-1')))
            kept_devices.clear()

    def test_whose_data_does_not_name_the_volume(self):
        """Not every driver of Cinder puts it there; Nova always has it."""
        old = {'driver_volume_type': 'fibre_channel', 'serial': 'vol-1', 'data': {}}
        self.assertIsNone(self.swapped(
            exception.CinderConnectionFailed(reason='503'), old, old))
        self.assertEqual(['cmp1'], list(kept_devices.hosts('vol-1')))

    def test_a_refusal_has_been_remembered_already(self):
        refused = refusals.NotRemoved(volume='vol-1', host='cmp1', device='/dev/sdb',
                                      reason='busy', left='')
        self.assertIsNone(self.swapped(refused))
        self.assertFalse(kept_devices.anything())

    def test_that_of_another_volume_fails(self):
        self.assertRaises(exception.CinderConnectionFailed, self.swapped,
                          exception.CinderConnectionFailed(reason='503'), NEW)
        self.assertFalse(kept_devices.anything())

    def test_outside_of_a_swap(self):
        def _disconnect_volume(_driver, context, connection_info, instance):
            """The method of the driver."""

        def wrapper(wrapped, driver, args, kwargs):
            raise exception.CinderConnectionFailed(reason='503')
        self.assertRaises(
            exception.CinderConnectionFailed, swap.disconnect(wrapper),
            types.MethodType(_disconnect_volume, 'driver'), None, (None, OLD, INSTANCE), {})
