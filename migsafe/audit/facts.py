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
"""What the records of a cloud say, one small tuple for each row.

They are tuples because a large cloud has half a million of them. None holds a secret: of a
connection_info only what tells disks apart is kept.
"""

from __future__ import annotations

import dataclasses
import datetime
import enum
from collections.abc import Callable, Hashable, Mapping
from typing import Any, NamedTuple, TypeVar

from migsafe.audit.address import Connection
from migsafe.journal.residue import Piece

Moment = datetime.datetime | None
T = TypeVar('T')


class Life(enum.Enum):
    """What a database of Nova knows of an instance.

    UNKNOWN: no database that was given has it. It may live in a cell that was not.
    PURGED: no database has it any more, as far as that can be known.
    """

    LIVE = 'live'
    DELETED = 'deleted'
    UNKNOWN = 'unknown'
    PURGED = 'purged'


#: It is not there any more.
GONE = frozenset((Life.DELETED, Life.PURGED))
#: Nothing but what names it is known of it.
NAMELESS = frozenset((Life.UNKNOWN, Life.PURGED))


class Instance(NamedTuple):
    """A row of ``instances``.

    :ivar number: its primary key, by which pages are read
    :ivar power: power_state as nova-compute saw it last; 1 is running (nova.compute.power_state)
    :ivar hidden: it is the copy of a resize between cells that the API does not show
    """

    number: int
    uuid: str
    host: str | None = None
    node: str | None = None
    vm_state: str | None = None
    task_state: str | None = None
    power: int | None = None
    updated: Moment = None
    hidden: bool = False
    life: Life = Life.LIVE


class Row(NamedTuple):
    """A volume in ``block_device_mapping``."""

    number: int
    instance: str
    volume: str
    attachment: str | None
    connection: Connection
    updated: Moment = None


class Attachment(NamedTuple):
    """A row of Cinder's ``volume_attachment``.

    :ivar host: of its connector; None where none was ever given
    :ivar writes: its mode allows it
    """

    uuid: str
    volume: str
    instance: str | None
    host: str | None
    status: str | None
    writes: bool
    connection: Connection
    updated: Moment = None


class Migration(NamedTuple):
    """A row of ``migrations``; ``kind`` is its migration_type.

    :ivar waiting: it is queued on a source that is at work on another one
    """

    number: int
    uuid: str | None
    instance: str
    kind: str | None
    status: str | None
    source: str | None
    dest: str | None
    updated: Moment = None
    waiting: bool = False


class Allocation(NamedTuple):
    """What a consumer has of a compute node.

    :ivar host: of the node; None if the provider is no compute node that Nova knows
    :ivar node: UUID and name of the provider that is the compute node
    :ivar uuid: of the provider, which may be a part of the node
    """

    consumer: str
    provider: str
    host: str | None
    node: tuple[str, str]
    uuid: str = ''


class Volume(NamedTuple):
    """A volume that is not simply in use by one instance."""

    uuid: str
    multiattach: bool
    status: str | None
    migration: str | None
    updated: Moment = None


class Binding(NamedTuple):
    """A row of Neutron's ``ml2_port_bindings``, of a port of an instance.

    :ivar active: it is the one by which the port works; before Rocky there is no other
    """

    port: str
    instance: str
    host: str
    active: bool


class Export(NamedTuple):
    """What a backend of Cinder has mapped, by its ledger or by the array itself.

    :ivar host: empty where only the array knows it, and has no name that Nova has
    :ivar state: of the ledger; ARRAY where the ledger does not have it
    :ivar detail: what the array says
    """

    backend: str
    volume: str
    host: str
    state: str
    attachment: str = ''
    lun: str = ''
    fenced: bool = False
    detail: str = ''


#: State of an export that only the array knows.
ARRAY = 'only in the array'


@dataclasses.dataclass(frozen=True, slots=True)
class Views:
    """Which databases were given and could be read.

    :ivar records: columns that tell which host an attachment of Cinder is for: not before Pike
    """

    cinder: bool = False
    records: bool = False
    placement: bool = False
    neutron: bool = False


@dataclasses.dataclass(slots=True)
class Case:
    """An instance and everything that names it.

    :ivar attachments: of this instance
    :ivar sharing: volume -> every attachment of it, whoever's
    :ivar volumes: only those out of the ordinary
    :ivar brought: it was unshelved after the newest migration; None if nobody has looked
    :ivar bindings: of the ports of this instance
    :ivar exports: of the volumes of this instance
    :ivar pieces: residue of this instance that hosts say they have
    :ivar runs: hosts that say that the guest is there
    :ivar gone: when attachments that rows name, or rows that named an attachment, were deleted
    :ivar comparable: connectors of this hypervisor have the name of the host
    :ivar known: what several rules ask of a case and the clock, worked out once
    """

    instance: Instance
    rows: tuple[Row, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    sharing: Mapping[str, tuple[Attachment, ...]] = dataclasses.field(default_factory=dict)
    migrations: tuple[Migration, ...] = ()
    allocations: tuple[Allocation, ...] = ()
    volumes: Mapping[str, Volume] = dataclasses.field(default_factory=dict)
    views: Views = dataclasses.field(default_factory=Views)
    brought: bool | None = None
    bindings: tuple[Binding, ...] = ()
    exports: tuple[Export, ...] = ()
    pieces: tuple[Piece, ...] = ()
    runs: tuple[str, ...] = ()
    gone: tuple[Moment, ...] = ()
    comparable: bool = True
    known: dict[object, Any] = dataclasses.field(default_factory=dict, init=False, repr=False)

    def once(self, what: Callable[..., T], *given: Hashable) -> T:
        """``what(case, *given)``, worked out once; it has to be a pure function."""
        key = (what, *given)
        if key not in self.known:
            self.known[key] = what(self, *given)
        found: T = self.known[key]
        return found

    def named(self, row: Row) -> Attachment | None:
        """The attachment that a row names, if Cinder has it."""
        if row.attachment is None:
            return None
        known = (*self.sharing.get(row.volume, ()), *self.attachments)
        return next((one for one in known if one.uuid == row.attachment), None)

    def newest(self) -> Migration | None:
        """The last migration that began."""
        return max(self.migrations, key=lambda one: one.number, default=None)
