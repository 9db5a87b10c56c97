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
"""What becomes of each disk of a guest, once Nova has decided to copy disks or not.

The rules are those of LibvirtDriver._live_migration_copy_disk_paths, which chooses what QEMU
copies, and _create_images_and_backing, which makes an empty image for each local disk before;
and of libvirt (qemuMigrationSrcIsSafe), which refuses a guest with a file that only one host has.
"""

from __future__ import annotations

import dataclasses
import enum
from typing import Any

from migsafe.preflight.decision import Situation
from migsafe.preflight.guest import Disk, Kind

#: Until Nova 30 the destination fetched an ISO config drive over SSH.
FETCHED_UNTIL = 30


class Fate(enum.Enum):
    """What becomes of a disk."""

    CONNECTED = 'connected'
    SHARED = 'shared'
    COPIED = 'copied'
    FETCHED = 'fetched'
    NOTHING = 'nothing in it'
    BLANK = 'left, arrives blank'
    LEFT = 'left'
    ONTO_ITSELF = 'copied onto itself'


class Harm(enum.Enum):
    """How bad that is."""

    NONE = ''
    FAILS = 'the migration fails after Nova has agreed to it'
    LOSES = 'data is lost'


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of the table; ``when`` as in :class:`migsafe.preflight.decision.Row`."""

    when: dict[str, Any]
    fate: Fate
    harm: Harm
    why: str


F, H = Fate, Harm
#: The first row that fits decides.
TABLE: tuple[Row, ...] = (
    Row({'empty': True}, F.NOTHING, H.NONE, 'there is nothing in the drive'),
    Row({'volume': True}, F.CONNECTED, H.NONE, 'the destination connects the volume'),
    Row({'named': False}, F.LEFT, H.FAILS,
        'libvirt has it as neither a file nor a block device nor a disk of the network, and '
        'nothing is known here of such a one'),
    Row({'source': 'network'}, F.SHARED, H.NONE, 'QEMU reaches it over the network'),
    Row({'block': True, 'copies': True, 'source': 'block', 'mislaid': True}, F.ONTO_ITSELF,
        H.LOSES, "it is a volume, but Nova's row gives it another name in the guest than libvirt; "
        'Nova takes it for a local disk, and QEMU writes the copy to the device of that name on '
        'the destination, which may be the volume itself'),
    Row({'block': True, 'copies': True, 'source': 'block'}, F.ONTO_ITSELF, H.LOSES,
        'it is a block device that is copied to the device of the same name on the destination; '
        'the migration fails if there is none, and overwrites what is there if there is one'),
    Row({'block': True, 'source': 'block'}, F.LEFT, H.LOSES,
        'nothing copies it, and the destination opens whatever has the same name there'),
    Row({'block': True, 'copies': True, 'inside': True}, F.COPIED, H.NONE,
        'QEMU copies it while the guest runs'),
    Row({'block': True, 'readonly': True, 'kind': Kind.CONFIG_DRIVE, 'fetches': True}, F.FETCHED,
        H.NONE, 'the destination fetches it over SSH'),
    Row({'block': True, 'readonly': True, 'inside': True}, F.BLANK, H.LOSES,
        'Nova makes an empty file of the same size on the destination, and QEMU copies nothing '
        'that is read-only'),
    Row({'block': True, 'shareable': True, 'inside': True}, F.BLANK, H.FAILS,
        'Nova does not have a shareable disk copied, and libvirt refuses to move a guest with a '
        'file that the destination does not have'),
    Row({'block': True, 'inside': True}, F.BLANK, H.FAILS,
        'with [libvirt] live_migration_tunnelled Nova has nothing copied, and libvirt refuses '
        'that'),
    Row({'block': True}, F.LEFT, H.FAILS,
        'it is not in the instances_path that both hosts have, and Nova makes a copy nowhere '
        'else'),
    Row({'shared_path': True, 'source': 'file', 'inside': True}, F.SHARED, H.NONE,
        'both hosts have the same directory'),
    Row({'source': 'block'}, F.LEFT, H.LOSES,
        'Nova takes the storage for a shared one and copies nothing, and the destination opens '
        'whatever has the same name there, or fails if nothing has'),
    Row({}, F.LEFT, H.FAILS,
        'Nova takes the storage for a shared one and copies nothing, but the destination does '
        'not have this file'),
)


@dataclasses.dataclass(frozen=True)
class Judged:
    """A disk and what becomes of it."""

    disk: Disk
    kind: Kind
    row: Row


def judge(found: Situation, block: bool) -> list[Judged]:
    """What becomes of each disk.

    :param block: whether Nova has disks copied, see :class:`migsafe.preflight.decision.Decision`
    """
    return [Judged(disk, found.guest.kind(disk), _row(found, disk, block))
            for disk in found.guest.disks]


def _row(found: Situation, disk: Disk, block: bool) -> Row:
    guest = found.guest
    # NOTE: what is copied is chosen by all rows of volumes, connected or not.
    volume = any(one.device == disk.target for one in guest.volumes)
    columns: dict[str, Any] = {
        'empty': disk.empty, 'named': bool(disk.name), 'volume': volume,
        'source': disk.source, 'block': block,
        'copies': not (disk.readonly or disk.shareable or found.source.tunnelled),
        'mislaid': any(one.id == disk.serial for one in guest.volumes),
        'inside': found.source.instances_path == found.destination.instances_path
        and disk.name.startswith(f'{found.source.instances_path.rstrip("/")}/'),
        'readonly': disk.readonly, 'shareable': disk.shareable, 'kind': guest.kind(disk),
        'fetches': found.destination.nova <= FETCHED_UNTIL, 'shared_path': found.shared_path}
    return next(row for row in TABLE if all(
        columns[name] == value for name, value in row.when.items()))
