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
"""What the engine and the resources need from the cloud, as small protocols.

:mod:`migsafe.nova.clients` implements them on Nova's own API objects. Nothing
here, and nothing that uses it, imports Nova or Cinder.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from migsafe.fencing.probes.base import Answer
from migsafe.fencing.verdict import Judgement
from migsafe.journal.records import Transaction
from migsafe.transaction.evidence import HostEvidence

ConnectionInfo = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class VolumeRow:
    """A volume's row in Nova's block_device_mapping table."""

    bdm_id: int
    volume_id: str
    attachment_id: str | None
    connection_info: ConnectionInfo | None = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True)
class Attachment:
    """An attachment in Cinder; ``host`` is None while nothing is connected."""

    id: str
    volume_id: str
    host: str | None = None


@dataclasses.dataclass(frozen=True)
class InstanceRow:
    """The columns of an instance that a live migration changes."""

    uuid: str
    host: str | None
    node: str | None
    task_state: str | None
    vm_state: str | None


LIVE_MIGRATION, EVACUATION = 'live-migration', 'evacuation'


@dataclasses.dataclass(frozen=True)
class OtherMove:
    """Another migration of the instance, of any kind, as Nova has recorded it.

    :param over: whether Nova needs nothing of either host for it any more
    """

    kind: str
    uuid: str
    status: str
    source_host: str
    dest_host: str
    over: bool = False

    @property
    def came_to_nothing(self) -> bool:
        """Whether it is over and has left the instance where it was."""
        return self.over and self.status in ('cancelled', 'error', 'failed')

    @property
    def only_asked_for(self) -> bool:
        """Whether it is a live migration that the conductor is still about to check: nothing
        was done for it on a compute host."""
        return self.kind == LIVE_MIGRATION and self.status == 'accepted'

    def __str__(self) -> str:
        return (f'{self.kind} {self.uuid} from {self.source_host} to '
                f'{self.dest_host} is {self.status}')


class Volumes(Protocol):
    """Cinder."""

    def attachments(self, instance_uuid: str) -> list[Attachment]:
        """All attachments of an instance, with host names."""

    def connection_info(self, attachment_id: str) -> ConnectionInfo | None:
        """The connection_info of an attachment; None when it is gone."""

    def delete_attachment(self, attachment_id: str) -> None:
        """Delete an attachment; one that is gone already is not an error."""

    def terminate(self, instance_uuid: str, volume_id: str) -> None:
        """Legacy flow: terminate this host's own connection."""


class Records(Protocol):
    """Nova's database."""

    def instance(self, uuid: str) -> InstanceRow | None:
        """The instance, or None when it is deleted."""

    def later(self, tx: Transaction) -> list[OtherMove]:
        """What Nova has recorded of the instance after a transaction, the oldest first.

        Where it has no record of the transaction itself, all that is not over.
        """

    def to_host(self, tx: Transaction, host: str) -> None:
        """Make ``host`` the instance's host if that is one of the transaction's two.

        :raises Exception: it is none of them, or was given another task meanwhile
        """

    def asked_for(self, instance_uuid: str, after: str) -> str | None:
        """The id of a request for a live migration that came after another one.

        Nova gives the instance its task, and notes who has asked, before anything has a record
        of the migration.

        :param after: the id of that other request; where Nova has it no more, nothing can be
            told
        """

    def release_task(self, tx: Transaction, vm_state: str | None) -> bool:
        """End ``migrating``; restore ``vm_state`` if it is ERROR now.

        :returns: whether there was such a task
        :raises Exception: the instance was given another task or state meanwhile
        """

    def give_task_back(self, uuid: str) -> None:
        """Make the task ``migrating`` again, if the instance has none."""

    def moves(self, instance_uuid: str) -> list[OtherMove]:
        """All migrations of an instance, the oldest first."""

    def evacuated(self, host: str) -> set[str]:
        """Instances that were ever to be evacuated from a host."""

    def migration_status(self, uuid: str) -> str | None:
        """The status of a migration; None when there is no such record."""

    def moving_to(self, instance_uuid: str, host: str,
                  besides: str) -> str | None:
        """A migration of any kind, other than ``besides``, that is not over
        and is to bring the instance to ``host``; None if there is none."""

    def finish_migration(self, uuid: str, status: str) -> None:
        """Give a migration its final status."""

    def volumes(self, instance_uuid: str) -> list[VolumeRow]:
        """The volume rows of an instance."""

    def replace_connection(self, instance_uuid: str, row: VolumeRow,
                           attachment_id: str | None,
                           connection_info: ConnectionInfo) -> bool:
        """Compare and swap: False if the row is not ``row`` any more."""

    def rename_volume(self, instance_uuid: str, row: VolumeRow, volume_id: str) -> bool:
        """Cinder has given the volume of a row another id; the caller has the instance's lock.

        Compare and swap: False if the row is not ``row`` any more.
        """


