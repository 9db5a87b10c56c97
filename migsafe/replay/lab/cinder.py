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
"""Cinder: volumes, attachments, and the exports that follow them."""

from __future__ import annotations

import copy
import dataclasses
import uuid
from collections.abc import Callable
from typing import Any

from cinderclient import exceptions as cinder_exc

from migsafe.replay.lab import san as lab_san


@dataclasses.dataclass
class Volume:
    """A row of Cinder's volumes table."""

    id: str
    backend: str = 'iscsi'
    status: str = 'available'
    multiattach: bool = False
    encrypted: bool = False
    bootable: bool = True
    size: int = 1
    migration_status: str | None = None


@dataclasses.dataclass
class Attachment:
    """A row of Cinder's volume_attachment table."""

    id: str
    volume_id: str
    instance_uuid: str
    status: str = 'reserved'
    host: str | None = None
    connection_info: dict[str, Any] = dataclasses.field(default_factory=dict)

    def view(self) -> dict[str, Any]:
        """What the attachments API answers for it."""
        return {'id': self.id, 'volume_id': self.volume_id, 'instance': self.instance_uuid,
                'status': self.status, 'attach_mode': 'rw', 'attached_at': '',
                'detached_at': '', 'connection_info': copy.deepcopy(self.connection_info)}


