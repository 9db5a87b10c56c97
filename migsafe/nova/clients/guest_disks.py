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
"""A guest's disks for the preflight: as this host's libvirt has them, and as Nova's rows do."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable
from typing import Any

from nova import block_device, objects
from nova import context as nova_context
from nova.compute import utils as compute_utils
from oslo_log import log as logging

from migsafe.brick.guard import policy
from migsafe.nova.clients.records import connection_info
from migsafe.preflight.guest import Disk, Guest, Storage, Volume
from migsafe.text import masked

LOG = logging.getLogger(__name__)


def read(driver: Any, instance_uuid: str) -> Guest:
    """What a guest of this host has; nothing is changed.

    :param driver: Nova's libvirt driver
    :raises nova.exception.InstanceNotFound: Nova has no such instance, or libvirt no such guest
    """
    context = nova_context.get_admin_context()
    instance = objects.Instance.get_by_uuid(context, instance_uuid)
    rows = objects.BlockDeviceMappingList.get_by_instance_uuid(context, instance_uuid)
    return of(driver, context, instance, rows)


def of(driver: Any, context: Any, instance: Any, rows: Any) -> Guest:
    """The same of an instance with its rows."""
    config = _config(driver, instance)
    mapped = [row for row in rows if row.is_volume and row.connection_info]
    info = {'block_device_mapping': [
        {'mount_device': row.device_name or ''} for row in mapped]}
    volumes = volumes_of(rows)
    guest = Guest(instance.uuid, _disks(config), volumes, bool(
        compute_utils.is_volume_backed_instance(context, instance, rows)))
    return Guest(guest.uuid, tuple(_measured(driver, config, info, guest)), volumes,
                 guest.volume_backed)


def outline(driver: Any, instance: Any, volumes: tuple[Volume, ...]) -> Guest:
    """A guest whose disks are not measured, which takes time and tells nothing of their fate."""
    return Guest(instance.uuid, _disks(_config(driver, instance)), volumes)


def volumes_of(rows: Any) -> tuple[Volume, ...]:
    """The volumes among the rows of an instance."""
    return tuple(map(_volume, filter(lambda row: row.is_volume, rows)))


def mapped(info: Any) -> tuple[Volume, ...]:
    """The volumes of a block_device_info, which are those that are connected."""
    return tuple(Volume(str(one.volume_id), block_device.strip_dev(one['mount_device'] or ''))
                 for one in (info or {}).get('block_device_mapping') or ())


def storage(conf: Any, version: str) -> Storage:
    """What this host keeps images in.

    :param conf: Nova's configuration
    :param version: of Nova
    """
    kind = conf.libvirt.images_type
    first = version.partition('.')[0]
    return Storage(kind, conf.instances_path, bool(conf.libvirt.live_migration_tunnelled),
                   int(first) if first.isdigit() else 0)


def _config(driver: Any, instance: Any) -> Any:
    return driver._host.get_guest(instance).get_config()


def _disks(config: Any) -> tuple[Disk, ...]:
    return tuple(_disk(device) for device in config.devices if device.root_name == 'disk')


def _disk(device: Any) -> Disk:
    return Disk(
        str(device.target_dev or device.target_path or ''), str(device.source_type or ''),
        str(device.source_path or device.source_name or ''), str(device.source_device or ''),
        bool(device.readonly), bool(device.shareable), str(device.serial or ''))


def _volume(row: Any) -> Volume:
    info = connection_info(row.connection_info) or {}
    data = info.get('data') or {}
    return Volume(
        str(row.volume_id), block_device.strip_dev(row.device_name or ''), bool(info),
        str(info.get('driver_volume_type') or ''),
        any(len(data.get(name) or ()) > 1 for name in ('target_luns', 'target_portals', 'portals'))
        or bool(data.get('multipath_id')), bool(data.get(policy.KEY)))


def _measured(driver: Any, config: Any, info: dict[str, Any], guest: Guest) -> Iterable[Disk]:
    """The disks with the sizes that Nova itself finds of those that it takes for local ones."""
    local, found = guest.local(), {}
    missing = {disk.name for disk in local if not os.path.exists(disk.name)}
    try:
        found = {one['path']: one for one in
                 driver._get_instance_disk_info_from_config(config, info)}
    except Exception as error:
        LOG.info('A disk of instance %s cannot be measured: %s', guest.uuid, masked(error))
        missing = missing or {disk.name for disk in local}
    for disk in guest.disks:
        if disk not in local:
            yield disk
        elif disk.name in missing:
            yield dataclasses.replace(disk, size=None)
        else:
            sizes = found.get(disk.name, {})
            yield dataclasses.replace(disk, size=int(sizes.get('virt_disk_size', 0)),
                                      used=int(sizes.get('disk_size', 0)))