class Devices(Protocol):
    """os-brick on this host, through the hypervisor's volume drivers."""

    def paths(self, instance_uuid: str, info: ConnectionInfo) -> list[str]:
        """Block devices of this connection that exist on this host now."""

    def is_volume(self, path: str, info: ConnectionInfo) -> bool | None:
        """Whether a block device says itself that it is the volume; None if it does not tell."""

    def observable(self, info: ConnectionInfo) -> bool:
        """Whether :meth:`paths` can see such a connection at all."""

    def disconnect(self, instance_uuid: str, info: ConnectionInfo) -> None:
        """Disconnect, encryptor first, as Nova's driver does."""


class Directories(Protocol):
    """The instance directory on this host."""

    def find(self, instance_uuid: str, half_deleted: bool = True) -> str | None:
        """Path of the instance's directory, None when there is none.

        :param half_deleted: whether what Nova's own removal has not finished counts
        """

    def remove(self, instance_uuid: str, half_deleted: bool = True) -> None:
        """Remove all that :meth:`find` finds."""


class Network(Protocol):
    """Neutron."""

    def bindings(self, instance_uuid: str, hosts: Iterable[str]
                 ) -> dict[str, dict[str, str]]:
        """port id -> host -> status, for the hosts asked for.

        An active binding whose profile still says migrating_to one of them
        is not just ``ACTIVE``.
        """

    def bind(self, instance_uuid: str, winner: str, loser: str) -> None:
        """Make ``winner`` the active binding and drop those of ``loser``."""

    def unbind(self, instance_uuid: str, host: str) -> None:
        """Drop the bindings of a host that are not active, and change nothing else."""


class Allocations(Protocol):
    """Placement."""

    def held(self, consumer: str) -> dict[str, Any]:
        """Allocations of a consumer, by resource provider uuid."""

    def provider(self, host: str) -> str | None:
        """Resource provider uuid of a compute host; None when Nova has no such host any more."""

    def move(self, migration: str, instance_uuid: str) -> None:
        """Give the migration's (source) allocations back to the instance."""

    def delete(self, migration: str) -> None:
        """Delete the migration's (source) allocations."""

    def withdraw(self, instance_uuid: str, host: str) -> None:
        """Take what an instance holds on a host from its allocations."""


class Guests(Protocol):
    """The hypervisor of this host."""

    def evidence(self, instance_uuid: str) -> HostEvidence:
        """What this host's libvirt says of the guest."""

    def stopped(self, instance_uuid: str) -> bool:
        """Whether a migration away from here, or its failure, has left the guest stopped.

        :raises Exception: the hypervisor does not say
        """

    def resume(self, instance_uuid: str) -> None:
        """Let a guest run on that is stopped.

        :raises Exception: it does not
        """


class Peer(Protocol):
    """The plugin on another host."""

    def evidence(self, host: str, uuid: str, instance_uuid: str
                 ) -> HostEvidence:
        """The other host's evidence; UNKNOWN when it does not answer."""

    def describe(self, host: str, uuid: str,
                 within: float = 1.0) -> Mapping[str, Any] | None:
        """The other host's view of a transaction; None without an answer.

        :param within: the part of the usual time to wait; who is being asked himself has to
            answer before his own caller gives up
        """

    def unarmed(self, host: str, uuid: str, within: float = 1.0) -> bool:
        """Whether the other host answers that it has no migsafe. No answer is none."""

    def let_go(self, host: str, instance_uuid: str, volume_id: str) -> None:
        """Have a host without migsafe disconnect a volume, by what its row says now.

        :raises Exception: it has not, or it is not known
        """

    def look(self, host: str, instance_uuid: str, seconds: float) -> Answer:
        """Whether the other host lives, and has a guest.

        :param instance_uuid: empty if only the host is asked for
        :param seconds: to wait; silence after that is an answer of its own
        """

    def release(self, host: str, uuid: str, instance_uuid: str,
                verdict: str) -> Mapping[str, Any]:
        """Ask the other host to let go of its devices and directory."""


class Hosts(Protocol):
    """What is known of compute hosts as such."""

    def declared(self, host: str) -> bool | None:
        """Whether somebody has said that a host is fenced; None: Nova has no such host any more.
        """

    def judge(self, host: str, instance_uuid: str, confirmed: bool = False) -> Judgement:
        """Whether a host is dead, for one of its guests.

        :param confirmed: a person has confirmed what was said of it
        """


@dataclasses.dataclass(frozen=True)
class Clients:
    """All of them, as handed to the engine."""

    volumes: Volumes
    records: Records
    devices: Devices
    directories: Directories
    network: Network
    allocations: Allocations
    guests: Guests
    peer: Peer
    hosts: Hosts
