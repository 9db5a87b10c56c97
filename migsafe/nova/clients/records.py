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
"""Nova's database, through Nova's objects (and so through the conductor)."""

from __future__ import annotations

import functools
from typing import Any

from nova import context as nova_context
from nova import exception, objects, utils
from nova.compute import instance_actions, task_states, vm_states
from oslo_log import log as logging
from oslo_serialization import jsonutils

from migsafe.journal.records import Transaction
from migsafe.nova.clients import instance_lock
from migsafe.resources import instance_record
from migsafe.transaction.clients import (
    EVACUATION,
    ConnectionInfo,
    InstanceRow,
    OtherMove,
    VolumeRow,
)

LOG = logging.getLogger(__name__)

#: Statuses after which a resize or an evacuation needs nothing of either host
#: any more (nova.objects.fields.MigrationStatus); "finished" is not one, for a
#: resize then waits to be confirmed or reverted.
OVER = frozenset(('cancelled', 'completed', 'confirmed', 'done', 'error',
                  'failed', 'reverted'))


def connection_info(text: str | None) -> ConnectionInfo | None:
    """The connection_info of a BDM row.

    :raises ValueError: when it is not a JSON object
    """
    if not text:
        return None
    info = jsonutils.loads(text)
    if not isinstance(info, dict):
        raise ValueError('connection_info in block_device_mapping is not a '
                         'JSON object')
    return info


def volume_row(bdm: Any) -> VolumeRow:
    """A nova BlockDeviceMapping of a volume as a VolumeRow."""
    return VolumeRow(bdm.id, bdm.volume_id, bdm.attachment_id,
                        connection_info(bdm.connection_info))


def instance_row(instance: Any) -> InstanceRow:
    """A nova Instance as an InstanceRow."""
    return InstanceRow(instance.uuid, instance.host, instance.node,
                          instance.task_state, instance.vm_state)


def _context_of(instance: Any, number: int | None) -> bool:
    """Whether what is claimed for a move of the instance is claimed for this migration."""
    context = instance.migration_context
    return context is not None and context.migration_id == number


def _move(migration: Any) -> OtherMove:
    return OtherMove(
        migration.migration_type, migration.uuid, migration.status,
        migration.source_compute or '', migration.dest_compute or '',
        over=migration.status in OVER)


