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
import datetime
from collections.abc import Callable, Iterator
from typing import Any

from nova import context as nova_context
from nova import exception, objects
from nova.compute import instance_actions, power_state, vm_states
from oslo_log import log as logging

from migsafe.nova.clients.orphans import PAGE, Migrating
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
        #: instance -> when it was written to last, and what that has shown
        self._known: dict[str, tuple[datetime.datetime | None, Failed | None]] = {}

    def instances(self, host: str, wanted: Callable[[str], bool]) -> Iterator[Failed]:
        """Those of a host that nothing has happened to since.

        All are listed by one query. What that does not tell is asked of an instance once, and
        again when its record was written since, as whatever brings it into this state does: of a
        page of them in each round.

        :param wanted: whether a migration is of interest, by its uuid; no more is asked of another
        """
        context = nova_context.get_admin_context()
        listed = {one.uuid: one for one in objects.InstanceList.get_by_filters(
            context, {'host': host, 'vm_state': vm_states.ERROR, 'deleted': False},
            expected_attrs=[]) if one.task_state is None}
        self._known = {uuid: found for uuid, found in self._known.items()
                       if uuid in listed and listed[uuid].updated_at == found[0]}
        unknown = [one for uuid, one in listed.items() if uuid not in self._known]
        for one in unknown[:PAGE]:
            self._known[one.uuid] = one.updated_at, _failed(context, one, host)
        for uuid, (_at, failed) in self._known.items():
            if failed is not None and wanted(str(failed.migration_uuid)) \
                    and _runs(self._manager, listed[uuid]) and _was_last(context, listed[uuid]):
                yield failed


def _failed(context: Any, instance: Any, host: str) -> Failed | None:
    """Its last migration, if that was a live one from this host that failed."""
    last = max(objects.MigrationList.get_by_filters(context, {
        'instance_uuid': instance.uuid}), key=lambda m: m.id, default=None)
    if last is None or not _has_failed(last, host) or not _was_last(context, instance):
        return None
    return Failed(instance.uuid, last.updated_at or last.created_at, last.uuid, last.id,
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
