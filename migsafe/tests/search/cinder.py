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
"""Cinder's attachments, as Nova's client shows them."""

import copy
import types

from nova import exception

from migsafe.tests.search import array


class Cinder:
    """Attachments, and the exports that they stand for.

    :param world: has the array
    """

    def __init__(self, world):
        self.world, self.rows, self._count = world, {}, 0

    def _new(self, volume, instance):
        self._count += 1
        found = f'a77a0000-0000-4000-8000-{self._count:012d}'
        self.rows[found] = {'id': found, 'volume_id': volume, 'instance': instance,
                            'connector': None, 'connection_info': {}, 'status': 'reserved',
                            'attach_mode': 'rw', 'host_name': None}
        return self.rows[found]

    def create(self, volume, instance, connector):
        """As attachment_create: with a connector it maps the volume."""
        row = self._new(volume, instance)
        if connector:
            self.connect(row, connector)
        return row

    def connect(self, row, connector):
        """Map it to a host."""
        lun = self.world.array.export(connector['host'], row['volume_id'])
        row.update(connector=connector, status='attaching', connection_info={
            'driver_volume_type': 'iscsi', 'attachment_id': row['id'],
            'volume_id': row['volume_id'], 'data': {
                'target_iqn': array.IQN, 'target_lun': lun,
                'target_portal': '192.0.2.7:3260', 'volume_id': row['volume_id']}})

    def complete(self, attachment_id):
        row = self.get(attachment_id)
        row['status'] = 'attached'
        # NOTE: VolumeManager tells the host of an attachment only once it is complete.
        row['host_name'] = (row['connector'] or {}).get('host')

    def get(self, attachment_id):
        if attachment_id not in self.rows:
            raise exception.VolumeAttachmentNotFound(attachment_id=attachment_id)
        return self.rows[attachment_id]

    def delete(self, attachment_id):
        """The mapping goes with the last attachment of that volume to that host."""
        row = self.get(attachment_id)
        del self.rows[attachment_id]
        host = (row['connector'] or {}).get('host')
        if host and not self.of(host, row['volume_id']):
            self.world.array.unexport(host, row['volume_id'])

    def of(self, host, volume):
        """Attachments of a volume to a host."""
        return [row for row in self.rows.values() if row['volume_id'] == volume
                and (row['connector'] or {}).get('host') == host]

    def __call__(self, *_args, **_kwargs):
        """A cinderclient."""
        return types.SimpleNamespace(
            attachments=types.SimpleNamespace(list=self._list),
            volumes=types.SimpleNamespace(get=self._volume))

    def _list(self, search_opts=None, **_kwargs):
        self.world.point('cinder.list')
        wanted = search_opts or {}
        return [_Shown(row) for row in self.rows.values()
                if wanted.get('instance_id') in (None, row['instance'])
                and wanted.get('volume_id') in (None, row['volume_id'])]

    def _volume(self, volume_id):
        return types.SimpleNamespace(
            id=volume_id, multiattach=False, status='in-use', attachments=[
                {'attachment_id': row['id'], 'server_id': row['instance'],
                 'host_name': row['host_name']}
                for row in self.rows.values()
                if row['volume_id'] == volume_id and row['status'] == 'attached'])


class _Shown:
    def __init__(self, row):
        self._row = row
        self.id, self.volume_id = row['id'], row['volume_id']

    def to_dict(self):
        return {key: copy.deepcopy(self._row[key])
                for key in ('id', 'volume_id', 'instance', 'status', 'attach_mode')}


class API:
    """nova.volume.cinder.API; each call may fail, or be where a process ends.

    :param world: has Cinder
    """

    def __init__(self, world):
        self._world, self._cinder = world, world.cinder

    def attachment_create(self, ctx, volume_id, instance_id, connector=None, mountpoint=None):
        with self._world.effect('attachment_create'):
            row = self._cinder.create(volume_id, instance_id, connector)
            return {'id': row['id'], 'connection_info': copy.deepcopy(row['connection_info'])}

    def attachment_update(self, ctx, attachment_id, connector, mountpoint=None):
        with self._world.effect('attachment_update'):
            row = self._cinder.get(attachment_id)
            self._cinder.connect(row, connector)
            return {'id': row['id'], 'connection_info': copy.deepcopy(row['connection_info'])}

    def attachment_complete(self, ctx, attachment_id):
        with self._world.effect('attachment_complete'):
            self._cinder.complete(attachment_id)

    def attachment_get(self, ctx, attachment_id):
        return copy.deepcopy({key: value for key, value in self._cinder.get(
            attachment_id).items() if key not in ('connector', 'host_name')})

    def attachment_get_all(self, ctx, instance_id=None, volume_id=None):
        return [{'id': row['id']} for row in self._cinder.rows.values()
                if row['instance'] == instance_id]

    def attachment_delete(self, ctx, attachment_id):
        with self._world.effect('attachment_delete'):
            self._cinder.delete(attachment_id)

    def roll_detaching(self, ctx, volume_id):
        pass

    def get(self, ctx, volume_id):
        return {'id': volume_id, 'status': 'in-use', 'attach_status': 'attached'}
