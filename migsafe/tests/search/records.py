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
"""Nova's database, and the objects that Nova and migsafe see of it."""

import copy
import datetime
import json
import types

from nova import exception

EPOCH = datetime.datetime(2026, 7, 1)


class Database:
    """Rows of tables; each object is a copy of one, and its save() writes what it has changed.

    :param world: has the loop, and is told of each row of a volume that is written
    """

    def __init__(self, world):
        self.world = world
        self.instances, self.bdms, self.migrations = {}, {}, {}
        self.bdm_id = 0

    def now(self):
        """Time of the database, which is the world's."""
        return EPOCH + datetime.timedelta(seconds=self.world.loop.now)


class Row:
    """A Nova object with a row behind it."""

    FIELDS = ()

    def __init__(self, database=None, row=None, **fields):
        self.__dict__['_database'], self.__dict__['_row'] = database, row
        self.__dict__['_changed'] = set()
        self._context = fields.pop('context', None)
        for name in self.FIELDS:
            self.__dict__[name] = copy.copy((row or {}).get(name))
        self.__dict__.update(fields)

    def __setattr__(self, name, value):
        self.__dict__[name] = value
        if name in self.FIELDS:
            self._changed.add(name)

    def __contains__(self, name):
        return self.__dict__.get(name) is not None

    def __getitem__(self, name):
        return getattr(self, name)

    def get(self, name, default=None):
        return getattr(self, name, default)

    def obj_reset_changes(self, fields=None, recursive=False):
        self._changed.difference_update(fields or tuple(self._changed))

    def obj_what_changed(self):
        return set(self._changed)

    def obj_clone(self):
        return copy.copy(self)

    def obj_attr_is_set(self, name):
        return name in self.__dict__

    def refresh(self, *_args, **_kwargs):
        for name in self.FIELDS:
            self.__dict__[name] = self._row.get(name)
        self._changed.clear()

    def _write(self):
        self._database.world.loop.check()
        self._row.update({name: getattr(self, name) for name in self._changed},
                         updated_at=self._database.now())
        self.__dict__['updated_at'] = self._row['updated_at']
        self._changed.clear()

    def save(self, *_args, **_kwargs):
        self._database.world.point('db')
        self._write()


class Instance(Row):
    FIELDS = ('uuid', 'host', 'node', 'compute_id', 'task_state', 'vm_state', 'power_state',
              'progress', 'updated_at', 'id', 'deleted', 'launched_on', 'system_metadata')
    migration_context = numa_topology = pci_devices = pci_requests = resources = flavor = None

    def save(self, expected_task_state=None, **_kwargs):
        self._database.world.point('db')
        if self._row.get('deleted'):
            raise exception.InstanceNotFound(instance_id=self.uuid)
        expected = expected_task_state if isinstance(
            expected_task_state, (list, tuple)) else [expected_task_state]
        if expected_task_state and self._row['task_state'] not in expected:
            raise exception.UnexpectedTaskStateError(
                instance_uuid=self.uuid, expected=expected_task_state,
                actual=self._row['task_state'])
        self._write()

    def apply_migration_context(self):
        pass

    drop_migration_context = apply_migration_context

    @property
    def name(self):
        return f'instance-{self.uuid[:8]}'


class BlockDeviceMapping(Row):
    FIELDS = ('id', 'instance_uuid', 'volume_id', 'attachment_id', 'connection_info',
              'device_name', 'updated_at', 'is_volume')

    def save(self, *_args, **_kwargs):
        changed = self._changed & {'attachment_id', 'connection_info'}
        self._database.world.point('bdm')
        if self._row.get('gone'):
            raise exception.NotFound()
        self._write()
        if changed:
            self._database.world.row_written(self._row)

    def destroy(self):
        self._database.world.point('bdm')
        self._row['gone'] = True
        self._database.bdms.pop(self.id, None)


class Migration(Row):
    FIELDS = ('id', 'uuid', 'instance_uuid', 'source_compute', 'dest_compute', 'source_node',
              'dest_node', 'status', 'migration_type', 'updated_at')


class ListOf(list):
    """A list of Nova objects."""

    def __init__(self, objects=()):
        super().__init__(objects)

    @property
    def objects(self):
        return self


