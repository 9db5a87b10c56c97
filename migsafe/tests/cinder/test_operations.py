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
"""Operations of Cinder that map volumes by a way of their own, or move and delete them.

Each is run on plain Cinder too; what is left and what is refused must be the same but for what is
said here and in the documents.
"""

import contextlib
import io
from unittest import mock

from cinder import exception, objects
from cinder.tests.unit import fake_constants
from cinder.tests.unit import utils as cinder_utils
from cinder.volume import volume_utils

from migsafe.cinder.bus import endpoint
from migsafe.ledger.records import Thing
from migsafe.tests.cinder import world

OTHER = fake_constants.UUID2
#: One host each for cinder-backup.
BACKUPS = [{'host': f'backup{number}', 'initiator': f'iqn.1994-05.com.redhat:b{number}'}
           for number in (1, 2)]
CREATE = world.ArrayDriver.create_export


class Rpc:
    """What cinder-backup asks of cinder-volume, without a bus."""

    def __init__(self, service, backups):
        self._service, self._backups = service, backups

    def get_backup_device(self, ctxt, backup, volume):
        """The callback of the real one goes to cinder-backup's own host."""
        device = self._service.get_backup_device(ctxt, backup, want_objects=True)
        self._backups.continue_backup(ctxt, backup, device)

    def initialize_connection(self, ctxt, volume, connector):
        return self._service.initialize_connection(ctxt, volume, connector)

    def terminate_connection(self, ctxt, volume, connector, force=False):
        self._service.terminate_connection(ctxt, volume.id, connector, force)

    def remove_export(self, ctxt, volume, sync=False):
        self._service.remove_export(ctxt, volume.id)


class Operations(world.World):
    """The operations."""

    def setUp(self):
        super().setUp()
        self.service.stats = {'pools': {}, 'allocated_capacity_gb': 0}

    def row(self, host='node13'):
        return next(row for row in self.guard.ledger.of(Thing('volume', self.volume.id))
                    if row.host == host)

    def stale(self):
        """Node13 has an export of the volume, and no attachment."""
        attachment = self.reserve()
        self.attach(attachment)
        self.forget(attachment)

    @contextlib.contextmanager
    def other_service(self):
        """Where a volume is moved to."""
        service = objects.Service(self.admin, host='node@other', binary='cinder-volume',
                                  topic='cinder-volume', availability_zone='nova',
                                  uuid=fake_constants.UUID5)
        service.create()
        with mock.patch.object(self.service, '_get_service', return_value=service):
            yield


class Backups(Operations):
    """cinder-backup's own manager, on two hosts."""

    def backup(self, connector):
        """Back the volume up on a host."""
        # NOTE: it can be imported once Cinder's objects are registered.
        from cinder.backup import manager as backup_manager
        backups = backup_manager.BackupManager()
        backups.is_initialized = True
        backups.volume_rpcapi = Rpc(self.service, backups)
        backups.service = lambda _context: mock.Mock(backup=mock.Mock(return_value={}))
        volume = objects.Volume.get_by_id(self.admin, self.volume.id)
        volume.update({'previous_status': volume.status, 'status': 'backing-up'})
        volume.save()
        backup = cinder_utils.create_backup(self.admin, self.volume.id, status='creating')
        device = {'connector': mock.Mock(), 'conn': {'data': {}}, 'device': {
            'path': io.BytesIO()}}
        with mock.patch.object(volume_utils, 'brick_get_connector_properties',
                               return_value=dict(connector)), \
                mock.patch.object(backups, '_connect_device', return_value=device):
            backups.create_backup(self.admin, backup)
        backup.refresh()
        return backup

    def on_both(self):
        """One after the other, and a guest's attach at the end."""
        for connector in BACKUPS:
            self.assertEqual('available', self.backup(connector).status)
            self.assertEqual(set(), self.array.exports())
        self.attach(self.reserve(), world.NODE11)


