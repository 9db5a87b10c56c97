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
"""Attachments that are not deleted from under a device that was kept."""

from __future__ import annotations

import types
from unittest import mock

import fixtures
import testtools
from nova import exception
from nova import utils as nova_utils

from migsafe import exceptions
from migsafe.brick.guard import kept_devices
from migsafe.nova.deferred import exports
from migsafe.nova.seams import deferred
from migsafe.transaction.clients import Attachment, InstanceRow, VolumeRow

VM, VOLUME, ATTACHMENT = 'vm-1', 'vol-1', 'att-1'
INFO = {'driver_volume_type': 'iscsi', 'data': {}}


class KeptCase(testtools.TestCase):
    """An instance that is gone, with an attachment that is left."""

    def setUp(self):
        super().setUp()
        kept_devices.clear()
        self.addCleanup(kept_devices.clear)
        self.log = self.useFixture(fixtures.FakeLogger())
        patch = mock.patch.dict(exports._OF_HOST, clear=True)
        patch.start()
        self.addCleanup(patch.stop)
        self.cloud = mock.Mock()
        self.cloud.records.volumes.return_value = []
        self.cloud.records.instance.return_value = None
        self.cloud.volumes.attachments.return_value = [
            Attachment(ATTACHMENT, VOLUME, 'cmp1')]
        self.cloud.volumes.connection_info.side_effect = lambda _: dict(INFO)
        self.cloud.devices.paths.return_value = []
        self.journal = mock.Mock()
        self.journal.findings.return_value = []
        self.api = mock.Mock()
        self.api.get.return_value = {'migration_status': None}
        self.api.attachment_get.return_value = {
            'connection_info': {'volume_id': VOLUME, 'instance': VM}}
        self.kept = exports.Kept('cmp1', self.api, self.journal, self.cloud)

    def delete(self):
        """Nova deletes the attachment; whether that gets through."""
        through = mock.Mock()

        def wrapped(ctx, attachment_id):
            """The method that is wrapped."""
        deferred.attachment_delete(through)(wrapped, self.api, ('ctx', ATTACHMENT), {})
        return through.called

    def found(self):
        """What was written into the journal last."""
        kind, found = self.journal.set_findings.call_args.args
        self.assertEqual('R4', kind)
        return found


class TestDelete(KeptCase):

    def test_nothing_was_refused(self):
        self.assertTrue(self.delete())
        self.assertFalse(self.api.attachment_get.called)

    def test_refused(self):
        kept_devices.remember('cmp1', VOLUME, 'vg0-data has it.')
        self.assertFalse(self.delete())
        self.assertIn('vg0-data has it.', self.found()[VM, VOLUME])
        self.assertIn('vg0-data', self.log.output)

    def test_before_it_is_complete(self):
        """Then Cinder tells no host, and no connection_info."""
        kept_devices.remember('cmp1', VOLUME, 'why')
        self.cloud.volumes.attachments.return_value = [Attachment(ATTACHMENT, VOLUME, None)]
        self.api.attachment_get.return_value = {'volume_id': VOLUME, 'instance': VM,
                                                'connection_info': {}}
        self.assertFalse(self.delete())
        self.assertIn((VM, VOLUME), self.found())

    def test_of_another_host_or_volume(self):
        kept_devices.remember('cmp2', VOLUME, 'why')
        self.assertTrue(self.delete())
        kept_devices.clear()
        kept_devices.remember('cmp1', 'vol-2', 'why')
        self.assertTrue(self.delete())
        kept_devices.remember('cmp1', VOLUME, 'why')
        self.cloud.volumes.attachments.return_value = [Attachment(ATTACHMENT, VOLUME, 'cmp2')]
        self.assertTrue(self.delete())

    def test_gone_already(self):
        kept_devices.remember('cmp1', VOLUME, 'why')
        self.api.attachment_get.side_effect = exception.VolumeAttachmentNotFound(
            attachment_id=ATTACHMENT)
        self.assertTrue(self.delete())

    def test_after_its_device(self):
        kept_devices.remember('cmp1', VOLUME, 'why')
        with exports.decided():
            self.assertTrue(self.delete())

    def test_the_journal_cannot_be_written(self):
        kept_devices.remember('cmp1', VOLUME, 'why')
        self.journal.set_findings.side_effect = OSError('disk full')
        self.assertFalse(self.delete())
        self.assertIn('disk full', self.log.output)
        self.journal.set_findings.side_effect = None
        self.kept.settle()
        self.assertEqual({}, self.found())


