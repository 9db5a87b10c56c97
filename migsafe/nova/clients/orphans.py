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
"""What Nova has recorded of live migrations from this host that nobody may be at any more."""

from __future__ import annotations

import dataclasses
import datetime
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from nova import context as nova_context
from nova import exception, objects
from nova.compute import task_states

from migsafe.transaction.clients import LIVE_MIGRATION
from migsafe.watch.migration import GOING_ON

#: How many migrations are read in one round that have not ended by their record. There may be
#: thousands of those, of plain Nova and of years: 5,000 of a host take 50 rounds after each start
#: of its nova-compute, and nothing from then on.
PAGE = 100


@dataclasses.dataclass(frozen=True)
class Migrating:
    """An instance of this host, and the live migration that it may be in.

    :param updated_at: when Nova has last written that it is going on
    :param task: whether the instance has the task ``migrating``. Without it the record of the
        migration alone says so: the task was taken away by something else, as by an evacuation
        that was refused or by an operator.
    """

    instance_uuid: str
    updated_at: datetime.datetime | None
    migration_uuid: str | None
    migration_id: int | None
    migration_status: str | None
    dest_host: str
    task: bool = True


class Orphans:
    """Reads them.

    :param manager: the ComputeManager
    """

    def __init__(self, manager: Any) -> None:
        self._manager = manager
        #: the migration up to which all are explained, and the one up to which they were read
        self._explained: str | None = None
        self._read: str | None = None

    def migrating(self, host: str, wanted: Callable[[str], bool]) -> Iterator[Migrating]:
        """Instances of a host that sit in ``migrating``, with the newest live migration of each,
        and those that are at nothing, with one that has not ended; of the latter a page in each
        round.

        :param wanted: whether an instance is of interest; no more is asked of another
        """
        context = nova_context.get_admin_context()
        for instance in objects.InstanceList.get_by_filters(
                context, {'host': host, 'task_state': task_states.MIGRATING,
                          'deleted': False}, expected_attrs=[]):
            if wanted(instance.uuid):
                yield self._newest(context, instance)
        for migration, instance in self._unended(context, host, wanted):
            if instance is not None and instance.task_state is None:
                yield _migrating(instance.uuid, migration.updated_at or migration.created_at,
                                 migration, task=False)

    def directory_shared(self, instance_uuid: str, host: str) -> bool:
        """Whether the instance's directory here may be the one on ``host``.

        Nova writes a file into it and asks the other host whether it sees
        it. Only a plain no counts: without an answer Nova says yes.
        """
        if not host:
            return True
        context = nova_context.get_admin_context()
        return bool(self._manager._is_instance_storage_shared(
            context, objects.Instance.get_by_uuid(context, instance_uuid), host=host))

    def _unended(self, context: Any, host: str, wanted: Callable[[str], bool]
                 ) -> list[tuple[Any, Any]]:
        """The next page of migrations from a host that have not ended, each with its instance if
        that is wanted and on the host.

        Where it is not, the instance was deleted, or something has brought it to another host
        since. It may come back, but by something that comes later, so that this is remembered.
        """
        begin = self._read
        try:
            page = list(objects.MigrationList.get_by_filters(
                context, {'source_compute': host, 'migration_type': LIVE_MIGRATION,
                          'status': list(GOING_ON)},
                sort_keys=['id'], sort_dirs=['asc'], limit=PAGE, marker=begin))
        except exception.MarkerNotFound:
            # it was archived with its instance
            self._explained = self._read = None
            return []
        asked = {uuid for uuid in {one.instance_uuid for one in page} if wanted(uuid)}
        there = self._there(context, host, asked)
        if begin == self._explained:
            gone = asked - there.keys()
            for one in itertools.takewhile(lambda m: m.instance_uuid in gone, page):
                self._explained = one.uuid
        self._read = page[-1].uuid if len(page) == PAGE else self._explained
        return [(one, there.get(one.instance_uuid)) for one in page]

    @staticmethod
    def _there(context: Any, host: str, uuids: Iterable[str]) -> dict[str, Any]:
        """Which of these instances are on a host, by uuid."""
        wanted = sorted(uuids)
        return {instance.uuid: instance for instance in objects.InstanceList.get_by_filters(
            context, {'uuid': wanted, 'host': host, 'deleted': False, 'soft_deleted': True},
            expected_attrs=[])} if wanted else {}

    @staticmethod
    def _newest(context: Any, instance: Any) -> Migrating:
        newest = max(objects.MigrationList.get_by_filters(context, {
            'instance_uuid': instance.uuid, 'migration_type': LIVE_MIGRATION}),
            key=lambda m: m.id, default=None)
        return _migrating(instance.uuid, instance.updated_at, newest, task=True)


def _migrating(instance_uuid: str, since: datetime.datetime | None, migration: Any, *,
               task: bool) -> Migrating:
    return Migrating(
        instance_uuid, since, migration and migration.uuid, migration and migration.id,
        migration and migration.status, (migration and migration.dest_compute) or '', task)
