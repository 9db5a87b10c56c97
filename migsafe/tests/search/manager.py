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
"""A small model of Nova's ComputeManager: the live migration of Nova 34, step by step.

Each method has the name, the leading parameters and the order of effects of the one in
nova/compute/manager.py, since migsafe's own wrappers are put around them.
"""

import copy
import json
import types

from nova import exception, objects, utils

from migsafe.tests.search import loop, neutron

MIGRATING = 'migrating'


class ComputeManager:
    """The live migration, and what its neighbours share with it.

    :param world: everything outside
    :param host: this host's name
    """

    def __init__(self, world, host, driver, volume_api):
        self.world, self.host, self.driver = world, host, driver
        self.volume_api, self.network_api = volume_api, neutron.Api(world)
        self.reportclient = world.placement
        self._waiting_live_migrations, self.additional_endpoints = {}, []
        self.compute_rpcapi = Rpc(world, host)

    def _get_compute_info(self, context, host):
        return types.SimpleNamespace(uuid=f'rp-{host}', hypervisor_hostname=host,
                                     id=ord(host[0]))

    def _is_instance_storage_shared(self, context, instance, host=None):
        return False

    @staticmethod
    def _set_migration_status(migration, status):
        migration.status = status
        migration.save()

    def _set_instance_obj_error_state(self, instance, clean_task_state=False):
        instance.vm_state = 'error'
        if clean_task_state:
            instance.task_state = None
        instance.save()

    def _infos(self, bdms, refresh=False):
        """_get_instance_block_device_info: what rows say, or Cinder now."""
        for bdm in bdms if refresh else ():
            info = self.volume_api.attachment_get(None, bdm.attachment_id)['connection_info']
            info = {**info, 'serial': bdm.volume_id}
            bdm.connection_info = json.dumps(info)
            bdm.save()
        return [json.loads(bdm.connection_info) for bdm in bdms if bdm.connection_info]

    def _bdms(self, context, instance):
        return objects.BlockDeviceMappingList.get_by_instance_uuid(context, instance.uuid)

    # -- checks ---------------------------------------------------------

    def check_can_live_migrate_destination(self, ctxt, instance, block_migration=False,
                                           disk_over_commit=False, migration=None, limits=None):
        if self.world.directories.get((self.host, instance.uuid)):
            raise exception.DestinationDiskExists(path=instance.uuid)
        self.compute_rpcapi.check_can_live_migrate_source(ctxt, instance, {})
        return MigrateData()

    def check_can_live_migrate_source(self, ctxt, instance, dest_check_data):
        return dest_check_data

    # -- the destination ------------------------------------------------

    def pre_live_migration(self, context, instance, disk, migrate_data):
        old, bdms = {}, self._bdms(context, instance)
        try:
            for bdm in bdms:
                ref = self.volume_api.attachment_create(
                    context, bdm.volume_id, bdm.instance_uuid,
                    connector=self.driver.get_volume_connector(instance), mountpoint='/dev/vda')
                old[bdm.volume_id] = bdm.attachment_id
                bdm.attachment_id = ref['id']
                bdm.save()
            infos = self._infos(bdms, refresh=True)
            try:
                self.world.directories[self.host, instance.uuid] = True
                for info in infos:
                    self.driver._connect_volume(context, info, instance)
                for bdm in bdms:
                    bdm.save()
            except Exception:
                for info in infos:
                    self.driver._disconnect_volume(context, info, instance)
                raise
        except Exception:
            for bdm in bdms:
                if bdm.volume_id in old:
                    self.volume_api.attachment_delete(context, bdm.attachment_id)
                    bdm.attachment_id = old[bdm.volume_id]
                    bdm.save()
            raise
        for bdm in bdms:
            self.volume_api.attachment_complete(context, bdm.attachment_id)
        return migrate_data

    def post_live_migration_at_destination(self, context, instance, block_migration):
        self.world.point('post_at_destination')
        source = instance.host
        self.network_api.migrate_instance_finish(
            context, instance, types.SimpleNamespace(dest_compute=self.host))
        instance.host = instance.node = self.host
        instance.compute_id = self._get_compute_info(context, self.host).id
        instance.task_state = None
        instance.save(expected_task_state=MIGRATING)
        self.network_api.setup_networks_on_host(context, instance, source, teardown=True)

    def remove_volume_connection(self, context, volume_id, instance, delete_attachment=False):
        try:
            bdm = objects.BlockDeviceMapping.get_by_volume_and_instance(
                context, volume_id, instance.uuid)
            self.driver._disconnect_volume(context, json.loads(bdm.connection_info), instance)
        except exception.NotFound:
            pass

    def rollback_live_migration_at_destination(self, context, instance, destroy_disks,
                                               migrate_data):
        self.world.point('rollback_at_destination')
        self.network_api.setup_networks_on_host(context, instance, self.host, teardown=True)
        self.driver.destroy(context, instance, None)
        self.world.directories.pop((self.host, instance.uuid), None)

    # -- the source -----------------------------------------------------

    def live_migration(self, context, dest, instance, block_migration, migration,
                       migrate_data):
        self._set_migration_status(migration, 'queued')
        self._waiting_live_migrations[instance.uuid] = (migration, None)
        self._do_live_migration(context, dest, instance, block_migration, migration,
                                migrate_data)

    def _do_live_migration(self, context, dest, instance, block_migration, migration,
                           migrate_data):
        self._set_migration_status(migration, 'preparing')
        source_bdms = self._bdms(context, instance)
        migrate_data = self._do_pre_live_migration_from_source(
            context, dest, instance, block_migration, migration, migrate_data, source_bdms)
        migrate_data.migration = migration
        self._waiting_live_migrations.pop(instance.uuid, None)
        self._set_migration_status(migration, 'running')
        try:
            self._transfer(context, instance, dest, block_migration, migrate_data, source_bdms)
        except Exception:
            self._set_migration_status(migration, 'error')
            instance.refresh()
            self._set_instance_obj_error_state(instance, clean_task_state=True)
            raise

    def _do_pre_live_migration_from_source(self, context, dest, instance, block_migration,
                                           migration, migrate_data, source_bdms):
        try:
            return self.compute_rpcapi.pre_live_migration(
                context, instance, dest, migrate_data)
        except Exception:
            self._cleanup_pre_live_migration(context, dest, instance, migration, migrate_data,
                                             source_bdms)
            raise

    def _cleanup_pre_live_migration(self, context, dest, instance, migration, migrate_data,
                                    source_bdms):
        self._waiting_live_migrations.pop(instance.uuid, None)
        self._set_migration_status(migration, 'error')
        migrate_data.migration = migration
        self._rollback_live_migration(context, instance, dest, migrate_data=migrate_data,
                                      source_bdms=source_bdms, pre_live_migration=True)

    def _transfer(self, context, instance, dest, block_migration, migrate_data, source_bdms):
        """LibvirtDriver.live_migration: it watches the job, and calls back."""
        how, seconds = self.world.faults.transfer()
        self.world.point('migrateToURI3')
        guests = self.world.guests
        guests.transfer(self.host, dest, instance.uuid, how, seconds)
        while guests.outgoing.get((self.host, instance.uuid)) == 'active':
            self.world.loop.sleep(2)
        if guests.outgoing.get((self.host, instance.uuid)) == 'completed':
            self._post_live_migration_update_host(
                context, instance, dest, block_migration, migrate_data, source_bdms)
            return
        self._rollback_live_migration(context, instance, dest, migrate_data,
                                      source_bdms=source_bdms)
        raise exception.MigrationError(reason='libvirt: operation failed')

    def _post_live_migration_update_host(self, ctxt, instance, dest, block_migration=False,
                                         migrate_data=None, source_bdms=None):
        try:
            self._post_live_migration(ctxt, instance, dest, block_migration, migrate_data,
                                      source_bdms)
        except Exception:
            if instance.host != dest:
                instance.host = instance.node = dest
                instance.task_state = None
                instance.save()
            raise

    def _post_live_migration(self, ctxt, instance, dest, block_migration, migrate_data,
                             source_bdms):
        self.world.point('post_live_migration')
        self.network_api.migrate_instance_start(ctxt, instance, migrate_data.migration)
        for info in self._infos(source_bdms):
            try:
                self.driver._disconnect_volume(ctxt, info, instance)
            except Exception:
                self.world.swallowed += 1
        self._post_live_migration_remove_source_vol_connections(ctxt, instance, source_bdms)
        self.world.directories.pop((self.host, instance.uuid), None)
        self.compute_rpcapi.post_live_migration_at_destination(
            ctxt, instance, block_migration, dest)
        self._set_migration_status(migrate_data.migration, 'completed')
        self.reportclient.delete_allocation_for_instance(
            ctxt, migrate_data.migration.uuid, consumer_type='migration')

    def _post_live_migration_remove_source_vol_connections(self, context, instance,
                                                           source_bdms):
        for bdm in source_bdms:
            try:
                self.volume_api.attachment_delete(context, bdm.attachment_id)
            except Exception:
                self.world.swallowed += 1

    def _remove_remote_volume_connections(self, context, dest, bdms, instance):
        for bdm in bdms:
            try:
                self.compute_rpcapi.remove_volume_connection(
                    context, instance, bdm.volume_id, dest)
            except Exception:
                self.world.swallowed += 1

    def _rollback_volume_bdms(self, context, bdms, original_bdms, instance):
        original = {bdm.volume_id: bdm for bdm in original_bdms}
        for bdm in bdms:
            before = original[bdm.volume_id]
            if bdm.attachment_id != before.attachment_id:
                self.volume_api.attachment_delete(context, bdm.attachment_id)
                bdm.attachment_id = before.attachment_id
            bdm.connection_info = before.connection_info
            bdm.save()

    def _rollback_live_migration(self, context, instance, dest, migrate_data=None,
                                 migration_status='failed', source_bdms=None,
                                 pre_live_migration=False):
        migration = migrate_data.migration
        self.reportclient.move_allocations(context, migration.uuid, instance.uuid)
        bdms = self._bdms(context, instance)
        if not pre_live_migration:
            self._remove_remote_volume_connections(context, dest, bdms, instance)
        self._rollback_volume_bdms(context, bdms, source_bdms, instance)
        self.compute_rpcapi.rollback_live_migration_at_destination(
            context, instance, dest, migrate_data=migrate_data)
        instance.task_state = None
        instance.save(expected_task_state=[MIGRATING])
        self._set_migration_status(migration, migration_status)

    # -- the start of the service ---------------------------------------

    def init_host(self):
        for instance in objects.InstanceList.get_by_filters(None, {'host': self.host}):
            try:
                self._init_instance(None, instance)
            except Exception:
                self.world.swallowed += 1

    def _init_instance(self, context, instance):
        if instance.host != self.host:
            return
        if instance.task_state == 'deleting':
            try:
                self._delete_instance(context, instance, self._bdms(context, instance))
            except loop.Killed:
                self.world.watch.cut_short(self.world, 'terminate_instance')
                raise
            return
        if instance.task_state == MIGRATING:
            self._reset_live_migration(context, instance)

    def _reset_live_migration(self, context, instance):
        instance.task_state = None
        instance.save(expected_task_state=[MIGRATING])