class TestLegacy(KeptCase):
    """Volumes without an attachment."""

    def setUp(self):
        super().setUp()
        self.api.get.return_value = {'status': 'in-use', 'migration_status': None}

    def terminate(self, host='cmp1'):
        """Whether that gets through."""
        through = mock.Mock()

        def wrapped(ctx, volume_id, *args, **kwargs):
            """The method that is wrapped."""
        deferred.terminate_connection(through)(
            wrapped, self.api, ('ctx', VOLUME, {'host': host}), {})
        return through.called

    def detach(self, volume=VOLUME, **kwargs):
        """Whether that gets through."""
        through = mock.Mock()

        def wrapped(ctx, volume_id, *args, **kwargs):
            """The method that is wrapped."""
            through()
        deferred.detach(wrapped, self.api, ('ctx', volume), kwargs or {'instance_uuid': VM})
        return through.called

    def found(self):
        kind, found = self.journal.set_findings.call_args.args
        self.assertEqual('R4-legacy', kind)
        return found

    def test_terminate(self):
        kept_devices.remember('cmp1', VOLUME, 'why')
        self.assertFalse(self.terminate())
        self.assertTrue(self.terminate('cmp2'))
        self.assertIn('not terminated', self.log.output)

    def test_detach(self):
        self.assertTrue(self.detach())
        kept_devices.remember('cmp1', VOLUME, 'vg0-data has it.')
        self.assertFalse(self.terminate())
        self.assertEqual({('', VOLUME)}, set(self.found()))
        self.assertFalse(self.detach())
        self.assertEqual({(VM, VOLUME)}, set(self.found()))
        for word in ('vg0-data', 'cmp1', 'cinder reset-state', VOLUME):
            self.assertIn(word, self.found()[VM, VOLUME])
        self.assertTrue(self.kept.keeps(VOLUME))

    def test_detach_of_others(self):
        kept_devices.remember('cmp1', VOLUME, 'why')
        self.assertTrue(self.detach('vol-2'))
        with exports.decided():
            self.assertTrue(self.detach())
        kept_devices.clear()
        kept_devices.remember('cmp2', VOLUME, 'why')
        self.assertTrue(self.detach())

    def test_detach_without_the_instance(self):
        kept_devices.remember('cmp1', VOLUME, 'why')
        self.assertFalse(self.detach(attachment_id=None))
        self.assertEqual({('', VOLUME)}, set(self.found()))

    def keep(self):
        """It is refused."""
        kept_devices.remember('cmp1', VOLUME, 'why')
        self.assertFalse(self.detach())

    def test_it_stays(self):
        self.keep()
        for status in ('in-use', 'detaching', 'reserved'):
            self.api.get.return_value = {'status': status}
            self.kept.settle()
        self.api.get.side_effect = exception.CinderConnectionFailed(reason='no route')
        self.kept.settle()
        self.assertIn((VM, VOLUME), self.found())
        self.assertIn('no route', self.log.output)
        self.assertIn('cmp1', kept_devices.hosts(VOLUME))
        self.assertFalse(self.cloud.volumes.delete_attachment.called)

    def test_cinder_is_told(self):
        self.keep()
        self.api.get.return_value = {'status': 'available'}
        self.kept.settle()
        self.assertEqual({}, self.found())
        self.assertFalse(kept_devices.anything())
        self.assertTrue(self.detach())

    def test_the_volume_is_gone(self):
        self.keep()
        self.api.get.side_effect = exception.VolumeNotFound(volume_id=VOLUME)
        self.kept.settle()
        self.assertEqual({}, self.found())

    def test_it_was_disconnected_after_all(self):
        self.keep()
        kept_devices.forget('cmp1', VOLUME)
        self.kept.settle()
        self.assertEqual({}, self.found())

    def test_after_a_restart(self):
        kept_devices.clear()
        self.journal.findings.return_value = [types.SimpleNamespace(
            kind='R4-legacy', instance_uuid=VM, key=VOLUME, text='as before')]
        self.kept = exports.Kept('cmp1', self.api, self.journal, self.cloud)
        self.assertEqual({'cmp1': 'as before'}, kept_devices.hosts(VOLUME))
        self.kept.settle()
        self.assertFalse(self.detach())

    def test_a_migration_of_cinder_is_not_ended(self):
        self.keep()
        through = mock.Mock()

        def wrapped(ctx, *args, **kwargs):
            """The method that is wrapped."""
            through()
        with mock.patch.object(deferred.effects, 'arguments', return_value={
                'old_volume_id': VOLUME, 'new_volume_id': 'vol-2', 'error': False}):
            answer = deferred.migrate_volume_completion(wrapped, self.api, ('ctx',), {})
        self.assertEqual(({'save_volume_id': 'vol-2'}, False), (answer, through.called))


