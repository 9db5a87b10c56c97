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
"""What nova-compute finds around itself, where its libvirt and Nova's rows answer as told."""

import json
import time
import types
import unittest
from unittest import mock

from nova import objects

from migsafe.nova.clients import surroundings
from migsafe.preflight import report
from migsafe.preflight.surroundings import DirtyRate, Surroundings, Way
from migsafe.tests.unit.preflight.cases import UUID
from migsafe.tests.unit.preflight.test_path import HERE, listening


def driver(stats):
    """Nova's, with a libvirt that says this of a guest."""
    connection = mock.Mock()
    domain = connection.lookupByUUIDString.return_value
    connection.domainListGetStats.side_effect = lambda domains, kinds, flags: [
        (domains[0], stats)] if (domains, kinds, flags) == ([domain], 512, 0) else []
    return types.SimpleNamespace(_host=mock.Mock(get_connection=lambda: connection))


class TestWritten(unittest.TestCase):

    def test_measured(self):
        found = surroundings.written(driver({
            'dirtyrate.calc_status': 2, 'dirtyrate.calc_start_time': int(time.monotonic()) - 60,
            'dirtyrate.calc_period': 1, 'dirtyrate.megabytes_per_second': 3}), UUID)
        self.assertEqual(3 << 20, found.rate)
        self.assertLessEqual(60, found.age)

    def test_not_measured(self):
        for status in (0, 1):
            self.assertEqual(DirtyRate(), surroundings.written(driver({
                'dirtyrate.calc_status': status}), UUID))
        self.assertIsNone(surroundings.written(driver({}), UUID))


class TestOfHost(unittest.TestCase):

    def test_rows(self):
        objects.register_all()
        with listening() as port:
            rows = [types.SimpleNamespace(
                is_volume=True, volume_id='v', connection_info=json.dumps({
                    'driver_volume_type': 'iscsi', 'data': {
                        'target_portal': f'{HERE}:{port}', 'auth_password': 'hush'}})),
                types.SimpleNamespace(is_volume=True, volume_id='w', connection_info=None),
                types.SimpleNamespace(is_volume=False)]
            with mock.patch.object(objects.BlockDeviceMappingList, 'get_by_instance_uuid',
                                   return_value=rows):
                found = surroundings.of_host(driver({}), 'cn1', UUID)
        self.assertEqual((Way('v', 'iscsi', f'{HERE} {port}', 'open'),), found.ways)
        self.assertEqual(found, report.read(Surroundings, report.payload(found)))

    def test_what_does_not_answer(self):
        objects.register_all()
        with mock.patch.object(objects.BlockDeviceMappingList, 'get_by_instance_uuid',
                               side_effect=RuntimeError('away')):
            self.assertEqual(Surroundings('cn1'),
                             surroundings.of_host(driver(None), 'cn1', UUID))