class TestBackups(Backups):
    """With the guard."""

    def test_on_both(self):
        self.on_both()

    def test_one_died(self):
        """What a host that lost its power has is like that of any os-initialize_connection."""
        volume = objects.Volume.get_by_id(self.admin, self.volume.id)
        self.service.driver.create_export(self.admin, volume, BACKUPS[0])
        self.service.initialize_connection(self.admin, volume, dict(BACKUPS[0]))
        self.assertEqual('available', self.backup(BACKUPS[1]).status)
        error = self.assertRaises(exception.VolumeBackendAPIException, self.attach,
                                  self.reserve(), world.NODE11)
        self.assertIn('host backup1 has an export of it', str(error))
        endpoint.Endpoint(self.guard).export_revert(
            None, volume=self.volume.id, host='backup1')
        self.attach(self.reserve(OTHER), world.NODE11)
        self.assertEqual({(self.volume.id, world.NODE11['initiator'])}, self.array.exports())

    def test_who_comes_with_an_attachment_is_not_cinder_backup(self):
        """Such as an evacuation, between the two calls of a backup."""
        self.stale()
        self.guard.backups.give({'id': self.volume.id}, False)
        error = self.assertRaises(exception.VolumeBackendAPIException, self.attach,
                                  self.reserve(OTHER), world.NODE11)
        self.assertIn('node13', str(error))
        # its own connection is made all the same
        self.service.initialize_connection(self.admin, self.volume, dict(BACKUPS[0]))
        self.assertIn((self.volume.id, BACKUPS[0]['initiator']), self.array.exports())


class TestBackupsPlain(Backups):
    """The control: both hosts have it."""

    guarded = False

    def test_plain_cinder(self):
        self.on_both()
        volume = objects.Volume.get_by_id(self.admin, self.volume.id)
        self.service.initialize_connection(self.admin, volume, dict(BACKUPS[0]))
        self.assertEqual(2, len(self.array.exports()))


