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
"""A guest is not moved by rows that lead to other disks than it runs on."""

import dataclasses
import types
from unittest import mock

from migsafe.nova.clients import devices
from migsafe.nova.seams import runs_on
from migsafe.tests.unit.nova.seams import test_recorded
from migsafe.tests.unit.resources import cloud as fake


class TestRunsOn(test_recorded.Case):

    def setUp(self):
        super().setUp()
        self.disks = [self.disk(0), self.disk(1)]
        guest = types.SimpleNamespace(get_all_disks=lambda: self.disks)
        self.manager = types.SimpleNamespace(driver=types.SimpleNamespace(
            _host=types.SimpleNamespace(get_guest=lambda _instance: guest)))
        self.leads = {}
        self.looked = []
        patched = mock.patch.object(devices, 'elsewhere', self.elsewhere)
        patched.start()
        self.addCleanup(patched.stop)

    def disk(self, number, **more):
        return types.SimpleNamespace(**{
            'serial': fake.volume(number), 'source_type': 'block',
            'source_path': f'/dev/guest-{number}', **more})

    def elsewhere(self, _driver, _host, path, _info):
        self.looked.append(path)
        return self.leads.get(path, '')

    def refusal(self):
        return runs_on.refusal(self.here, self.manager, self.instance)

    def write(self, connection_info):
        rows = self.world.records.rows
        rows[fake.volume(0)] = dataclasses.replace(
            rows[fake.volume(0)], connection_info=connection_info)

    def test_rows_that_lead_to_what_it_runs_on(self):
        self.assertIsNone(self.refusal())
        self.assertEqual(['/dev/guest-0', '/dev/guest-1'], self.looked)

    def test_another_disk(self):
        self.leads['/dev/guest-1'] = '/dev/disk/by-path/other lun'
        why = self.refusal()
        for word in (fake.volume(1), fake.INSTANCE, test_recorded.SRC, '/dev/guest-1',
                     "'/dev/disk/by-path/other lun'", 'somebody else', 'migsafe repair'):
            self.assertIn(word, why)

    def test_what_is_told_and_done_all_the_same(self):
        self.leads['/dev/guest-1'] = '/dev/sdx'
        for name, value in (('enforce', False), ('identity_policy', 'accept')):
            with mock.patch.object(self.here.conf, name, value), \
                    mock.patch.object(test_recorded.recorded.LOG, 'warning') as warned:
                self.assertIsNone(self.refusal())
            self.assertIn('/dev/sdx', warned.call_args.args[1])

    def test_no_disk_is_looked_at(self):
        """That is compared when it is disconnected, no block device, or another host's."""
        self.write(test_recorded.info(identity=test_recorded.MINE))
        self.disks[1:] = [self.disk(1, source_type='file'), self.disk(2)]
        self.assertIsNone(self.refusal())
        self.disks[:] = [self.disk(0, serial=None), self.disk(1, source_path=None)]
        self.assertIsNone(self.refusal())
        self.disks[:] = [self.disk(0), self.disk(1)]
        self.instance.host = test_recorded.DST
        self.assertIsNone(self.refusal())
        self.assertEqual([], self.looked)

    def test_damaged_rows_lead_nowhere(self):
        for damaged in (None, {}, {'driver_volume_type': 'iscsi', 'data': 'x'}, {'data': {}}):
            self.write(damaged)
            self.assertIsNone(self.refusal())
        self.assertNotIn('/dev/guest-0', self.looked)

    def test_what_cannot_be_told_stops_nothing(self):
        with mock.patch.object(devices, 'elsewhere', side_effect=OSError('no sysfs')), \
                mock.patch.object(runs_on.LOG, 'warning') as warned:
            self.assertIsNone(self.refusal())
        self.assertIn('no sysfs', str(warned.call_args))
