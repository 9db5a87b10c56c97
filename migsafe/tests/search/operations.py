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
"""What else Nova does with an instance on a host: reboot, detach, resize, evacuation, deletion."""

import contextlib
import json
import uuid

from nova import objects

from migsafe.tests.search import manager


class Operations(manager.ComputeManager):
    """The rest of the model's ComputeManager."""

    @manager.locked
    def reboot_instance(self, context, instance):
        with self._reverting(instance):
            self._reboot_instance(context, instance, None, 'HARD')

    @contextlib.contextmanager
    def _reverting(self, instance, **more):
        """Nova's decorator reverts_task_state, and what a method adds to it."""
        try:
            yield
        except Exception:
            instance.refresh()
            for name, value in {'task_state': None, **more}.items():
                setattr(instance, name, value)
            instance.save()
            raise

    def _reboot_instance(self, context, instance, block_device_info, reboot_type):
        bdms = self._bdms(context, instance)
        self._delete_dangling_bdms(context, instance, bdms)
        infos = self._infos(bdms)
        instance.task_state = 'reboot_pending_hard'
        instance.save(expected_task_state=['rebooting_hard'])
        self.driver.destroy(context, instance, None)
        for info in infos:
            self.driver._disconnect_volume(context, info, instance)
        self.driver.spawn(context, instance, infos)
        self.world.rebooted(instance.uuid, self.host)
        instance.task_state, instance.vm_state = None, 'active'
        instance.save()

    def _delete_dangling_bdms(self, context, instance, bdms):
        known = {bdm.attachment_id for bdm in bdms}
        for found in self.volume_api.attachment_get_all(context, instance.uuid):
            if found['id'] not in known:
                self.volume_api.attachment_delete(context, found['id'])

    @manager.locked
    def detach_volume(self, context, instance, volume_id):
        bdm = objects.BlockDeviceMapping.get_by_volume_and_instance(
            context, volume_id, instance.uuid)
        self._detach_volume(context, bdm, instance)

    def _detach_volume(self, context, bdm, instance, destroy_bdm=True, attachment_id=None):
        info = json.loads(bdm.connection_info)
        self.world.unplug(self.host, instance.uuid, info)
        self.driver._disconnect_volume(context, info, instance)
        self.volume_api.attachment_delete(context, bdm.attachment_id)
        bdm.destroy()

    @manager.locked
    def attach_volume(self, context, instance, bdm):
        ref = self.volume_api.attachment_update(
            context, bdm.attachment_id, self.driver.get_volume_connector(instance))
        info = {**ref['connection_info'], 'serial': bdm.volume_id}
        bdm.connection_info = json.dumps(info)
        bdm.save()
        self.driver._connect_volume(context, info, instance)
        self.world.plug(self.host, instance.uuid, info)
        self.volume_api.attachment_complete(context, bdm.attachment_id)

    @manager.locked
    def swap_volume(self, context, instance, volume_id, new_volume_id):
        bdm = objects.BlockDeviceMapping.get_by_volume_and_instance(
            context, volume_id, instance.uuid)
        connector = self.driver.get_volume_connector(instance)
        self._init_volume_connection(context, None, volume_id, connector, bdm, None, None)
        ref = self.volume_api.attachment_create(
            context, new_volume_id, instance.uuid, connector=connector)
        old = json.loads(bdm.connection_info)
        new = {**ref['connection_info'], 'serial': new_volume_id}
        try:
            self.driver.swap_volume(context, old, new, instance, '/dev/vda', 0)
            self.volume_api.attachment_complete(context, ref['id'])
        except Exception:
            # NOTE: Nova does so also when the guest runs on the new one by then.
            self.world.watch.cut_short(self.world, 'swap_volume')
            self.volume_api.attachment_delete(context, ref['id'])
            raise
        self.volume_api.attachment_delete(context, bdm.attachment_id)
        self.world.renamed(bdm.id, new_volume_id)
        bdm.connection_info, bdm.attachment_id = json.dumps(new), ref['id']
        bdm.save()

    def _init_volume_connection(self, context, new_volume, old_volume_id, connector, bdm,
                                new_attachment_id, mountpoint):
        self.world.point('_init_volume_connection')

    @manager.locked
    def terminate_instance(self, context, instance):
        with self._reverting(instance, vm_state='error'):
            self._delete_instance(context, instance, self._bdms(context, instance))

    def _delete_instance(self, context, instance, bdms):
        self._shutdown_instance(context, instance, bdms)
        self.world.directories.pop((self.host, instance.uuid), None)
        self.world.deleted(instance.uuid)

    def _shutdown_instance(self, context, instance, bdms):
        self.driver.destroy(context, instance, None, {'block_device_mapping': [
            {'connection_info': info} for info in self._infos(bdms)]})
        for bdm in bdms:
            self.volume_api.attachment_delete(context, bdm.attachment_id)

    # -- cold migration: prep_resize is at the destination ---------------

    def prep_resize(self, context, instance, migration):
        try:
            with self._reverting(instance):
                self._prep_resize(context, None, instance, None, None, {}, None, True,
                                  migration, None)
        except Exception:
            self._set_migration_status(migration, 'error')
            raise

    def _prep_resize(self, context, image, instance, flavor, request_spec, filter_properties,
                     node, clean_shutdown, migration, request_group_resource_providers_mapping):
        self.world.point('prep_resize')
        self.world.bus.cast(self.host, instance.host, 'resize_instance', manager.sent(
            {'context': None, 'instance': instance, 'migration': migration}))

    def resize_instance(self, context, instance, migration):
        with self._reverting(instance):
            self._resize_instance(context, instance, None, migration, None, True, None, None)

    def _resize_instance(self, context, instance, image, migration, instance_type,
                         clean_shutdown, request_spec, old_flavor):
        instance.task_state = 'resize_migrating'
        instance.save()
        bdms = self._bdms(context, instance)
        self.driver.destroy(context, instance, None)
        for info in self._infos(bdms):
            self.driver._disconnect_volume(context, info, instance)
        for bdm in bdms:
            new = self.volume_api.attachment_create(context, bdm.volume_id, instance.uuid)
            self.volume_api.attachment_delete(context, bdm.attachment_id)
            bdm.attachment_id = new['id']
            bdm.save()
        self.world.directories.pop((self.host, instance.uuid), None)
        instance.task_state = 'resize_finish'
        instance.host = instance.node = migration.dest_compute
        instance.save()
        self.world.bus.cast(self.host, migration.dest_compute, 'finish_resize', manager.sent(
            {'context': None, 'instance': instance, 'migration': migration}))

    def finish_resize(self, context, instance, migration):
        self._start_here(context, instance)
        self.network_api.migrate_instance_finish(context, instance, migration)
        self._set_migration_status(migration, 'confirmed')
        self.world.placement.only(instance.uuid, self.host, migration.uuid)

    def _start_here(self, context, instance):
        bdms = self._bdms(context, instance)
        for bdm in bdms:
            ref = self.volume_api.attachment_update(
                context, bdm.attachment_id, self.driver.get_volume_connector(instance))
            bdm.connection_info = json.dumps({**ref['connection_info'],
                                              'serial': bdm.volume_id})
            bdm.save()
        self.world.directories[self.host, instance.uuid] = True
        self.driver.spawn(context, instance, self._infos(bdms))
        for bdm in bdms:
            self.volume_api.attachment_complete(context, bdm.attachment_id)
        instance.task_state, instance.vm_state = None, 'active'
        instance.save()

    # -- evacuation ------------------------------------------------------

    def evacuate_instance(self, context, instance, migration):
        try:
            with self._reverting(instance):
                self._do_rebuild_instance_with_claim(
                    context, instance, None, None, None, None, None,
                    self._bdms(context, instance), True, None, None, migration, None)
        except Exception:
            self._set_migration_status(migration, 'failed')
            raise

    def _do_rebuild_instance_with_claim(self, context, instance, orig_image_ref, image_meta,
                                        injected_files, new_pass, orig_sys_metadata, bdms,
                                        evacuate, on_shared_storage, preserve_ephemeral,
                                        migration, request_spec):
        # Whatever was under way to or from the host that is down, Nova leaves as it is.
        self.world.instance['launched_by'] = 'evacuation'
        instance.host = instance.node = self.host
        instance.save()
        for bdm in bdms:
            new = self.volume_api.attachment_create(context, bdm.volume_id, instance.uuid)
            self.volume_api.attachment_delete(context, bdm.attachment_id)
            bdm.attachment_id = new['id']
            bdm.save()
        self.network_api.migrate_instance_finish(context, instance, migration)
        self._start_here(context, instance)
        self._set_migration_status(migration, 'done')
        self.world.placement.only(instance.uuid, self.host, migration.uuid)

    def destroy_evacuated(self):
        """What a host does at its start with guests that were evacuated from it."""
        for row in tuple(self.world.db.migrations.values()):
            if row['migration_type'] == 'evacuation' and row['source_compute'] == self.host \
                    and row['status'] == 'done':
                self.world.guests.end(self.host, row['instance_uuid'])
                self.world.directories.pop((self.host, row['instance_uuid']), None)
                row['status'] = 'completed'


def new_uuid(number):
    """A uuid that is the same each time."""
    return str(uuid.UUID(int=(0x6f6e2b1e << 96) + number))
