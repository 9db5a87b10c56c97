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
"""Instances that a live migration has left in ERROR, though their guest runs well here.

Nova's conductor puts an instance into ERROR when its message to the source cannot be delivered
(ComputeTaskManager._live_migrate), and a plain nova-compute does for every failed transfer. The
destination's port bindings stay then, and nobody looks at the instance again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

from nova import context as nova_context
from nova import exception, objects
from nova.compute import instance_actions, power_state, vm_states
from oslo_log import log as logging

from migsafe.nova.clients.orphans import Migrating
from migsafe.text import masked
from migsafe.transaction.clients import LIVE_MIGRATION

LOG = logging.getLogger(__name__)

ENDED = ('cancelled', 'error', 'failed')
ACTIONS = (instance_actions.LIVE_MIGRATION, instance_actions.LIVE_MIGRATION_CANCEL,
           instance_actions.LIVE_MIGRATION_FORCE_COMPLETE)
#: What changes nothing on any host, and may come after a migration.
NEUTRAL = (instance_actions.LOCK, instance_actions.UNLOCK)


@dataclasses.dataclass(frozen=True)
class Failed(Migrating):
    """One of them, and the migration that was its last operation."""

    task: bool = False


class FailedMoves:
    """Reads them.

    :param manager: the ComputeManager
    """

    def __init__(self, manager: Any) -> None:
        self._manager = manager

    def instances(self, host: str, wanted: Callable[[str], bool]) -> Iterator[Failed]:
        """Those of a host that nothing has happened to since.

        :param wanted: whether a migration is of interest, by its uuid; no more is asked of another
        """
        context = nova_context.get_admin_context()
        for instance in objects.InstanceList.get_by_filters(
                context, {'host': host, 'vm_state': vm_states.ERROR, 'deleted': False},
                expected_attrs=[]):
            last = max(objects.MigrationList.get_by_filters(context, {
                'instance_uuid': instance.uuid}), key=lambda m: m.id, default=None)
            if instance.task_state is None and last is not None and wanted(last.uuid) \
                    and _has_failed(last, host) and _was_last(context, instance) \
                    and _runs(self._manager, instance):
                yield Failed(instance.uuid, last.updated_at or last.created_at, last.uuid, last.id,
                             last.status, last.dest_compute or '')


def _has_failed(migration: Any, host: str) -> bool:
    return (migration.migration_type == LIVE_MIGRATION and migration.status in ENDED
            and migration.source_compute == host)


def _was_last(context: Any, instance: Any) -> bool:
    """Whether nothing was asked for after a live migration; the newest one comes first."""
    last = next((one.action for one in objects.InstanceActionList.get_by_instance_uuid(
        context, instance.uuid) if one.action not in NEUTRAL), None)
    return last in ACTIONS


def _runs(manager: Any, instance: Any) -> bool:
    """Whether libvirt says that it runs; one that is paused may be so over a disk."""
    try:
        return bool(manager.driver.get_info(instance).state == power_state.RUNNING)
    except exception.NovaException as error:
        # One without a domain, or of which libvirt does not say, must not keep the others waiting.
        LOG.debug('Instance %s in ERROR is not looked at: %s', instance.uuid, masked(error))
        return False
