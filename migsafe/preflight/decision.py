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
"""What Nova answers to a live migration because of the guest's disks: a table.

The rules are those of LibvirtDriver.check_can_live_migrate_source, _is_shared_block_storage and
_assert_dest_node_has_enough_disk, which are the same from Nova 31 to 34.
"""

from __future__ import annotations

import dataclasses
import enum
from typing import Any

from migsafe.preflight.guest import Guest, Storage

MEBIBYTE = 1 << 20


class Asked(enum.Enum):
    """What a live migration is asked for with: ``block_migration`` of the API."""

    AUTO = 'auto'
    TRUE = 'true'
    FALSE = 'false'


class Refusal(enum.Enum):
    """Why Nova refuses, by the exception of its source."""

    LOCAL = 'InvalidLocalStorage'
    SHARED = 'InvalidSharedStorage'
    SPACE = 'MigrationPreCheckError: too large'
    TUNNELLED = 'MigrationPreCheckError: tunnelled'
    UNREADABLE = 'a disk cannot be read'


@dataclasses.dataclass(frozen=True)
class Request:
    """What is asked for.

    :param over_commit: disk_over_commit; None since version 2.25 of the API, which does not ask
        the destination for room
    :param available_mb: MiB that the destination has room for
    """

    block: Asked = Asked.AUTO
    over_commit: bool | None = None
    available_mb: int = 0


@dataclasses.dataclass(frozen=True)
class Situation:
    """Everything that Nova's decision depends on.

    :param shared_path: whether both hosts have the same instances_path, which Nova finds out
        with a file that it makes there
    """

    guest: Guest
    source: Storage
    destination: Storage
    shared_path: bool


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of the table.

    :param when: column -> its value; what is not named may be anything
    :param block: whether the disks are copied; None if it is refused
    """

    when: dict[str, Any]
    block: bool | None
    refusal: Refusal | None
    why: str


R = Refusal
#: The first row that fits decides.
TABLE: tuple[Row, ...] = (
    Row({'looked': True, 'unreadable': True}, None, R.UNREADABLE,
        'Nova counts the local disks of a guest whose root disk is a volume, and one of them is '
        'not there'),
    Row({'asked': Asked.TRUE, 'shared': True}, None, R.LOCAL,
        'block migration is not done where the storage is shared, or where there is no local '
        'disk'),
    Row({'asked': Asked.FALSE, 'shared': False}, None, R.SHARED,
        'there are local disks, which the destination does not have'),
    Row({'shared': False, 'measured': True, 'unreadable': True}, None, R.UNREADABLE,
        'Nova adds up the local disks, and one of them is not there'),
    Row({'shared': False, 'measured': True, 'fits': False}, None, R.SPACE,
        'the destination has no room for the local disks'),
    Row({'shared': False, 'tunnelled': True, 'volumes': True}, None, R.TUNNELLED,
        'with [libvirt] live_migration_tunnelled no guest with volumes is copied'),
    Row({'shared': False}, True, None,
        'there are local disks, which the destination does not have'),
    Row({}, False, None, 'there is nothing to copy'),
)


@dataclasses.dataclass(frozen=True)
class Decision:
    """Nova's answer.

    :param shared_block: Nova's is_shared_block_storage
    """

    row: Row
    shared_block: bool

    @property
    def block(self) -> bool | None:
        """Whether disks are copied; None if it is refused."""
        return self.row.block

    @property
    def refusal(self) -> Refusal | None:
        """Why it is refused."""
        return self.row.refusal


def decide(found: Situation, request: Request) -> Decision:
    """What Nova answers."""
    looked = _looked_for_local_disks(found)
    shared_block = _by_backend(found) or bool(looked and not found.guest.local())
    local, over = found.guest.local(), request.over_commit
    needed = sum(disk.used if over else disk.size or 0 for disk in local)
    columns = {
        'asked': request.block, 'shared': shared_block or found.shared_path,
        'looked': looked, 'unreadable': any(disk.size is None for disk in local),
        'measured': over is not None, 'fits': needed <= request.available_mb * MEBIBYTE,
        'tunnelled': found.source.tunnelled,
        'volumes': any(volume.connected for volume in found.guest.volumes)}
    return Decision(next(row for row in TABLE if all(
        columns[name] == value for name, value in row.when.items())), shared_block)


def _by_backend(found: Situation) -> bool:
    """Whether the backend of the images alone makes the storage a shared one."""
    return (found.source.in_ceph and found.destination.images_type == found.source.images_type
            ) or (found.shared_path and found.source.in_files)


def _looked_for_local_disks(found: Situation) -> bool:
    return not _by_backend(found) and found.guest.volume_backed
