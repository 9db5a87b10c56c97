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
"""The kernels of the hosts, and os-brick's connectors above them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from os_brick import exception as brick_exc
from oslo_concurrency import processutils

from migsafe.brick import refusals
from migsafe.brick.guard import kept_devices, policy
from migsafe.replay.lab import san as lab_san
from migsafe.replay.lab import world as lab_world

_BY_PATH = '/dev/disk/by-path/ip-{portal}-iscsi-{iqn}-lun-{lun}'


@dataclasses.dataclass
class Device:
    """One SCSI device: a LUN number of a target, and the disk it led to when it was found.

    :param dead: the export was taken away, or its paths were removed by force.
    """

    path: str
    iqn: str
    lun: int
    volume_id: str
    stranger: bool
    dead: bool = False


class Kernel:
    """The block devices of one host."""

    def __init__(self, host: str, san: lab_san.San, world: lab_world.World) -> None:
        self.host = host
        self._san = san
        self._world = world
        self.devices: dict[str, Device] = {}
        self.held: dict[str, str] = {}
        #: whether os-brick is guarded here, so that nothing is done to a device that is held
        self.guarded = False
        self.opened: Callable[[str], bool] = lambda path: False

    def find(self, props: dict[str, Any]) -> Device | None:
        """The device with that number, also when a stranger's guest uses it."""
        array = self._san.by_iqn(props['target_iqn'])
        lun = int(props['target_lun'])
        path = _BY_PATH.format(portal=array.portal, iqn=array.iqn, lun=lun)
        if path in self.devices:
            return self.devices[path]
        if array.leads_to(self.host, lun) == array.stranger(self.host, lun):
            return Device(path, array.iqn, lun, array.stranger(self.host, lun), True)
        return None

    def connect(self, props: dict[str, Any]) -> Device:
        """Scan for a LUN; like a kernel, never ask whose it is.

        :raises os_brick.exception.VolumeDeviceNotFound: if nothing has this number here.
        """
        array = self._san.by_iqn(props['target_iqn'])
        lun = int(props['target_lun'])
        path = _BY_PATH.format(portal=array.portal, iqn=array.iqn, lun=lun)
        volume_id = array.leads_to(self.host, lun)
        if volume_id is None:
            raise brick_exc.VolumeDeviceNotFound(device=path)
        wanted = props.get('volume_id')
        stranger = volume_id != wanted
        if stranger:
            self._world.harm('foreign_connect', self.host,
                             f'LUN {lun} is {volume_id}, not {wanted}')
        device = self.devices.get(path)
        if device is None or device.volume_id != volume_id or device.dead:
            device = self.devices[path] = Device(path, array.iqn, lun, volume_id, stranger)
        return device

    def disconnect(self, props: dict[str, Any], force: bool) -> None:
        """Remove the device with that number, whatever disk it is.

        :raises oslo_concurrency.processutils.ProcessExecutionError: if something holds it.
        :raises migsafe.brick.refusals.VolumeHeld: the same where os-brick is guarded.
        """
        device = self.find(props)
        if device is None:
            return
        holder = self.held.get(device.volume_id)
        if holder is not None:
            if self.guarded:
                raise refusals.VolumeHeld(volume=device.volume_id, host=self.host,
                                          device=device.path, holder=holder,
                                          left=refusals.LEFT, way_out='')
            if force:
                device.dead = True
                self._world.harm('held_yank', self.host, f'{device.path} held by {holder}')
            raise processutils.ProcessExecutionError(
                cmd=f'multipath -f {device.path}', exit_code=1,
                stdout=f'{device.path}: map in use\n', stderr='')
        if device.stranger:
            self._world.harm('foreign_yank', self.host,
                             f'LUN {device.lun} is {device.volume_id}')
        elif self.opened(device.path):
            self._world.harm('guest_yank', self.host, f'{device.path} is open')
        self.devices.pop(device.path, None)

    def export_gone(self, volume_id: str) -> None:
        """The array does not export this volume here any more."""
        for device in self.devices.values():
            if device.volume_id == volume_id and not device.dead:
                device.dead = True
                kind = 'guest_export_lost' if self.opened(device.path) else 'export_yank'
                self._world.harm(kind, self.host, f'{device.path} of {volume_id}')

    def exchange(self, one: str, other: str) -> None:
        """Cinder has exchanged the ids of two volumes."""
        ids = {one: other, other: one}
        for device in self.devices.values():
            device.volume_id = ids.get(device.volume_id, device.volume_id)

    def forget(self, volumes: list[str]) -> None:
        """Drop everything of these volumes, to leave nothing to the next case."""
        wanted = {v: d for v, d in self.devices.items()
                  if d.volume_id not in volumes and not d.stranger}
        self.devices = wanted
        self.held = {}


class Connector:
    """What InitiatorConnector.factory() returns; it acts on the kernel of the calling host."""

    def __init__(self, kernels: dict[str, Kernel], world: lab_world.World) -> None:
        self._kernels = kernels
        self._world = world

    def _kernel(self) -> Kernel:
        host = self._world.host()
        if host not in self._kernels:
            raise LookupError(f'os-brick was called by {host}, which is not a compute host; '
                              f'run it inside World.entered()')
        return self._kernels[host]

    def connect_volume(self, connection_properties: dict[str, Any]) -> dict[str, Any]:
        """As os-brick."""
        def connect() -> dict[str, Any]:
            return {'type': 'block', 'path': self._kernel().connect(connection_properties).path}
        return self._world.effect(
            'brick', 'connect_volume', connection_properties.get('volume_id'), connect)

    def disconnect_volume(self, connection_properties: dict[str, Any], device_info: Any,
                          force: bool = False, ignore_errors: bool = False) -> None:
        """As os-brick: by number, and with ``ignore_errors`` without a word."""
        def disconnect() -> None:
            kernel = self._kernel()
            try:
                with kept_devices.watching(kernel.host, policy.name_of(connection_properties)):
                    kernel.disconnect(connection_properties, force)
            except processutils.ProcessExecutionError:
                if not ignore_errors:
                    raise
        self._world.effect(
            'brick', 'disconnect_volume', connection_properties.get('volume_id'), disconnect)

    def get_volume_paths(self, connection_properties: dict[str, Any]) -> list[str]:
        """As os-brick: the paths that exist now."""
        device = self._kernel().find(connection_properties)
        return [device.path] if device else []

    def extend_volume(self, connection_properties: dict[str, Any]) -> int:
        """As os-brick: the new size in bytes."""
        return 2 << 30


def connector_properties(host: str, base: dict[str, Any], number: int) -> dict[str, Any]:
    """What get_connector_properties() finds on a host.

    :param base: the connector that was recorded in the incident, on the destination.
    :param number: makes the initiator of this host another one.
    """
    if base['host'] == host:
        return dict(base)
    return dict(base, host=host, ip=f'172.24.9.{100 + number}',
                initiator=f"{base['initiator'][:-1]}{number:x}f")