class Records:
    """See :class:`migsafe.transaction.clients.Records`."""

    def __init__(self, manager: Any) -> None:
        self._manager = manager

    def _instance(self, uuid: str) -> Any:
        return objects.Instance.get_by_uuid(
            nova_context.get_admin_context(), uuid,
            expected_attrs=['migration_context', 'flavor', 'numa_topology',
                            'pci_devices', 'pci_requests', 'resources'])

    def instance(self, uuid: str) -> InstanceRow | None:
        try:
            return instance_row(objects.Instance.get_by_uuid(
                nova_context.get_admin_context(), uuid, expected_attrs=[]))
        except exception.InstanceNotFound:
            return None

    def _moves(self, instance_uuid: str) -> list[Any]:
        return sorted(objects.MigrationList.get_by_filters(
            nova_context.get_admin_context(), {'instance_uuid': instance_uuid}),
            key=lambda m: m.id)

    def moves(self, instance_uuid: str) -> list[OtherMove]:
        return [_move(migration) for migration in self._moves(instance_uuid)]

    def evacuated(self, host: str) -> set[str]:
        return {one.instance_uuid for one in objects.MigrationList.get_by_filters(
            nova_context.get_admin_context(),
            {'source_compute': host, 'migration_type': EVACUATION})}

    def later(self, tx: Transaction) -> list[OtherMove]:
        found = self._moves(tx.instance_uuid)
        # What recovery began has a uuid of its own, or the journal may not know the id.
        own = tx.migration_id or next(
            (m.id for m in found if m.uuid == tx.uuid), None)
        return [move for number, move in ((m.id, _move(m)) for m in found)
                if (number > own if own else not move.over)]

    def to_host(self, tx: Transaction, host: str) -> None:
        node = self._manager._get_compute_info(nova_context.get_admin_context(), host)
        number = self._number(tx)
        instance = self._instance(tx.instance_uuid)
        if instance.host not in (tx.source_host, tx.dest_host):
            raise exception.InstanceInvalidState(
                instance_uuid=tx.instance_uuid, attr='host', state=instance.host,
                method='settle a live migration')
        if _context_of(instance, number):
            # What Nova does on arrival: the NUMA topology, PCI devices and
            # resources claimed on the destination become the instance's.
            instance.apply_migration_context()
        instance.host = host
        instance.node = node.hypervisor_hostname
        instance.compute_id = node.id
        instance.save(expected_task_state=[instance.task_state],
                      expected_vm_state=[instance.vm_state])

    def asked_for(self, instance_uuid: str, after: str) -> str | None:
        found = [str(action.request_id) for action in objects.InstanceActionList.
                 get_by_instance_uuid(nova_context.get_admin_context(), instance_uuid)
                 if action.action == instance_actions.LIVE_MIGRATION]
        # The newest one comes first.
        return found[0] if after in found[1:] and found[0] != after else None

    def release_task(self, tx: Transaction, vm_state: str | None) -> bool:
        number = self._number(tx)
        instance = self._instance(tx.instance_uuid)
        task, state = instance.task_state, instance.vm_state
        if task not in (task_states.MIGRATING, None):
            raise exception.UnexpectedTaskStateError(
                instance_uuid=instance.uuid, actual={'task_state': task},
                expected={'task_state': [task_states.MIGRATING, None]})
        instance.task_state = None
        if vm_state and state == vm_states.ERROR:
            instance.vm_state = vm_state
        instance.progress = 0
        if _context_of(instance, number):
            instance.drop_migration_context()
        instance.save(expected_task_state=[task], expected_vm_state=[state])
        return bool(task)

    def give_task_back(self, uuid: str) -> None:
        instance = self._instance(uuid)
        instance.task_state = task_states.MIGRATING
        instance.save(expected_task_state=[None])

    def _number(self, tx: Transaction) -> int | None:
        """The id of a transaction's migration in Nova's table."""
        if tx.migration_id:
            return tx.migration_id
        migration = self._migration(tx.uuid)
        return migration and int(migration.id)

    def _migration(self, uuid: str) -> Any:
        try:
            return objects.Migration.get_by_uuid(
                nova_context.get_admin_context(), uuid)
        except exception.MigrationNotFound:
            return None

    def migration_status(self, uuid: str) -> str | None:
        migration = self._migration(uuid)
        return None if migration is None else str(migration.status)

    def moving_to(self, instance_uuid: str, host: str,
                  besides: str) -> str | None:
        found = objects.MigrationList.get_by_filters(
            nova_context.get_admin_context(),
            {'instance_uuid': instance_uuid, 'host': host})
        return next((str(m.uuid) for m in found
                     if m.dest_compute == host and m.uuid != besides
                     and m.status not in instance_record.TERMINAL), None)

    def finish_migration(self, uuid: str, status: str) -> None:
        migration = self._migration(uuid)
        if migration is not None:
            migration.status = status
            migration.save()

    def volumes(self, instance_uuid: str) -> list[VolumeRow]:
        bdms = objects.BlockDeviceMappingList.get_by_instance_uuid(
            nova_context.get_admin_context(), instance_uuid)
        return [volume_row(bdm) for bdm in bdms
                if bdm.is_volume and bdm.volume_id]

    def replace_connection(self, instance_uuid: str, row: VolumeRow,
                           attachment_id: str | None,
                           info: ConnectionInfo) -> bool:
        # Nova has no compare-and-swap for this table below its own API: the
        # row is read again under Nova's lock for everything that changes
        # this instance's volumes on this host.
        swap = functools.partial(self._swap, instance_uuid, row,
                                 attachment_id, info)
        if instance_lock.holds(instance_uuid):
            return swap()
        return bool(utils.synchronized(instance_uuid)(swap)())

    def _swap(self, instance_uuid: str, row: VolumeRow,
              attachment_id: str | None, info: ConnectionInfo) -> bool:
        bdm = objects.BlockDeviceMapping.get_by_volume_and_instance(
            nova_context.get_admin_context(), row.volume_id, instance_uuid)
        # The rows of volumes without attachments differ in nothing but their connection_info.
        if volume_row(bdm) != row:
            return False
        bdm.attachment_id = attachment_id
        bdm.connection_info = jsonutils.dumps(info)
        bdm.save()
        return True

    def rename_volume(self, instance_uuid: str, row: VolumeRow, volume_id: str) -> bool:
        bdm = objects.BlockDeviceMapping.get_by_volume_and_instance(
            nova_context.get_admin_context(), row.volume_id, instance_uuid)
        if bdm.id != row.bdm_id or bdm.attachment_id != row.attachment_id:
            return False
        # NOTE: from the row as it is now: the rest leads to the disk of another guest on another
        # host. These are all that Nova's own end of a swap changes, see
        # ComputeManager._do_swap_volume.
        info = connection_info(bdm.connection_info) or {}
        info.update(serial=volume_id, volume_id=volume_id)
        if isinstance(info.get('data'), dict):
            info['data']['volume_id'] = volume_id
        bdm.volume_id = volume_id
        bdm.connection_info = jsonutils.dumps(info)
        bdm.save()
        return True
