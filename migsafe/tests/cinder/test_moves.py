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
"""What becomes of exports when Cinder gives a volume another record, or forgets it."""

from unittest import mock

from cinder import exception, objects
from cinder.tests.unit import fake_constants
from cinder.volume import rpcapi

from migsafe import exceptions
from migsafe.cinder.bus import endpoint
from migsafe.ledger.api import Ledger
from migsafe.ledger.records import Thing
from migsafe.tests.cinder import world

AWAY = exceptions.JournalUnavailable(database='the ledger', reason='it is away', cure='Wait.')


class Migration(world.World):
    """A volume in use is migrated, by Cinder's own code; the array is that of both backends."""

    second = 'second'

    def setUp(self):
        super().setUp()
        self.first = self.service
        self.old = self.reserve()
        self.attach(self.old)
        if self.second:
            self.service = self.manager(world.DRIVER, self.second)
            self.begin(self.service)
        self.new = self.make_volume(host=f'{self.service.host}#pool', use_quota=False,
                                    migration_status=f'target:{self.volume.id}')
        self.copy = self.reserve(volume=self.new)
        self.attach(self.copy, volume=self.new)
        self.mock_object(rpcapi.VolumeAPI, 'update_migrated_volume', self.update)
        self.mock_object(rpcapi.VolumeAPI, 'delete_volume', self.delete)

    def begin(self, service):
        service.driver.do_setup(self.admin)
        service.driver.set_initialized()
        service.stats = {'pools': {}, 'allocated_capacity_gb': 0}
        self.addCleanup(service.driver.migsafe_guard.stop)

    def update(self, ctxt, volume, new_volume, status):
        """Over the bus, to the backend of the new volume."""
        self.service.update_migrated_volume(
            ctxt, objects.Volume.get_by_id(ctxt, volume.id),
            objects.Volume.get_by_id(ctxt, new_volume.id), status)

    def delete(self, ctxt, volume, **kwargs):
        """Over the bus, to the backend of what was the volume; later."""
        self.deleted = volume.id

    def migrate(self):
        """From when Nova has swapped the volume: it deletes the old attachment first."""
        with mock.patch.object(self, 'service', self.first):
            self.detach(self.old)
        volume = objects.Volume.get_by_id(self.admin, self.volume.id)
        volume.update({'status': 'available', 'previous_status': 'in-use',
                       'migration_status': 'migrating'})
        volume.save()
        self.complete(volume)

    def complete(self, volume):
        self.first.migrate_volume_completion(
            self.admin, volume, objects.Volume.get_by_id(self.admin, self.new.id))
        self.first.delete_volume(self.admin, objects.Volume.get_by_id(self.admin, self.deleted))

    def rows(self, volume=None, guard=None):
        return {row.host: row.state for row in (guard or self.guard).ledger.of(
            Thing('volume', (volume or self.volume).id)) if row.peer and row.state != 'gone'}

    def followed(self):
        """The export that the guest uses is known, and nobody else is let in beside it."""
        self.assertIn((self.new.id, world.NODE13['initiator']), self.array.exports())
        self.assertEqual({'node13': 'mapped'}, self.rows())
        self.assertEqual({}, self.rows(self.new))
        self.forget(self.copy)     # --detached
        error = self.assertRaises(exception.VolumeBackendAPIException, self.attach,
                                  self.reserve(fake_constants.UUID2), world.NODE11)
        self.assertIn('node13', str(error))


class TestMigration(Migration):
    """To another backend."""

    def test_its_rows_follow(self):
        self.migrate()
        self.boot_again()
        self.followed()
        self.assertEqual(1, endpoint.Endpoint(self.guard).export_fence(
            None, host='node13', user='alice')['marked'])

    def boot_again(self):
        self.guard.stop()
        self.service = self.manager(world.DRIVER, self.second)
        self.begin(self.service)
        self.recover()

    def test_the_ledger_does_not_answer(self):
        """The migration has happened all the same, and recovery sees it."""
        with mock.patch.object(Ledger, 'swap', side_effect=AWAY) as swap:
            self.migrate()
        self.assertEqual(1, swap.call_count)
        self.assertEqual({'node13': 'mapped'}, self.rows(self.new))
        self.boot_again()
        self.followed()

    def test_a_driver_that_renames_the_volume_and_a_ledger_that_does_not_answer(self):
        """Only the attachment tells, then."""
        with mock.patch.object(Ledger, 'swap', side_effect=AWAY):
            self.migrate()
        volume = objects.Volume.get_by_id(self.admin, self.volume.id)
        self.array.targets[volume.id] = self.array.targets.pop(self.new.id)
        volume._name_id = None
        volume.save()
        self.boot_again()
        self.assertEqual({'node13': 'mapped'}, self.rows())

    def test_cinder_is_killed_before_it_gives_the_attachments_away(self):
        """Neither volume's record says for sure what is whose."""
        self.service.driver.migsafe_guard.__dict__['inspector'] = \
            world.Inspector(self.service.driver)
        with mock.patch.object(objects.Volume, 'finish_volume_migration',
                               side_effect=world.Killed):
            self.assertRaises(world.Killed, self.migrate)
        self.guard.recovery.round()
        self.assertIn((self.new.id, world.NODE13['initiator']), self.array.exports())
        self.assertEqual({'node13': 'mapped'}, self.rows())

    def test_what_the_old_backend_could_not_unmap(self):
        """It belongs to what is deleted there."""
        with mock.patch.object(world.ArrayDriver, 'terminate_connection',
                               side_effect=exception.VolumeDriverException('array is away')):
            self.quietly(self.migrate)
        self.forget(self.old)
        with mock.patch.object(self.first, 'delete_volume'):
            self.migrate_again()
        self.assertIn((self.volume.id, world.NODE13['initiator']), self.array.exports())
        self.first.driver.migsafe_guard.recovery.round()
        self.assertEqual({(self.new.id, world.NODE13['initiator'])}, self.array.exports())
        self.assertEqual({'node13': 'mapped'}, self.rows())

    def migrate_again(self):
        with mock.patch.object(self, 'detach'):
            self.migrate()