class TestSettle(KeptCase):

    def setUp(self):
        super().setUp()
        kept_devices.remember('cmp1', VOLUME, 'why')
        self.delete()

    def assertStays(self, word):
        self.kept.settle()
        self.assertIn(word, self.found()[VM, VOLUME])
        self.assertFalse(self.cloud.volumes.delete_attachment.called)
        self.assertTrue(kept_devices.anything())

    def assertOver(self):
        self.kept.settle()
        self.assertEqual({}, self.found())
        self.assertFalse(kept_devices.anything())

    def test_the_device_goes(self):
        self.assertOver()
        self.cloud.devices.disconnect.assert_called_once_with(VM, {**INFO, 'serial': VOLUME})
        self.cloud.volumes.delete_attachment.assert_called_once_with(ATTACHMENT)

    def incomplete(self, *ids):
        """Cinder tells the host of an attachment once it is complete."""
        self.cloud.volumes.attachments.return_value = [
            Attachment(one, VOLUME, None) for one in ids]

    def test_before_it_is_complete(self):
        self.incomplete(ATTACHMENT)
        self.assertOver()
        self.cloud.volumes.delete_attachment.assert_called_once_with(ATTACHMENT)

    def test_another_one_is_that_of_a_host_it_was_moved_to(self):
        self.incomplete('att-2', ATTACHMENT)
        self.assertOver()
        self.cloud.volumes.delete_attachment.assert_called_once_with(ATTACHMENT)
        self.assertEqual(1, self.cloud.devices.disconnect.call_count)

    def test_only_that_of_another_host_is_left(self):
        self.incomplete('att-2')
        self.assertOver()
        self.assertFalse(self.cloud.volumes.delete_attachment.called)

    def restart(self, text):
        self.journal.findings.return_value = [types.SimpleNamespace(
            kind='R4', instance_uuid=VM, key=VOLUME, text=text)]
        self.kept = exports.Kept('cmp1', self.api, self.journal, self.cloud)

    def test_whose_it_is_is_known_after_a_restart(self):
        self.cloud.devices.paths.return_value = ['/dev/sdb']
        self.incomplete('att-2', ATTACHMENT)
        self.kept.settle()
        for _again in range(2):
            text = self.found()[VM, VOLUME]
            self.assertIn('/dev/sdb', text)
            self.assertIn(ATTACHMENT, text)
            self.restart(text)
            self.assertStays('/dev/sdb')
        self.cloud.devices.paths.return_value = []
        self.assertOver()
        self.cloud.volumes.delete_attachment.assert_called_once_with(ATTACHMENT)

    def test_whose_it_is_is_not_known(self):
        """The finding is of an older release, or the words are not its own."""
        self.restart(f'{exports.ASKED % "att-2"} {exports.BY_ITSELF}')
        self.incomplete('att-2')
        self.assertStays('volume attachment delete att-2')
        self.assertFalse(self.cloud.devices.disconnect.called)
        self.cloud.volumes.attachments.return_value = []
        self.assertOver()

    def test_refused_again(self):
        self.cloud.devices.disconnect.side_effect = exceptions.MigsafeError('held by md0')
        self.assertStays('held by md0')

    def test_still_there(self):
        self.cloud.devices.paths.return_value = ['/dev/sdb']
        self.assertStays('/dev/sdb')

    def test_cinder_does_not_answer(self):
        self.cloud.volumes.attachments.side_effect = OSError('no route')
        self.assertStays('no route')

    def test_nova_is_at_the_instance(self):
        nova_utils.synchronized(VM)(lambda: self.assertStays('why'))()
        self.assertFalse(self.cloud.devices.disconnect.called)
        self.assertOver()

    def test_what_nova_names_stays(self):
        """The volume is attached to the same instance again."""
        self.cloud.records.volumes.return_value = [VolumeRow(1, VOLUME, ATTACHMENT, INFO)]
        self.api.attachment_get.return_value = {'volume_id': VOLUME}
        self.assertOver()
        self.assertFalse(self.cloud.devices.disconnect.called)
        self.assertFalse(self.cloud.volumes.delete_attachment.called)

    def test_attached_to_the_same_instance_again(self):
        """Its guest may be stopped or suspended: nobody has the device open then."""
        self.cloud.records.volumes.return_value = [VolumeRow(1, VOLUME, 'att-2', INFO)]
        self.cloud.volumes.attachments.return_value = [
            Attachment(ATTACHMENT, VOLUME, 'cmp1'), Attachment('att-2', VOLUME, 'cmp1')]
        self.assertStays('again')
        self.assertFalse(self.cloud.devices.disconnect.called)

    def test_shelved_or_gone_to_another_host(self):
        """What is reserved for it has no host yet, and cannot be used before this one is gone:
        Cinder lets no volume be attached twice (attachment_update)."""
        self.cloud.records.volumes.return_value = [VolumeRow(1, VOLUME, 'att-2', INFO)]
        self.api.attachment_get.return_value = {
            'volume_id': VOLUME, 'instance': VM, 'connection_info': {}}
        for host in ('cmp2', None):
            self.cloud.volumes.attachments.return_value = [
                Attachment(ATTACHMENT, VOLUME, 'cmp1'), Attachment('att-2', VOLUME, host)]
            kept_devices.remember('cmp1', VOLUME, 'why')
            self.delete()
            self.assertOver()
            self.cloud.volumes.delete_attachment.assert_called_with(ATTACHMENT)
        self.assertEqual(2, self.cloud.volumes.delete_attachment.call_count)

    def test_the_instance_is_gone_in_a_migration(self):
        self.api.get.return_value = {'migration_status': 'migrating'}
        self.kept.settle()
        self.assertIn('--reset-migration-status', self.found()[VM, VOLUME])
        self.assertFalse(self.api.migrate_volume_completion.called)

    def in_a_migration(self, task_state=None, host='cmp1'):
        """Cinder migrates the volume, and the guest is on its copy already."""
        self.cloud.records.instance.return_value = InstanceRow(
            VM, host, host, task_state, 'active')
        self.cloud.records.volumes.return_value = [VolumeRow(1, 'vol-2', 'att-2', INFO)]
        self.api.get.side_effect = lambda _, volume: {
            'migration_status': 'migrating' if volume == VOLUME else f'target:{VOLUME}'}
        self.api.attachment_get.return_value = {'volume_id': 'vol-2'}
        self.api.migrate_volume_completion.side_effect = self.exchange

    def exchange(self, *_args, **_kwargs):
        """From now on the guest's volume has the old id."""
        self.api.get.side_effect = lambda _, volume: {'migration_status': 'success'}
        self.api.attachment_get.return_value = {'volume_id': VOLUME}

    def test_the_end_of_a_migration(self):
        self.in_a_migration()
        self.assertOver()
        row, = self.cloud.records.volumes.return_value
        self.api.migrate_volume_completion.assert_called_once_with(
            mock.ANY, VOLUME, 'vol-2', error=False)
        self.cloud.records.rename_volume.assert_called_once_with(VM, row, VOLUME)

    def test_nova_has_a_task_for_the_instance(self):
        """Such as its live migration, in which its rows name another host."""
        self.in_a_migration(task_state='migrating')
        self.kept.settle()
        self.assertIn('why', self.found()[VM, VOLUME])
        self.assertFalse(self.cloud.devices.disconnect.called)
        self.assertFalse(self.api.migrate_volume_completion.called)
        self.in_a_migration()
        self.assertOver()

    def test_a_task_that_begins_meanwhile(self):
        self.in_a_migration()
        self.cloud.devices.disconnect.side_effect = lambda *_: self.in_a_migration('migrating')
        self.kept.settle()
        self.assertIn('migrating', self.found()[VM, VOLUME])
        self.assertFalse(self.api.migrate_volume_completion.called)

    def test_a_task_that_begins_in_the_exchange(self):
        self.in_a_migration()

        def complete(*_args, **_kwargs):
            self.in_a_migration('migrating')
            self.exchange()
        self.api.migrate_volume_completion.side_effect = complete
        self.kept.settle()
        self.assertIn('migrating', self.found()[VM, VOLUME])
        self.assertFalse(self.cloud.records.rename_volume.called)

    def test_the_instance_is_on_another_host(self):
        self.in_a_migration(host='cmp2')
        self.kept.settle()
        for word in ('cmp2', 'cmp1', VOLUME, 'openstack server migrate --host cmp1'):
            self.assertIn(word, self.found()[VM, VOLUME])
        self.assertFalse(self.api.migrate_volume_completion.called)
        # its device here is none of the instance's any more
        self.cloud.volumes.delete_attachment.assert_called_once_with(ATTACHMENT)
        self.in_a_migration()
        self.assertOver()

    def test_renamed_wherever_the_instance_is(self):
        """Cinder has exchanged the ids: the old one leads nowhere, there too."""
        self.in_a_migration(host='cmp2')
        self.exchange()
        self.assertOver()
        self.assertTrue(self.cloud.records.rename_volume.called)

    def test_the_row_is_another_one_meanwhile(self):
        self.in_a_migration()
        self.cloud.records.rename_volume.return_value = False
        self.kept.settle()
        self.assertIn('vol-2', self.found()[VM, VOLUME])

    def test_after_a_restart(self):
        kept_devices.clear()
        self.journal.findings.return_value = [
            types.SimpleNamespace(kind='R9', instance_uuid=VM, key='vol-9', text='x'),
            types.SimpleNamespace(kind='R4', instance_uuid=VM, key=VOLUME, text='as before')]
        self.kept = exports.Kept('cmp1', self.api, self.journal, self.cloud)
        self.assertEqual({'cmp1': 'as before'}, kept_devices.hosts(VOLUME))
        self.assertEqual({}, kept_devices.hosts('vol-9'))
        self.assertTrue(self.kept.keeps(VOLUME))
        self.assertOver()


