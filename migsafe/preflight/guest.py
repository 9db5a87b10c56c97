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
"""A guest's disks and the hosts' storage, as far as Nova's own decision looks at them."""

from __future__ import annotations

import dataclasses
import enum
import posixpath
import re

#: What stands for the instance in front of an image's name: a directory for files, the uuid and
#: an underscore for LVM and Ceph (nova.virt.libvirt.imagebackend).
_OF_INSTANCE = re.compile(r'[0-9a-f]{8}-[0-9a-f-]{27}_')


class Kind(enum.Enum):
    """What a disk is to the guest."""

    VOLUME = 'volume'
    ROOT = 'local root'
    EPHEMERAL = 'ephemeral'
    SWAP = 'swap'
    CONFIG_DRIVE = 'config drive'
    RESCUE = 'rescue'
    EMPTY = 'empty drive'
    UNKNOWN = 'unknown to Nova'


#: The names that Nova gives to its images (nova.virt.libvirt.blockinfo), the first that fits.
_NAMES: tuple[tuple[str, Kind], ...] = (
    (r'disk\.config(\.rescue)?', Kind.CONFIG_DRIVE), (r'.*\.rescue', Kind.RESCUE),
    (r'disk', Kind.ROOT), (r'disk\.(local|eph\d+)', Kind.EPHEMERAL), (r'disk\.swap', Kind.SWAP))


@dataclasses.dataclass(frozen=True)
class Disk:
    """A disk in the guest's definition, as libvirt has it.

    :param target: its name in the guest, such as vda
    :param source: libvirt's type of its source: file, block, network, ...
    :param name: path or name of the source; empty for a drive with nothing in it, and where
        the source has neither
    :param device: disk or cdrom
    :param serial: for a volume, the volume's id
    :param size: bytes that the guest sees; None if the file or device cannot be looked at
    :param used: bytes that it takes on the host
    """

    target: str
    source: str
    name: str
    device: str = 'disk'
    readonly: bool = False
    shareable: bool = False
    serial: str = ''
    size: int | None = 0
    used: int = 0

    @property
    def counts(self) -> bool:
        """Whether Nova looks at it at all, other than at a volume: it has a path, and is a file
        or a block device (LibvirtDriver._get_instance_disk_info_from_config)."""
        return bool(self.name) and self.source in ('file', 'block')

    @property
    def empty(self) -> bool:
        """Whether it is a drive with nothing in it."""
        return not self.name and self.device != 'disk'

    @property
    def image(self) -> Kind:
        """What it is by its name, if it is one of Nova's images."""
        if self.empty:
            return Kind.EMPTY
        name = _OF_INSTANCE.sub('', posixpath.basename(self.name))
        return next((kind for pattern, kind in _NAMES if re.fullmatch(pattern, name)),
                    Kind.UNKNOWN)


@dataclasses.dataclass(frozen=True)
class Volume:
    """A volume's row in Nova's block_device_mapping table.

    :param device: its name in the guest by this row, without /dev/
    :param connected: whether the row has a connection_info; Nova leaves out others
    :param protocol: driver_volume_type of the connection
    :param multipath: whether the connection has several paths
    :param identified: whether it is noted which disk it is
    """

    id: str
    device: str
    connected: bool = True
    protocol: str = ''
    multipath: bool = False
    identified: bool = False


@dataclasses.dataclass(frozen=True)
class Guest:
    """A guest on its source.

    :param volume_backed: whether its root disk is a volume, by Nova's records
    """

    uuid: str
    disks: tuple[Disk, ...] = ()
    volumes: tuple[Volume, ...] = ()
    volume_backed: bool = False

    def is_volume(self, disk: Disk) -> bool:
        """Whether Nova takes a disk for a volume: by the name in the guest, and by nothing else.
        """
        return any(one.device == disk.target for one in self.volumes if one.connected)

    def kind(self, disk: Disk) -> Kind:
        """What a disk is to the guest."""
        return Kind.VOLUME if self.is_volume(disk) else disk.image

    def local(self) -> list[Disk]:
        """The disks that Nova takes for local ones, whatever they are."""
        return [disk for disk in self.disks if disk.counts and not self.is_volume(disk)]


@dataclasses.dataclass(frozen=True)
class Storage:
    """What a nova-compute is configured to keep guests' images in.

    :param images_type: [libvirt] images_type
    :param instances_path: [DEFAULT] instances_path
    :param tunnelled: [libvirt] live_migration_tunnelled
    :param nova: the first number of Nova's version
    """

    images_type: str = 'default'
    instances_path: str = '/var/lib/nova/instances'
    tunnelled: bool = False
    nova: int = 34

    @property
    def in_ceph(self) -> bool:
        """Whether the backend says that other hosts have the same images."""
        return self.images_type == 'rbd'

    @property
    def in_files(self) -> bool:
        """Whether the backend puts files into the instance's directory."""
        return self.images_type in ('default', 'qcow2', 'raw', 'flat')
