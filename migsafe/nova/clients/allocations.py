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
"""Placement, through Nova's report client."""

from __future__ import annotations

from typing import Any

from nova import context as nova_context
from nova import exception


class Allocations:
    """See :class:`migsafe.transaction.clients.Allocations`."""

    def __init__(self, manager: Any) -> None:
        self._manager = manager

    def held(self, consumer: str) -> dict[str, Any]:
        # Not get_allocations_for_consumer(): that one answers a Placement
        # failure with "no allocations".
        found = self._manager.reportclient.get_allocs_for_consumer(
            nova_context.get_admin_context(), consumer)
        return dict(found['allocations'])

    def provider(self, host: str) -> str | None:
        try:
            node = self._manager._get_compute_info(
                nova_context.get_admin_context(), host)
        except exception.ComputeHostNotFound:
            # Its compute service was deleted, and its resource provider with it.
            return None
        return str(node.uuid)

    def move(self, migration: str, instance_uuid: str) -> None:
        if not self._manager.reportclient.move_allocations(
                nova_context.get_admin_context(), migration, instance_uuid):
            raise exception.AllocationMoveFailed(
                source_consumer=migration, target_consumer=instance_uuid,
                error='Placement refused')

    def delete(self, migration: str) -> None:
        # False says that there was none, None that Placement could not be asked (safe_connect).
        if self._manager.reportclient.delete_allocation_for_instance(
                nova_context.get_admin_context(), migration,
                consumer_type='migration', force=False) is None:
            raise exception.AllocationDeleteFailed(
                consumer_uuid=migration, error='Placement cannot be reached, or lets nobody in')

    def withdraw(self, instance_uuid: str, host: str) -> None:
        client = self._manager.reportclient
        if not client.remove_provider_tree_from_instance_allocation(
                nova_context.get_admin_context(), instance_uuid,
                self.provider(host)):
            raise exception.AllocationUpdateFailed(
                consumer_uuid=instance_uuid, error='Placement refused')