class Cinder:
    """The state of Cinder and the operations on it, without the client around it."""

    def __init__(self, san: lab_san.San, on_unmap: Callable[[str, str], None],
                 on_exchange: Callable[[str, str], None]) -> None:
        self.san = san
        self._on_unmap, self._on_exchange = on_unmap, on_exchange
        #: ids of volumes that were deleted
        self.deleted: list[str] = []
        self.volumes: dict[str, Volume] = {}
        self.attachments: dict[str, Attachment] = {}

    def volume(self, volume_id: str) -> Volume:
        """:raises cinderclient.exceptions.NotFound: as Cinder does."""
        if volume_id not in self.volumes:
            raise cinder_exc.NotFound(404, f'Volume {volume_id} could not be found.')
        return self.volumes[volume_id]

    def attachment(self, attachment_id: str) -> Attachment:
        """:raises cinderclient.exceptions.NotFound: as Cinder does."""
        if attachment_id not in self.attachments:
            raise cinder_exc.NotFound(
                404, f'Volume attachment {attachment_id} could not be found.')
        return self.attachments[attachment_id]

    def of_volume(self, volume_id: str) -> list[Attachment]:
        """All attachments of a volume."""
        return [a for a in self.attachments.values() if a.volume_id == volume_id]

    def create(self, volume_id: str, connector: dict[str, Any] | None,
               instance_uuid: str) -> Attachment:
        """Reserve, or with a connector also export, a volume for an instance.

        Cinder allows a second attachment of a volume that is not multiattach only to the same
        instance: that is what a live migration needs.
        """
        volume = self.volume(volume_id)
        others = {a.instance_uuid for a in self.of_volume(volume_id)} - {instance_uuid}
        if others and not volume.multiattach:
            raise cinder_exc.BadRequest(
                400, f'Invalid volume: volume {volume_id} is already attached')
        attachment = Attachment(str(uuid.uuid4()), volume_id, instance_uuid)
        self.attachments[attachment.id] = attachment
        if connector:
            self._connect(attachment, connector)
        self._settle_status(volume)
        return attachment

    def update(self, attachment_id: str, connector: dict[str, Any]) -> Attachment:
        """Give a reserved attachment its host; Cinder refuses a second connected one here."""
        attachment = self.attachment(attachment_id)
        volume = self.volume(attachment.volume_id)
        connected = [a for a in self.of_volume(volume.id)
                     if a.host and a.id != attachment_id and not volume.multiattach]
        if connected:
            raise cinder_exc.BadRequest(400, 'duplicate connectors detected on volume')
        self._connect(attachment, connector)
        self._settle_status(volume)
        return attachment

    def complete(self, attachment_id: str) -> None:
        """Mark an attachment attached."""
        attachment = self.attachment(attachment_id)
        attachment.status = 'attached'
        self._settle_status(self.volume(attachment.volume_id))

    def delete(self, attachment_id: str) -> None:
        """Unexport and forget an attachment."""
        attachment = self.attachment(attachment_id)
        if attachment.host:
            self._unmap(attachment.host, attachment.volume_id, attachment.id)
        del self.attachments[attachment_id]
        self._settle_status(self.volume(attachment.volume_id))

    def migrate_completion(self, old_id: str, new_id: str, error: bool) -> str:
        """os-migrate_volume_completion of a volume in use, see cinder/volume/manager.py.

        :returns: the id that the guest's volume has from now on
        :raises cinderclient.exceptions.BadRequest: if they are not being migrated
        """
        old, new = self.volume(old_id), self.volume(new_id)
        if not old.migration_status or new.migration_status != f'target:{old_id}':
            raise cinder_exc.BadRequest(400, 'Source volume not mid-migration.')
        if error:
            self.destroy(new_id)
            old.status, old.migration_status = 'in-use', 'error'
            return old_id
        for attachment in self.of_volume(old_id):
            self.delete(attachment.id)
        self.san.exchange(old_id, new_id)
        self._on_exchange(old_id, new_id)
        old.backend, new.backend = new.backend, old.backend
        for attachment in self.of_volume(new_id):
            attachment.volume_id = old_id
        old.status, old.migration_status = 'in-use', 'success'
        self.destroy(new_id)
        return old_id

    def delete_volume(self, volume_id: str) -> None:
        """DELETE of a volume, see cinder/volume/api.py.

        :raises cinderclient.exceptions.BadRequest: if it is attached, reserved or migrated
        """
        volume = self.volume(volume_id)
        if (self.of_volume(volume_id) or volume.status not in ('available', 'error')
                or volume.migration_status not in (None, 'success', 'error')):
            raise cinder_exc.BadRequest(
                400, f'Invalid volume: Volume {volume_id} must not be migrating, attached, ...')
        self.destroy(volume_id)

    def destroy(self, volume_id: str) -> None:
        """Delete a volume, with whatever is exported of it."""
        for attachment in self.of_volume(volume_id):
            self.delete(attachment.id)
        self.deleted.append(volume_id)
        del self.volumes[volume_id]

    def connect_legacy(self, volume_id: str, connector: dict[str, Any]) -> dict[str, Any]:
        """os-initialize_connection, of the flow before attachments."""
        return self._export(self.volume(volume_id), connector['host'], 'legacy')

    def disconnect_legacy(self, volume_id: str, connector: dict[str, Any]) -> None:
        """os-terminate_connection."""
        self._unmap(connector['host'], self.volume(volume_id).id, 'legacy')

    def detach_legacy(self, volume_id: str) -> None:
        """os-detach: the driver removes the export, see cinder/volume/manager.py."""
        for export in self.san.exports(self.volume(volume_id).id):
            self._unmap(export.host, volume_id, 'legacy')
        self.volume(volume_id).status = 'available'

    def _connect(self, attachment: Attachment, connector: dict[str, Any]) -> None:
        info = self._export(self.volume(attachment.volume_id), connector['host'], attachment.id)
        attachment.host = connector['host']
        attachment.status = 'attaching'
        # the attachments API shows the data flat, see cinder/volume/manager.py
        attachment.connection_info = {
            **info['data'], 'driver_volume_type': info['driver_volume_type'],
            'attachment_id': attachment.id}

    def _export(self, volume: Volume, host: str, user: str) -> dict[str, Any]:
        array = self.san.arrays[volume.backend]
        export = array.map(host, volume.id, user)
        common = {'volume_id': volume.id, 'encrypted': volume.encrypted, 'qos_specs': None,
                  'access_mode': 'rw'}
        if volume.backend == 'rbd':
            monitor, port = array.portal.split(':')
            return {'driver_volume_type': 'rbd', 'data': {
                **common, 'name': f'volumes/volume-{volume.id}', 'hosts': [monitor],
                'ports': [port], 'auth_enabled': False, 'auth_username': None,
                'secret_type': 'ceph', 'secret_uuid': None}}
        return {'driver_volume_type': 'iscsi', 'data': {
            **common, 'target_discovered': False, 'target_iqn': array.iqn,
            'target_portal': array.portal, 'target_lun': export.lun}}

    def _unmap(self, host: str, volume_id: str, user: str) -> None:
        if self.san.arrays[self.volume(volume_id).backend].unmap(host, volume_id, user):
            self._on_unmap(host, volume_id)

    def _settle_status(self, volume: Volume) -> None:
        states = {a.status for a in self.of_volume(volume.id)}
        order = (('attached', 'in-use'), ('attaching', 'attaching'), ('reserved', 'reserved'))
        volume.status = next((v for a, v in order if a in states), 'available')
