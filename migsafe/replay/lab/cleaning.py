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
"""Removes whatever a case left, so that the next one starts on clean ground."""

from __future__ import annotations

import shutil
from typing import Any

from nova import context as nova_context
from nova import exception as nova_exc
from nova import objects
from nova.db.main import api as main_db

from migsafe.brick.guard import kept_devices
from migsafe.replay.lab import stack as lab_stack


def everything(stack: lab_stack.Stack) -> None:
    """Forget every guest, volume, port, message and directory of the case before."""
    parts = stack.parts
    with parts.world.looking():
        context = nova_context.get_admin_context()
        nova_context.set_target_cell(context, stack.cell_mappings['cell1'])
        _database(stack, context)
    for connection in parts.connections.values():
        connection._vms.clear()
        connection._running_vms.clear()
        connection._secrets.clear()
        connection.jobs.clear()
        connection.next_verdict = 'complete'
        connection.cannot_resume = False
    for kernel in parts.kernels.values():
        kernel.devices.clear()
        kernel.held.clear()
        kernel.guarded = False
    for array in parts.san.arrays.values():
        array.exports.clear()
        array.order.clear()
    parts.cinder.volumes.clear()
    parts.cinder.attachments.clear()
    parts.cinder.deleted.clear()
    parts.bus.undelivered.clear()
    stack.neutron._port_bindings.clear()
    _directories(stack)
    _memory(stack)


def _database(stack: lab_stack.Stack, context: Any) -> None:
    for instance in objects.InstanceList.get_by_filters(context, {'deleted': False}):
        stack.placement.delete(f'/allocations/{instance.uuid}')
        for migration in objects.MigrationList.get_by_filters(
                context, {'instance_uuid': instance.uuid}):
            stack.placement.delete(f'/allocations/{migration.uuid}')
            migration.status = 'done'
            migration.save()
        main_db.instance_destroy(context, instance.uuid)
        try:
            objects.InstanceMapping.get_by_instance_uuid(context, instance.uuid).destroy()
        except nova_exc.InstanceMappingNotFound:
            # the API deleted the guest completely
            continue


def _directories(stack: lab_stack.Stack) -> None:
    for options in stack.host_options.values():
        for path in lab_stack.entries(options['instances_path']):
            if path.is_dir():
                shutil.rmtree(path)


def _memory(stack: lab_stack.Stack) -> None:
    """What the compute managers remember of guests that are gone."""
    kept_devices.clear()
    for service in stack.computes.values():
        tracker = service.manager.rt
        tracker.tracked_instances.clear()
        tracker.tracked_migrations.clear()
        service.manager.driver.active_migrations.clear()
