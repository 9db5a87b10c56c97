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
"""Block devices of this host, through Nova's libvirt volume drivers."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from nova import context as nova_context
from nova import exception, objects
from nova.conf import CONF
from nova.virt.libvirt.volume import fs
from nova.volume import cinder

from migsafe.brick import errors
from migsafe.brick.connectors import shim, whereabouts
from migsafe.brick.guard import identity_check, judge, policy
from migsafe.brick.identity import designators, noted
from migsafe.brick.kernel import disks, sysfs
from migsafe.text import shell
from migsafe.transaction.clients import ConnectionInfo

#: driver_volume_type -> whether os-brick's get_volume_paths() itself leaves
#: out what does not exist. Types that are not listed have no block device of
#: their own on the host (RBD in QEMU, NFS), so there is nothing to find.
LOOKED_UP = {'iscsi': True, 'iser': True, 'fibre_channel': True,
             'nvmeof': False}
#: Statuses of attachments that no host has a device for (VolumeAttachStatus).
WITHOUT_DEVICE = frozenset(('reserved', 'detached', 'deleted'))


class Devices:
    """See :class:`migsafe.transaction.clients.Devices`."""

    def __init__(self, manager: Any) -> None:
        self._manager = manager

    def paths(self, instance_uuid: str, info: ConnectionInfo) -> list[str]:
        return own_paths(self._manager.driver, self._manager.host,
                         instance_uuid, info)

    def is_volume(self, path: str, info: ConnectionInfo) -> bool | None:
        return is_volume(self._manager.host, path, info['data'])

    def observable(self, info: ConnectionInfo) -> bool:
        return str(info.get('driver_volume_type')) in LOOKED_UP

    def disconnect(self, instance_uuid: str, info: ConnectionInfo) -> None:
        driver, host = self._manager.driver, self._manager.host
        if _counted(driver, info) or not _shared(host, instance_uuid, info):
            context = nova_context.get_admin_context()
            # Nova counts the users of a multiattach volume on this host.
            driver._disconnect_volume(context, info, objects.Instance(
                context=context, uuid=instance_uuid, host=host))


def own_paths(driver: Any, host: str, instance_uuid: str,
              info: ConnectionInfo) -> list[str]:
    """Block devices of a connection on this host that are only this guest's.

    A LUN number that was given up is used again at once: what says itself that it is another
    disk is not one of them.

    :param driver: the libvirt driver of this host
    :param host: this host
    """
    kind = str(info.get('driver_volume_type'))
    if kind not in LOOKED_UP:
        return []
    connector = driver._get_volume_driver(info).connector
    found = [path for path in whereabouts.paths(connector, info['data'], host)
             if LOOKED_UP[kind] or os.path.lexists(path)]
    found = [path for path in found if not _another_disk(host, path, info['data'])]
    return [] if found and _shared(host, instance_uuid, info) else found


def _another_disk(host: str, path: str, data: dict[str, Any]) -> bool:
    """Whether a disk says that it is not the volume that was connected here by this number.

    Where either does not say who it is, it cannot be told, and counts as the volume. So does a
    multipath map: one of its paths may be the volume's.
    """
    name = sysfs.kernel_name(path)
    return name is not None and not name.startswith('dm-') and is_volume(host, path, data) is False


def is_volume(host: str, path: str, data: dict[str, Any]) -> bool | None:
    """Whether a disk says itself that it is the volume of a connection; None if it does not tell.

    :param data: of the connection, with the identity if that is known
    """
    if not (data.get(policy.KEY) and CONF.migsafe.device_guards):
        return None
    try:
        wanted = judge.Wanted(policy.name_of(data), designators.read(data[policy.KEY]))
    except errors.BadPage:
        return None
    wrong = identity_check.Patrol(shim.policy('refuse', host).guard).look(path, wanted)
    return None if wrong is None else not wrong


def is_there(path: str) -> bool:
    """Whether a path of a block device exists now."""
    return os.path.lexists(path)


def same(one: str, other: str) -> bool:
    """Whether two paths lead to one block device, or one of them to the multipath map of the
    other."""
    if one == other:
        return True
    names = [sysfs.kernel_name(path) for path in (one, other)]
    if None in names:
        return False
    stands = [{str(name), *_below(str(name))} for name in names]
    return bool(stands[0] & stands[1])


def elsewhere(driver: Any, host: str, path: str, info: ConnectionInfo) -> str:
    """Where a connection leads to on this host, if that is another disk than the one in use.

    One path that the kernel has noted as another disk is enough, whatever the others are. A disk
    of which it has noted the same has come again under another name, and is no other.

    :param driver: the libvirt driver of this host
    :param host: this host
    :param path: of the block device in use
    :returns: '' where it leads to that disk or to none, or nothing tells
    """
    used = disks.of_path(path)
    leads = {found: disks.of_path(found) for found in whereabouts.paths(
        driver._get_volume_driver(info).connector, info['data'], host)}
    others = {found: designators.agree(_noted(used), _noted(names))
              for found, names in leads.items() if used and names and not used & names}
    wrong = [found for found, agree in others.items() if agree is False]
    if not wrong and len(others) == len(leads) and not any(others.values()):
        wrong = list(others)
    return wrong[0] if wrong else ''


def _noted(names: Iterable[str]) -> designators.Identity:
    """What the kernel noted of the paths of one disk when it found them."""
    view = sysfs.Sysfs()
    return frozenset().union(*(noted.noted(view, name) for name in names))


def _below(name: str) -> list[str]:
    try:
        return sysfs.Sysfs().slaves(name)
    except (sysfs.Gone, errors.Unsure):
        return []


def designator(path: str) -> str:
    """What the kernel has noted of the disk behind a path when it found it; "unknown" if nothing.
    """
    name = sysfs.kernel_name(path)
    for disk in (*_below(name), name) if name else ():
        if found := noted.noted(sysfs.Sysfs(), disk):
            return designators.words(found)
    return 'unknown'


def _counted(driver: Any, info: ConnectionInfo) -> bool:
    """Whether Nova itself counts the users of such a mount on a host."""
    return isinstance(driver._get_volume_driver(info),
                      fs.LibvirtMountedFileSystemVolumeDriver)


def _shared(host: str, instance_uuid: str, info: ConnectionInfo) -> bool:
    volume_id = info.get('serial') or info['data'].get('volume_id')
    return bool(volume_id) and used_by_others(host, instance_uuid,
                                              str(volume_id))


def used_by_others(host: str, instance_uuid: str, volume_id: str) -> bool:
    """Whether another guest has this volume on a host.

    Nova's own _should_disconnect_target() counts the guests of
    instance.host, which for a destination that cleans up is the source: it
    then removes the device under the other guest.

    A guest that migrates has two attachments, and Cinder tells the host of
    one only once it is complete.

    :param instance_uuid: the guest that does not count
    :raises nova.exception.InvalidVolume: it cannot be told yet
    """
    context = nova_context.get_admin_context()
    client = cinder.cinderclient(context, '3.44', skip_version_check=True)
    volume = client.volumes.get(volume_id)
    attached = {str(a.get('attachment_id')): a for a in
                getattr(volume, 'attachments', None) or []
                if a.get('server_id') not in (None, instance_uuid)}
    others = {str(a['id']): a for a in _of_volume(client, volume)
              if a.get('instance') not in (None, instance_uuid)}
    if not attached and not others:
        return False
    here = set(objects.InstanceList.get_uuids_by_host(context, host))
    servers = {a['server_id'] for a in attached.values()} | {
        a['instance'] for a in others.values()}
    hosts = {key: attached.get(key, {}).get('host_name')
             for key in attached | others}
    if host in hosts.values() or servers & here:
        return True
    for key, where in hosts.items():
        if where is None:
            raise exception.InvalidVolume(reason=_not_known(
                host, volume_id, key, others.get(key) or attached[key]))
    return False


def _of_volume(client: Any, volume: Any) -> list[dict[str, Any]]:
    """Its attachments that may have a device.

    A volume that is not multiattach has those of one guest only.
    """
    if not getattr(volume, 'multiattach', True):
        return []
    found = client.attachments.list(
        search_opts={'volume_id': volume.id, 'all_tenants': 1})
    return [a for a in (each.to_dict() for each in found)
            if a['volume_id'] == volume.id and a.get('status') not in WITHOUT_DEVICE]


def _not_known(host: str, volume_id: str, attachment_id: str,
               attachment: Mapping[str, Any]) -> str:
    server = attachment.get('instance') or attachment.get('server_id')
    return (f'volume {volume_id} is being attached to instance {server} '
            f'(attachment {attachment_id}, {attachment.get("status")}), maybe '
            f'on {host}, so its device there stays for now; if nothing works '
            'on that attachment any more, delete it with `openstack volume '
            f'attachment delete {shell(attachment_id)}`')