class TestWithinABackend(Migration):
    """From one pool to another one: one ledger has both, and both are exchanged."""

    second = None

    def test_both(self):
        with mock.patch.object(world.ArrayDriver, 'terminate_connection',
                               side_effect=exception.VolumeDriverException('array is away')):
            self.quietly(self.migrate)
        self.forget(self.old)
        with mock.patch.object(self.first, 'delete_volume'), mock.patch.object(self, 'detach'):
            self.migrate()
        self.assertEqual({'node13': 'mapped'}, self.rows())
        self.assertEqual({'node13': 'unmapping'}, self.rows(self.new))
        self.recover()
        self.assertEqual({(self.new.id, world.NODE13['initiator'])}, self.array.exports())

    def test_control(self):
        self.migrate()
        self.recover()
        self.followed()

    def test_killed_before_the_attachments_are_given_away(self):
        """The inspector sees no session, as of an array that is slow to say so."""
        self.guard.__dict__['inspector'] = world.Inspector(self.service.driver)
        with mock.patch.object(objects.Volume, 'finish_volume_migration',
                               side_effect=world.Killed):
            self.assertRaises(world.Killed, self.migrate)
        self.restart()
        self.guard.__dict__['inspector'] = world.Inspector(self.service.driver)
        self.recover()
        self.assertIn((self.new.id, world.NODE13['initiator']), self.array.exports())


class TestForgotten(world.World):
    """The record of a volume goes while the array has it mapped."""

    def failed(self):
        attachment = self.reserve()
        self.attach(attachment)
        with mock.patch.object(world.ArrayDriver, 'terminate_connection',
                               side_effect=exception.VolumeDriverException('array is away')):
            self.assertRaises(exception.VolumeBackendAPIException, self.detach, attachment)
        self.forget(attachment)

    def test_unmanage(self):
        self.failed()
        volume = objects.Volume.get_by_id(self.admin, self.volume.id)
        with mock.patch.object(world.ArrayDriver.__mro__[1], 'unmanage') as unmanage:
            error = self.assertRaises(exception.VolumeBackendAPIException,
                                      self.service.driver.unmanage, volume)
            for word in (self.volume.id, 'node13', 'unmapping', 'array is away'):
                self.assertIn(word, str(error))
            self.assertEqual(0, unmanage.call_count)
            self.recover()
            self.service.driver.unmanage(volume)
        self.assertEqual(1, unmanage.call_count)
        self.assertEqual(set(), self.array.exports())

    def test_unmanage_by_the_manager(self):
        """The record stays."""
        self.failed()
        with mock.patch.object(world.ArrayDriver, 'terminate_connection',
                               side_effect=exception.VolumeDriverException('array is away')), \
                mock.patch.object(world.ArrayDriver, 'remove_export'):
            self.assertRaises(exception.VolumeBackendAPIException, self.service.delete_volume,
                              self.admin, objects.Volume.get_by_id(self.admin, self.volume.id),
                              unmanage_only=True)
        self.assertEqual('error_unmanaging',
                         objects.Volume.get_by_id(self.admin, self.volume.id).status)

    def test_the_array_still_has_what_cinder_has_deleted(self):
        self.failed()
        inspector = world.Inspector(self.service.driver)
        self.guard.__dict__['inspector'] = inspector
        objects.Volume.get_by_id(self.admin, self.volume.id).destroy()
        self.recover()
        row = self.guard.ledger.of(Thing('volume', self.volume.id))[1]
        self.assertEqual('unmapping', row.state)
        self.assertIn('unmap it there', row.error)
        self.array.targets.clear()
        self.recover()
        self.assertEqual([], self.guard.ledger.due())
