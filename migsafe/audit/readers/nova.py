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
"""Instances, their volumes and migrations, out of the database of a cell of Nova."""

from __future__ import annotations

import collections
import dataclasses
import datetime
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from migsafe.audit import address
from migsafe.audit.activity import ENDED
from migsafe.audit.facts import Instance, Life, Migration, Moment, Row
from migsafe.audit.readers import pages
from migsafe.audit.readers.database import Snapshot, beats, columns, live, moment

#: hypervisor_type of drivers whose connectors have another name than the host's. Nova's libvirt
#: driver gives [DEFAULT] host, in get_volume_connector().
OTHERS = ('ironic', 'vmware', 'hyperv', 'zvm', 'powervm', 'fake')


@dataclasses.dataclass(frozen=True)
class Nodes:
    """The compute nodes of a cell.

    :ivar hosts: UUID and name of a node -> its host; a node that is gone is still its host's
    :ivar others: hosts of hypervisors other than libvirt's
    :ivar foreign: UUIDs and names of nodes of these
    """

    hosts: Mapping[str, str]
    others: frozenset[str]
    foreign: frozenset[str]

    def comparable(self, instance: Instance) -> bool:
        """Whether connectors of its hypervisor have the name of its host.

        Its node decides: another nova-compute of Ironic takes nodes over, and the instances keep
        the name of the former: _init_compute_node() of nova/compute/resource_tracker.py.
        """
        if instance.node in self.hosts:
            return instance.node not in self.foreign
        return instance.host not in self.others