class MigrateData:
    """LibvirtLiveMigrateData."""

    is_shared_instance_path, migration = False, None

    def __contains__(self, name):
        return getattr(self, name, None) is not None


class Rpc:
    """ComputeAPI: what one nova-compute asks of another."""

    LONG, SHORT = 600, 60

    def __init__(self, world, host):
        self._world, self._host = world, host

    def _call(self, dest, method, timeout, **arguments):
        return self._world.bus.call(self._host, dest, method, timeout, sent(arguments))

    def check_can_live_migrate_source(self, ctxt, instance, data):
        return self._call(instance.host, 'check_can_live_migrate_source', self.SHORT,
                          ctxt=None, instance=instance, dest_check_data=data)

    def pre_live_migration(self, context, instance, dest, migrate_data):
        return self._call(dest, 'pre_live_migration', self.LONG, context=None,
                          instance=instance, disk=None, migrate_data=migrate_data)

    def post_live_migration_at_destination(self, context, instance, block_migration, dest):
        return self._call(dest, 'post_live_migration_at_destination', self.LONG, context=None,
                          instance=instance, block_migration=block_migration)

    def remove_volume_connection(self, context, instance, volume_id, dest):
        return self._call(dest, 'remove_volume_connection', self.SHORT, context=None,
                          volume_id=volume_id, instance=instance)

    def rollback_live_migration_at_destination(self, context, instance, dest, migrate_data):
        self._world.bus.cast(self._host, dest, 'rollback_live_migration_at_destination', sent(
            {'context': None, 'instance': instance, 'destroy_disks': True,
             'migrate_data': migrate_data}))


def sent(arguments):
    """What comes out at the other end are other objects."""
    return {name: _sent(value) for name, value in arguments.items()}


def _sent(value):
    found = copy.copy(value)
    if hasattr(found, '_changed'):
        found.__dict__['_changed'] = set(value._changed)
    if getattr(found, 'migration', None) is not None and isinstance(found, MigrateData):
        found.migration = _sent(found.migration)
    return found


def locked(method):
    """Nova's lock of the instance, on one host."""
    def inside(self, context, instance, *args, **kwargs):
        return utils.synchronized(instance.uuid)(
            lambda: method(self, context, instance, *args, **kwargs))()
    return inside
