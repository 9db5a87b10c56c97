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
"""python-cinderclient above the laboratory's Cinder; nova.volume.cinder runs above it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from cinderclient.v3 import attachments as v3_attachments
from cinderclient.v3 import volumes as v3_volumes

from migsafe.replay.lab import world as lab_world
from migsafe.replay.lab.cinder import Attachment, Cinder


class _Manager:
    """A manager of the client: every call is one external effect."""

    def __init__(self, cinder: Cinder, world: lab_world.World) -> None:
        self._cinder = cinder
        self._world = world

    def _do(self, name: str, volume_id: str | None, call: Callable[[], Any]) -> Any:
        return self._world.effect('cinder', name, volume_id, call)

    def _volume_of(self, attachment_id: str) -> str | None:
        attachment = self._cinder.attachments.get(attachment_id)
        return attachment.volume_id if attachment else None


class Attachments(_Manager):
    """client.attachments"""

    def _resource(self, attachment: Attachment) -> Any:
        return v3_attachments.VolumeAttachment(self, attachment.view(), loaded=True)

    def create(self, volume_id: str, connector: dict[str, Any] | None, instance_id: str,
               mode: str = 'null') -> dict[str, Any]:
        view: dict[str, Any] = self._do(
            'attachments.create', volume_id,
            lambda: self._cinder.create(volume_id, connector, instance_id).view())
        return view

    def show(self, attachment_id: str) -> Any:
        return self._do('attachments.show', self._volume_of(attachment_id),
                        lambda: self._resource(self._cinder.attachment(attachment_id)))

    def update(self, attachment_id: str, connector: dict[str, Any]) -> Any:
        return self._do(
            'attachments.update', self._volume_of(attachment_id),
            lambda: self._resource(self._cinder.update(attachment_id, connector)))

    def complete(self, attachment_id: str) -> None:
        self._do('attachments.complete', self._volume_of(attachment_id),
                 lambda: self._cinder.complete(attachment_id))

    def delete(self, attachment_id: str) -> None:
        self._do('attachments.delete', self._volume_of(attachment_id),
                 lambda: self._cinder.delete(attachment_id))

    def list(self, detailed: bool = False, search_opts: dict[str, Any] | None = None,
             **_: Any) -> list[Any]:
        wanted = {'instance_uuid' if k == 'instance_id' else k: v
                  for k, v in (search_opts or {}).items() if k in ('instance_id', 'volume_id')}

        def found() -> Any:
            return [self._resource(a) for a in list(self._cinder.attachments.values())
                    if all(getattr(a, k) == v for k, v in wanted.items())]

        result: Any = self._do('attachments.list', wanted.get('volume_id'), found)
        return list(result)


class Volumes(_Manager):
    """client.volumes"""

    def get(self, volume_id: str) -> Any:
        return self._do('volumes.get', volume_id, lambda: self._view(volume_id))

    def _view(self, volume_id: str) -> Any:
        volume = self._cinder.volume(volume_id)
        attached = [{'id': volume.id, 'attachment_id': a.id, 'server_id': a.instance_uuid,
                     'host_name': a.host, 'device': '/dev/vdb', 'volume_id': volume.id}
                    for a in self._cinder.of_volume(volume_id) if a.status == 'attached']
        return v3_volumes.Volume(self, {
            'id': volume.id, 'status': volume.status, 'size': volume.size, 'name': volume.id,
            'availability_zone': 'nova', 'created_at': '', 'description': '',
            'attachments': attached, 'multiattach': volume.multiattach, 'volume_type': None,
            'snapshot_id': None, 'bootable': volume.bootable, 'metadata': {},
            'volume_image_metadata': {}, 'encrypted': volume.encrypted,
            'shared_targets': False, 'service_uuid': None,
            'migration_status': volume.migration_status,
        }, loaded=True)

    def get_encryption_metadata(self, volume_id: str) -> dict[str, Any]:
        def found() -> dict[str, Any]:
            if not self._cinder.volume(volume_id).encrypted:
                return {}
            return {'provider': 'luks', 'cipher': 'aes-xts-plain64', 'key_size': 256,
                    'control_location': 'front-end',
                    'encryption_key_id': '00000000-0000-0000-0000-000000000000'}
        answer: dict[str, Any] = self._do('volumes.get_encryption_metadata', volume_id, found)
        return answer

    def initialize_connection(self, volume: str, connector: dict[str, Any]) -> Any:
        return self._do('volumes.initialize_connection', volume,
                        lambda: self._cinder.connect_legacy(volume, connector))

    def terminate_connection(self, volume: str, connector: dict[str, Any]) -> None:
        self._do('volumes.terminate_connection', volume,
                 lambda: self._cinder.disconnect_legacy(volume, connector))

    def migrate_volume_completion(self, old_volume: str, new_volume: str,
                                  error: bool) -> dict[str, str]:
        def complete() -> dict[str, str]:
            return {'save_volume_id': self._cinder.migrate_completion(
                old_volume, new_volume, error)}
        answer: dict[str, str] = self._do('volumes.migrate_volume_completion', old_volume,
                                          complete)
        return answer

    def attach(self, volume: str, instance_uuid: str, mountpoint: str, mode: str = 'rw',
               host_name: str | None = None) -> None:
        self._set('volumes.attach', volume, 'in-use')

    def detach(self, volume: str, attachment_uuid: str | None = None) -> None:
        self._do('volumes.detach', volume, lambda: self._cinder.detach_legacy(volume))

    def delete(self, volume: str) -> None:
        self._do('volumes.delete', volume, lambda: self._cinder.delete_volume(volume))

    def reserve(self, volume: str) -> None:
        self._set('volumes.reserve', volume, 'reserved')

    def unreserve(self, volume: str) -> None:
        self._set('volumes.unreserve', volume, 'available')

    def begin_detaching(self, volume: str) -> None:
        self._set('volumes.begin_detaching', volume, 'detaching')

    def roll_detaching(self, volume: str) -> None:
        self._set('volumes.roll_detaching', volume, 'in-use')

    def _set(self, name: str, volume_id: str, status: str) -> None:
        def change() -> None:
            self._cinder.volume(volume_id).status = status
        self._do(name, volume_id, change)


class Client:
    """What nova.volume.cinder.cinderclient() returns."""

    def __init__(self, cinder: Cinder, world: lab_world.World) -> None:
        self.attachments = Attachments(cinder, world)
        self.volumes = Volumes(cinder, world)


def client_factory(cinder: Cinder, world: lab_world.World) -> Callable[..., Client | None]:
    """A replacement for nova.volume.cinder.cinderclient."""
    def build(_cinder: Cinder, context: Any, microversion: str | None = None,
              skip_version_check: bool = False, check_only: bool = False) -> Client | None:
        return None if check_only else Client(_cinder, world)
    return functools.partial(build, cinder)