class Nova:
    """The database of one cell."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.label = snapshot.label
        self._instances = snapshot.must('instances')
        self._rows = snapshot.must('block_device_mapping')
        self._migrations = snapshot.table('migrations')

    def missing(self) -> list[str]:
        """What it does not have and rules need."""
        return [name for name in ('migrations', 'compute_nodes', 'services')
                if self.snapshot.table(name) is None]

    def beats(self) -> list[datetime.datetime]:
        """When services have last reported."""
        return beats(self.snapshot, 'services', 'updated_at')

    def changed(self) -> Moment:
        """When an instance has last changed."""
        if 'updated_at' not in self._instances.c:
            return None
        newest = sa.type_coerce(sa.func.max(self._instances.c.updated_at), sa.types.NullType())
        return moment(self.snapshot.value(sa.select(newest)))

    def nodes(self) -> Nodes:
        """The compute nodes."""
        table = self.snapshot.table('compute_nodes')
        if table is None:
            return Nodes({}, frozenset(), frozenset())
        hosts: dict[str, str] = {}
        others, foreign = set(), set[str]()
        query = sa.select(*columns(table, 'uuid', 'host', 'hypervisor_hostname',
                                   'hypervisor_type'), table.c.id.label('key'))
        for one in (row for page in pages.paged(self.snapshot, query, table.c.id)
                    for row in page):
            if not one.host:
                continue
            names = [name for name in (one.uuid, one.hypervisor_hostname) if name]
            hosts.update(dict.fromkeys(names, one.host))
            if str(one.hypervisor_type or '').lower().startswith(OTHERS):
                others.add(one.host)
                foreign.update(names)
            else:
                foreign.difference_update(names)
        return Nodes(hosts, frozenset(others), frozenset(foreign))

    def count(self) -> int:
        """How many instances are not deleted."""
        query = sa.select(sa.func.count()).select_from(self._instances).where(
            live(self._instances))
        return int(self.snapshot.value(query) or 0)

    def instances(self, only: Iterable[str] | None = None,
                  after: int | None = None) -> Iterator[list[Instance]]:
        """Instances that are not deleted, in pages.

        :param only: UUIDs
        :param after: only those that come after this one, by their primary key
        """
        table = self._instances
        query = sa.select(*columns(table, 'uuid', 'host', 'node', 'vm_state', 'task_state',
                                   'power_state', 'updated_at', 'created_at', 'hidden'),
                          table.c.id.label('key')).where(live(table))
        if only is None:
            for page in pages.paged(self.snapshot, query, table.c.id, after):
                yield [_instance(one) for one in page if one.uuid]
        else:
            for some in pages.chunks(only):
                yield [_instance(one) for one in self.snapshot.rows(
                    query.where(table.c.uuid.in_(some)))]

    def until(self, last: int) -> Iterator[str]:
        """The UUIDs of those up to this one, which another audit has read."""
        table = self._instances
        query = sa.select(*columns(table, 'uuid'), table.c.id.label('key')).where(
            live(table), table.c.id <= last)
        for page in pages.paged(self.snapshot, query, table.c.id):
            yield from (one.uuid for one in page if one.uuid)

    def deleted(self, uuids: Iterable[str]) -> dict[str, Instance]:
        """Those of these instances that this database knows as deleted, or has archived."""
        found: dict[str, Instance] = {}
        names = list(uuids)
        for name in ('shadow_instances', 'instances'):
            table = self.snapshot.table(name)
            if table is None:
                continue
            query = sa.select(*columns(table, 'uuid', 'vm_state', 'task_state', 'updated_at',
                                       'deleted_at'), table.c.id.label('key'))
            if name == 'instances':
                query = query.where(sa.not_(live(table)))
            for one in pages.listed(self.snapshot, query, table.c.uuid, names):
                # NOTE: without its host: it runs nowhere any more.
                found[one.uuid] = Instance(
                    one.key, one.uuid, vm_state=one.vm_state, task_state=one.task_state,
                    updated=moment(one.deleted_at) or moment(one.updated_at),
                    life=Life.DELETED)
        return found

    def has(self, host: str) -> bool:
        """Whether an instance or a migration, of now or before, is or was on this host."""
        asked = [self._instances.c.host]
        if self._migrations is not None:
            asked += [self._migrations.c.source_compute, self._migrations.c.dest_compute]
        return any(self.snapshot.rows(sa.select(column).where(column == host).limit(1))
                   for column in asked)

    def rows(self, uuids: Sequence[str],
             compact: address.Compact | None = None) -> dict[str, list[Row]]:
        """The volumes of instances, by instance."""
        found: dict[str, list[Row]] = collections.defaultdict(list)
        for row in self._volumes(self._rows.c.instance_uuid, uuids, compact):
            found[row.instance].append(row)
        return found

    def unlinked(self, uuids: Iterable[str]) -> dict[str, Moment]:
        """When a volume was last taken away from each of these instances."""
        table = self._rows
        last = sa.type_coerce(sa.func.max(table.c.deleted_at), sa.types.NullType())
        query = sa.select(table.c.instance_uuid, last).where(sa.not_(live(table))).group_by(
            table.c.instance_uuid)
        return {uuid: moment(last) for uuid, last in pages.listed(
            self.snapshot, query, table.c.instance_uuid, uuids)}

    def users(self, volumes: Iterable[str]) -> set[str]:
        """The instances that have one of these volumes."""
        return {row.instance for row in self.using(volumes)}

    def using(self, volumes: Iterable[str]) -> list[Row]:
        """The rows that have one of these volumes, whoever's."""
        return list(self._volumes(self._rows.c.volume_id, volumes, None))

    def _volumes(self, column: Any, names: Iterable[str],
                 compact: address.Compact | None) -> Iterator[Row]:
        table = self._rows
        query = sa.select(*columns(
            table, 'instance_uuid', 'volume_id', 'attachment_id', 'connection_info', 'updated_at',
            'created_at'), table.c.id.label('key')).where(
                live(table), table.c.volume_id.is_not(None), table.c.instance_uuid.is_not(None))
        for one in pages.listed(self.snapshot, query, column, names):
            yield Row(one.key, one.instance_uuid, one.volume_id, one.attachment_id or None,
                      address.read(one.connection_info, compact),
                      moment(one.updated_at) or moment(one.created_at))

    def migrations(self, uuids: Sequence[str]) -> dict[str, list[Migration]]:
        """All migrations of instances, by instance."""
        found: dict[str, list[Migration]] = collections.defaultdict(list)
        if self._migrations is not None:
            for one in pages.listed(self.snapshot, self._asked(),
                                    self._migrations.c.instance_uuid, uuids):
                found[one.instance_uuid].append(_migration(one))
        return found

    def unended(self) -> Iterator[Migration]:
        """All migrations in no final status, whoever's."""
        if self._migrations is not None:
            query = self._asked().where(self._migrations.c.status.not_in(sorted(ENDED)))
            for page in pages.paged(self.snapshot, query, self._migrations.c.id):
                yield from (_migration(one) for one in page if one.instance_uuid)

    def _asked(self) -> sa.Select[Any]:
        table = self.snapshot.must('migrations')
        return sa.select(*columns(
            table, 'uuid', 'instance_uuid', 'migration_type', 'status', 'source_compute',
            'dest_compute', 'updated_at', 'created_at'), table.c.id.label('key')).where(
                live(table))

    def unshelved(self, uuids: Iterable[str]) -> dict[str, Moment]:
        """When instances were last unshelved, as far as Nova kept their actions."""
        table = self.snapshot.table('instance_actions')
        found: dict[str, Moment] = {}
        if table is None:
            return found
        query = sa.select(*columns(table, 'instance_uuid', 'start_time', 'created_at')).where(
            live(table), table.c.action == 'unshelve')
        for one in pages.listed(self.snapshot, query, table.c.instance_uuid, uuids):
            began = moment(one.start_time) or moment(one.created_at)
            known = found.get(one.instance_uuid)
            if began and (known is None or began > known):
                found[one.instance_uuid] = began
        return found


def _instance(one: Any) -> Instance:
    return Instance(one.key, one.uuid, one.host or None, one.node or None, one.vm_state,
                    one.task_state or None, one.power_state,
                    moment(one.updated_at) or moment(one.created_at), bool(one.hidden))


def _migration(one: Any) -> Migration:
    return Migration(one.key, one.uuid or None, one.instance_uuid, one.migration_type, one.status,
                     one.source_compute or None, one.dest_compute or None,
                     moment(one.updated_at) or moment(one.created_at))