class TestDeletion(KeptCase):
    """Nova wants a volume deleted with its server."""

    def setUp(self):
        super().setUp()
        self.shown = {'status': 'available', 'attach_status': 'detached', 'multiattach': False,
                      'migration_status': None}
        self.api.get.side_effect = lambda *_: dict(self.shown)
        self.api.delete.side_effect = lambda *_: self.seen.append(
            self.cloud.volumes.delete_attachment.called)
        self.seen = []

    def wish(self, volume=VOLUME):
        """Nova asks; whether that gets through."""
        through = mock.Mock()

        def wrapped(ctx, volume_id, *args, **kwargs):
            """The method that is wrapped."""
            through()
        deferred.delete(wrapped, self.api, ('ctx', volume), {})
        return through.called

    def keep(self):
        """As _shutdown_instance and _cleanup_volumes do."""
        kept_devices.remember('cmp1', VOLUME, 'vg0-data has it.')
        self.assertFalse(self.delete())
        self.assertFalse(self.wish())

    def noted(self):
        """What is noted of it now."""
        return [call.args[1] for call in self.journal.set_findings.call_args_list
                if call.args[0] == 'R4-delete'][-1]

    def assertLeft(self, *words):
        """It is given up, and stays."""
        self.kept.settle()
        self.assertEqual({}, self.noted())
        self.assertFalse(self.seen)
        for word in (VOLUME, VM, 'Delete it yourself', *words):
            self.assertIn(word, self.log.output)
        self.assertNotIn('is deleted, as Nova', self.log.output)

    def test_nothing_is_kept(self):
        self.assertTrue(self.wish())
        kept_devices.remember('cmp1', VOLUME, 'why')
        self.assertTrue(self.wish())

    def test_of_another_volume_or_host(self):
        kept_devices.remember('cmp1', VOLUME, 'why')
        self.assertFalse(self.delete())
        self.assertTrue(self.wish('vol-2'))
        with exports.decided():
            self.assertTrue(self.wish())

    def test_two_servers_have_it(self):
        kept_devices.remember('cmp1', VOLUME, 'why')
        self.assertFalse(self.delete())
        self.kept.keep('vm-2', VOLUME, 'why', 'att-9')
        self.assertTrue(self.wish())

    def test_multiattach(self):
        self.shown['multiattach'] = True
        kept_devices.remember('cmp1', VOLUME, 'why')
        self.assertFalse(self.delete())
        self.assertTrue(self.wish())

    def test_cinder_cannot_say(self):
        kept_devices.remember('cmp1', VOLUME, 'why')
        self.assertFalse(self.delete())
        self.api.get.side_effect = exception.CinderConnectionFailed(reason='no route')
        self.assertTrue(self.wish())

    def test_after_the_attachment(self):
        self.keep()
        for word in (VOLUME, VM, 'cmp1', 'snapshot create'):
            self.assertIn(word, self.noted()[VM, VOLUME])
        self.cloud.devices.disconnect.side_effect = exceptions.MigsafeError('held by md0')
        self.kept.settle()
        self.assertEqual([], self.seen)
        self.assertIn((VM, VOLUME), self.noted())
        self.cloud.devices.disconnect.side_effect = None
        self.kept.settle()
        self.assertEqual([True], self.seen)
        self.api.delete.assert_called_once_with(mock.ANY, VOLUME)
        self.assertEqual({}, self.noted())
        self.kept.settle()
        self.assertEqual([True], self.seen)

    def test_somebody_else_has_deleted_the_attachment(self):
        self.keep()
        self.cloud.volumes.attachments.return_value = []
        self.assertLeft('not deleted by nova-compute')

    def test_attached_again(self):
        for status, attach_status in (('in-use', 'attached'), ('reserved', 'detached'),
                                      ('available', 'attached'), ('deleting', 'detached')):
            with self.subTest(status=status, attach_status=attach_status):
                self.keep()
                self.shown.update(status=status, attach_status=attach_status)
                self.assertLeft(status)

    def test_cinder_does_not_do_it(self):
        """Nova would not ask again either; a later answer might be to another question."""
        for error in (exception.InvalidInput(reason='has snapshots'),
                      exception.CinderConnectionFailed(reason='no route')):
            with self.subTest(type(error).__name__):
                self.keep()
                self.api.delete.side_effect = error
                self.assertLeft(error.kwargs['reason'])

    def test_it_is_gone(self):
        self.keep()
        self.api.delete.side_effect = exception.VolumeNotFound(volume_id=VOLUME)
        self.kept.settle()
        self.assertEqual({}, self.noted())
        self.assertNotIn('yourself', self.log.output)

    def restart(self, *kinds):
        """With these in the journal."""
        kept_devices.clear()
        self.journal.findings.return_value = [types.SimpleNamespace(
            kind=kind, instance_uuid=VM, key=VOLUME, text='as before') for kind in kinds]
        self.kept = exports.Kept('cmp1', self.api, self.journal, self.cloud)

    def test_after_a_restart(self):
        self.restart('R4', 'R4-delete')
        self.kept.settle()
        self.assertEqual([True], self.seen)

    def test_a_wish_without_what_is_kept(self):
        self.restart('R4-delete')
        self.assertLeft()
        self.assertFalse(self.cloud.volumes.delete_attachment.called)