class Others(Operations):
    """Groups, transfers, freezing, and a migration by the driver."""

    def group(self):
        group = objects.Group(self.admin, user_id=self.admin.user_id,
                              project_id=self.admin.project_id, status='available',
                              host='node@array', name='group',
                              group_type_id=fake_constants.GROUP_TYPE_ID)
        group.create()
        self.volume.group_id = group.id
        self.volume.save()
        return group

    def delete_group(self):
        """With its volumes; true if these are gone."""
        group = self.group()
        with mock.patch('cinder.volume.group_types.is_default_cgsnapshot_type',
                        return_value=False), \
                mock.patch.object(self.service, '_check_is_our_resource'), \
                mock.patch('cinder.volume.manager.GROUP_QUOTAS'), \
                mock.patch('cinder.volume.manager.QUOTAS'):
            error = self.quietly(self.service.delete_group, self.admin, group)
        found = objects.Volume.get_by_id(self.admin.elevated(read_deleted='yes'), self.volume.id)
        return error, found.status

    def a_group(self):
        attachment = self.reserve()
        self.attach(attachment)
        volume = objects.Volume.get_by_id(self.admin, self.volume.id)
        volume.attach_status = 'attached'
        volume.save()
        error, _status = self.delete_group()
        self.assertIsInstance(error, exception.VolumeAttached)
        self.assertEqual(1, len(self.array.exports()))
        self.detach(attachment)
        self.forgotten()
        error, status = self.delete_group()
        self.assertEqual((None, 'deleted', {}), (error, status, self.array.targets))

    def forgotten(self):
        volume = objects.Volume.get_by_id(self.admin, self.volume.id)
        volume.update({'attach_status': 'detached', 'status': 'available'})
        volume.save()

    def a_transfer(self):
        attachment = self.reserve()
        self.attach(attachment)
        self.detach(attachment)
        self.service.accept_transfer(self.admin, self.volume.id, 'bob', 'project')
        self.attach(self.reserve(OTHER), world.NODE11)
        self.assertEqual({(self.volume.id, world.NODE11['initiator'])}, self.array.exports())

    def frozen(self):
        """A frozen backend detaches, and attaches what is there."""
        attachment = self.reserve()
        self.attach(attachment)
        service = mock.Mock()
        with mock.patch.object(self.service, '_get_service', return_value=service), \
                mock.patch('cinder.objects.service.Service.get_by_args', return_value=service):
            self.service.freeze_host(self.admin)
            self.detach(attachment)
            self.assertEqual(set(), self.array.exports())
            second = self.reserve(OTHER)
            self.attach(second, world.NODE11)
            self.service.thaw_host(self.admin)
        self.detach(second)
        self.assertEqual({}, self.array.targets)

    def moved_by_the_driver(self):
        """Of a volume that node13 has a stale export of."""
        self.stale()
        volume = objects.Volume.get_by_id(self.admin, self.volume.id)
        with self.other_service(), mock.patch.object(
                world.ArrayDriver, 'migrate_volume', return_value=(True, None)), \
                mock.patch.object(self.service, '_can_use_driver_migration', return_value=True):
            self.service.migrate_volume(self.admin, volume, {'host': 'node@other'})
        self.assertEqual('node@other', objects.Volume.get_by_id(
            self.admin, self.volume.id).host)
        self.recover()
        self.assertEqual({(self.volume.id, world.NODE13['initiator'])}, self.array.exports())

    def fails_in_the_driver(self):
        """And Cinder's clean-up fails too."""
        away = exception.VolumeDriverException('away')
        with mock.patch.object(world.ArrayDriver, 'initialize_connection', side_effect=away), \
                mock.patch.object(world.ArrayDriver, 'remove_export', side_effect=away):
            self.assertRaises(exception.CinderException, self.attach, self.reserve())

    def fails_on_the_host(self):
        """os-initialize_connection, and the host cannot connect: Cinder never removes the target
        after that, since there was no attachment that could be detached."""
        volume = objects.Volume.get_by_id(self.admin, self.volume.id)
        with mock.patch.object(world.ArrayDriver, 'remove_export') as removed:
            self.service.initialize_connection(self.admin, volume, dict(world.NODE13))
            self.service.terminate_connection(self.admin, volume.id, dict(world.NODE13))
        removed.assert_not_called()
        self.assertEqual({self.volume.id: set()}, self.array.targets)

    def not_idempotent(self, fails, again):
        """A driver whose create_export fails if there is a target. An attach fails after that;
        true if the volume can be attached later."""
        def once(driver, context, volume, connector):
            if volume.id in driver.array.targets:
                raise exception.VolumeDriverException('it is exported already')
            return CREATE(driver, context, volume, connector)
        self.array.targets.clear()
        self.volume = self.make_volume()
        with mock.patch.object(world.ArrayDriver, 'create_export', once):
            fails()
            again()
            return self.quietly(self.attach, self.reserve(OTHER), world.NODE11) is None


class TestOthers(Others):
    """With the guard."""

    def test_a_group(self):
        self.a_group()

    def test_a_transfer(self):
        self.a_transfer()

    def test_frozen(self):
        self.frozen()

    def test_moved_by_the_driver(self):
        self.moved_by_the_driver()
        self.assertIn('in another backend', self.row().error)

    def test_not_idempotent(self):
        """Once recovery has removed the target."""
        self.inspect()
        for fails in (self.fails_in_the_driver, self.fails_on_the_host):
            self.assertTrue(self.not_idempotent(fails, self.recover), fails)

    def test_not_idempotent_and_the_array_cannot_tell(self):
        """As with plain Cinder, until an operator says so."""
        def revert():
            self.recover()
            endpoint.Endpoint(self.guard).export_revert(
                None, volume=self.volume.id, host='node13')
        for fails in (self.fails_in_the_driver, self.fails_on_the_host):
            self.assertFalse(self.not_idempotent(fails, self.recover), fails)
            self.assertTrue(self.not_idempotent(fails, revert), fails)


class TestOthersPlain(Others):
    """The control: the same, and the volume of such a driver cannot be attached any more."""

    guarded = False

    def test_plain_cinder(self):
        self.a_transfer()
        self.volume = self.make_volume()
        self.array.targets.clear()
        self.frozen()
        self.volume = self.make_volume()
        self.a_group()
        for fails in (self.fails_in_the_driver, self.fails_on_the_host):
            self.assertFalse(self.not_idempotent(fails, self.recover), fails)
        self.array.targets.clear()
        self.volume = self.make_volume()
        self.moved_by_the_driver()
