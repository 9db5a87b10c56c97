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
"""What Nova's own watch is given, for a job that another process began."""

import inspect
import types
import unittest
from unittest import mock

from nova import exception, objects
from nova.conf import CONF
from nova.virt.libvirt import driver as libvirt_driver

from migsafe.nova.clients import transfers

INSTANCE = '3a5c1c5e-4d4c-4a55-9d8d-0d7f0f6c1a01'
TX = types.SimpleNamespace(instance_uuid=INSTANCE, migration_id=7, dest_host='node11')


class Driver:
    """Nova's, with a guest whose job is what ``job`` says."""

    def __init__(self, job, operation=5):
        self.active_migrations, self.seen, self.error = {}, [], None
        domain = mock.Mock()
        domain.jobStats.return_value = {'type': 2, 'operation': operation}
        guest = mock.Mock()
        guest.get_job_info.return_value = job
        self.domain, self._host = domain, mock.Mock()
        self._host.get_connection().lookupByUUIDString.return_value = domain
        self._host.get_guest.return_value = guest

    def _live_migration_copy_disk_paths(self, context, instance, guest):
        return ['/disk'], ['vda']

    def _live_migration_data_gb(self, instance, disk_paths):
        return 4.0 + len(disk_paths)

    def _live_migration_monitor(self, context, instance, guest, dest, post_method, recover_method,
                                block_migration, migrate_data, future, disk_paths):
        self.seen.append((dest, block_migration, disk_paths, future.done(), future.ready(),
                          self._live_migration_data_gb(instance, disk_paths),
                          migrate_data.migration.id, INSTANCE in self.active_migrations))
        post_method(context, instance, dest, block_migration, migrate_data)
        recover_method(context, instance, dest, migrate_data, migration_status='cancelled')
        if self.error:
            raise self.error

    def live_migration_abort(self, instance):
        self.seen.append(instance.uuid)


class Case(unittest.TestCase):
    def setUp(self):
        super().setUp()
        objects.register_all()
        self.migration = objects.Migration(id=7, status='running')
        for kind, name, result in (
                (objects.Instance, 'get_by_uuid', objects.Instance(uuid=INSTANCE)),
                (objects.Migration, 'get_by_id', self.migration)):
            patch = mock.patch.object(kind, name, return_value=result)
            self.addCleanup(patch.stop)
            setattr(self, name, patch.start())
        CONF.set_override('live_migration_completion_timeout', 100, 'libvirt')
        self.addCleanup(CONF.clear_override, 'live_migration_completion_timeout', 'libvirt')

    def watch(self, elapsed=0, disk_total=0, error=None):
        driver = Driver(types.SimpleNamespace(time_elapsed=elapsed, disk_total=disk_total))
        driver.error = error
        self.transfers = transfers.Transfers(types.SimpleNamespace(driver=driver))
        try:
            self.transfers.watch(TX)
        finally:
            self.assertEqual({}, driver.active_migrations)
        return driver.seen[0]


class TestWatch(Case):
    def test_what_it_is_given(self):
        self.assertEqual(('node11', False, [], True, True, 4.0, 7, True), self.watch())

    def test_with_disks_that_are_copied(self):
        self.assertEqual(('node11', True, ['/disk'], True, True, 5.0, 7, True),
                         self.watch(disk_total=1 << 30))

    def test_time_that_has_passed_counts(self):
        for milliseconds, seconds in ((0, 400), (150_000, 250), (399_000, 1), (10 ** 9, 1)):
            data = self.watch(elapsed=milliseconds)[5]
            # as Nova computes it; with 0 it would never be due
            self.assertEqual(seconds, int(100 * data), milliseconds)
        CONF.set_override('live_migration_completion_timeout', 0, 'libvirt')
        self.assertEqual(4.0, self.watch(elapsed=10 ** 9)[5])

    def test_nothing_is_left_when_it_fails(self):
        self.assertRaises(TimeoutError, self.watch, error=TimeoutError())

    def test_parameters_of_the_watch_of_this_nova(self):
        found = list(inspect.signature(
            libvirt_driver.LibvirtDriver._live_migration_monitor).parameters)
        ours = list(inspect.signature(Driver._live_migration_monitor).parameters)
        last = ours.index('future')
        self.assertEqual(ours[:last] + ours[last + 1:], found[:last] + found[last + 1:])
        self.assertIn(found[last], ('future', 'finish_event'))


class TestJobs(Case):
    def going_on(self, **given):
        self.driver = Driver(None, **given)
        self.transfers = transfers.Transfers(types.SimpleNamespace(driver=self.driver))
        return self.transfers.going_on(TX)

    def test_only_one_that_takes_the_guest_away(self):
        for operation in (*range(10), None):
            self.assertIs(operation == 5, self.going_on(operation=operation), operation)

    def test_one_whose_watch_has_failed_is_still_in_the_list_of_nova(self):
        self.going_on()
        self.driver.active_migrations[INSTANCE] = []
        self.assertTrue(self.transfers.going_on(TX))

    def test_libvirt_that_does_not_answer(self):
        self.going_on()
        self.driver.domain.jobStats.side_effect = OSError
        self.assertFalse(self.transfers.going_on(TX))

    def test_ended(self):
        self.going_on()
        self.transfers.end(TX)
        self.assertEqual([INSTANCE], self.driver.seen)

    def test_status(self):
        self.going_on()
        self.assertEqual('running', self.transfers.status(TX))
        self.get_by_id.side_effect = exception.MigrationNotFound(migration_id=7)
        self.assertIsNone(self.transfers.status(TX))
        self.assertIsNone(self.transfers.status(types.SimpleNamespace(migration_id=None)))


if __name__ == '__main__':
    unittest.main()