def module(current):
    """What nova.objects has of them, by name.

    :param current: gives the database of the world whose turn it is
    """
    def instance(_context, uuid, **_kwargs):
        row = current().instances.get(uuid)
        if row is None or row.get('deleted'):
            raise exception.InstanceNotFound(instance_id=uuid)
        return Instance(current(), row)

    def instances(_context, filters, **_kwargs):
        return ListOf(Instance(current(), row) for row in current().instances.values()
                      if all(row.get(key) == value or key == 'uuid' and row[key] in value
                             for key, value in filters.items()
                             if key in ('host', 'task_state', 'uuid'))
                      and not row.get('deleted'))

    def uuids_by_host(_context, host):
        return [row['uuid'] for row in current().instances.values()
                if row['host'] == host and not row.get('deleted')]

    def bdms(_context, uuid, **_kwargs):
        return ListOf(BlockDeviceMapping(current(), row) for row in current().bdms.values()
                      if row['instance_uuid'] == uuid)

    def bdm(_context, volume_id, instance_uuid, **_kwargs):
        for row in current().bdms.values():
            if (row['volume_id'], row['instance_uuid']) == (volume_id, instance_uuid):
                return BlockDeviceMapping(current(), row)
        raise exception.VolumeBDMNotFound(volume_id=volume_id)

    def migrations(_context, filters, marker=None, **_kwargs):
        after = current().migrations[marker]['id'] if marker else 0
        return ListOf(Migration(current(), row) for row in current().migrations.values()
                      if row['id'] > after and _matches(row, filters))

    def migration(_context, uuid):
        row = current().migrations.get(uuid)
        if row is None:
            raise exception.MigrationNotFound(migration_id=uuid)
        return Migration(current(), row)

    def by_status(context, uuid, status):
        found = [one for one in migrations(context, {'instance_uuid': uuid})
                 if one.status == status]
        if not found:
            raise exception.MigrationNotFoundByStatus(instance_id=uuid, status=status)
        return found[-1]

    def by_id(_context, number):
        return next(Migration(current(), row) for row in current().migrations.values()
                    if row['id'] == number)

    def bind(kind, **methods):
        return type(kind.__name__, (kind,), {
            name: staticmethod(method) for name, method in methods.items()})

    return {
        'Instance': bind(Instance, get_by_uuid=instance),
        'InstanceList': bind(ListOf, get_by_filters=instances, get_by_host=lambda c, h, **_k:
                             instances(c, {'host': h}), get_uuids_by_host=uuids_by_host),
        'BlockDeviceMapping': bind(BlockDeviceMapping, get_by_volume_and_instance=bdm),
        'BlockDeviceMappingList': bind(
            ListOf, get_by_instance_uuid=bdms, bdms_by_instance_uuid=lambda c, uuids:
            {uuid: bdms(c, uuid) for uuid in uuids}),
        'Migration': bind(Migration, get_by_uuid=migration, get_by_id=by_id,
                          get_by_instance_and_status=by_status),
        'Service': bind(Row, get_by_compute_host=lambda _context, host: service(
            current().world.hosts[host])),
        'ServiceList': bind(ListOf, get_by_binary=lambda _context, _binary, **_kwargs: ListOf(
            service(host) for host in current().world.hosts.values())),
        'MigrationList': bind(ListOf, get_by_filters=migrations),
        'InstanceActionList': bind(ListOf, get_by_instance_uuid=lambda _c, _uuid: ListOf()),
    }


def service(host):
    """Nova's record of a nova-compute, which reports every ten seconds."""
    return types.SimpleNamespace(
        host=host.name, topic='compute', binary='nova-compute', created_at=EPOCH,
        forced_down=host.forced_down, report_count=int(host.heard // 10),
        last_seen_up=EPOCH + datetime.timedelta(seconds=host.heard // 10 * 10))


class ServiceGroup:
    """nova.servicegroup, by the clock of nobody."""

    def __init__(self, current):
        self._current = current

    def API(self):
        return self

    def service_is_up(self, found):
        age = self._current().loop.now - self._current().hosts[found['host']].heard
        return not found['forced_down'] and age < 60


def _matches(row, filters):
    for key, value in filters.items():
        if key == 'host':
            if value not in (row['source_compute'], row['dest_compute']):
                return False
        elif isinstance(value, (list, tuple, set, frozenset)):
            if row.get(key) not in value:
                return False
        elif key in row and row[key] != value:
            return False
    return True


def lun_of(connection_info):
    """The LUN number in the connection_info of a row."""
    info = connection_info
    if isinstance(info, str):
        info = json.loads(info)
    return ((info or {}).get('data') or {}).get('target_lun')
