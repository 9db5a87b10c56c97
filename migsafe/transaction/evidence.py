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
"""Evidence about the host on which a guest runs.

Evidence is gathered on each host by that host alone, and is never derived
from an exception: a lost reply says nothing about what the other side did.
"""

from __future__ import annotations

import dataclasses
import enum
from typing import Any

from migsafe.journal.records import Transaction


class GuestState(enum.Enum):
    """What one hypervisor says of one guest.

    The source of each value is libvirt's pair (state, reason), see
    virDomainState and the virDomain*Reason enumerations.
    """

    #: The guest's memory and CPUs are here, running or paused by its user.
    HERE = 'here'
    #: Paused by a migration: an incoming copy that has not been started, or a
    #: source that has been stopped for the switch-over. Not a running guest.
    IN_TRANSFER = 'in_transfer'
    #: Post-copy: the guest runs on one side and its memory is on both.
    POSTCOPY = 'postcopy'
    #: libvirt itself reported that the migration away from here completed.
    HANDED_OVER = 'handed_over'
    #: No domain.
    ABSENT = 'absent'
    #: A domain that is shut off, whoever ended it. libvirt makes a domain
    #: persistent on a destination only when the guest has arrived, and takes
    #: it from the source only when the hand-over is confirmed (the flags
    #: VIR_MIGRATE_PERSIST_DEST and VIR_MIGRATE_UNDEFINE_SOURCE, which Nova
    #: always gives).
    SHUT_OFF = 'shut_off'
    #: No answer, or an answer that is not understood.
    UNKNOWN = 'unknown'
    #: The whole host is known to be dead, see :mod:`migsafe.transaction.fenced`.
    DEAD = 'dead'

    @property
    def may_run(self) -> bool:
        """Whether the guest may be running on a host in this state."""
        return self in MAY_RUN


#: States in which a host may be executing the guest, now or in a moment.
MAY_RUN = frozenset((GuestState.HERE, GuestState.IN_TRANSFER,
                     GuestState.POSTCOPY, GuestState.UNKNOWN))
#: A host that looked says that no QEMU of this guest is there.
NO_QEMU = frozenset((GuestState.ABSENT, GuestState.SHUT_OFF,
                     GuestState.HANDED_OVER))

#: The domain is on that host: it has not been moved from there.
PRESENT = frozenset((GuestState.HERE, GuestState.SHUT_OFF))


@dataclasses.dataclass(frozen=True)
class HostEvidence:
    """What is known of one host and of the guest on it.

    :param host: the compute host's name
    :param guest: the guest on that host
    :param job: a migration of this guest is being carried out by libvirt, or
        nova-compute of that host is still working on this transaction
    :param boot_id: /proc/sys/kernel/random/boot_id of that host; empty when
        it answered and did not say, None when it did not answer
    :param detail: what was seen, in words for an operator
    :param rebooted: whether that is another boot than the one in which its
        journal began the transaction; None when it cannot tell
    :param unarmed: it answered that it has no migsafe
    """

    host: str
    guest: GuestState
    job: bool = False
    boot_id: str | None = None
    detail: str = ''
    rebooted: bool | None = None
    unarmed: bool = False

    def as_payload(self) -> dict[str, Any]:
        """The evidence as it is journalled."""
        return {'host': self.host, 'guest': self.guest.value, 'job': self.job,
                'boot_id': self.boot_id, 'detail': self.detail,
                'rebooted': self.rebooted}

    def __str__(self) -> str:
        busy = ', migration job active' if self.job else ''
        busy += ', rebooted since' if self.rebooted else ''
        more = f' ({self.detail})' if self.detail else ''
        return f'{self.host}: guest {self.guest.value}{busy}{more}'


@dataclasses.dataclass(frozen=True)
class Evidence:
    """The evidence of both participants."""

    source: HostEvidence
    destination: HostEvidence

    def as_payload(self) -> dict[str, Any]:
        """The evidence as it is journalled with the verdict."""
        return {'source': self.source.as_payload(),
                'destination': self.destination.as_payload()}

    def of(self, host: str) -> HostEvidence:
        """The evidence of one host, by name."""
        return (self.source if self.source.host == host
                else self.destination)


def rebooted(tx: Transaction | None, now: str | None) -> bool | None:
    """Whether this host was rebooted since its journal began a transaction.

    :param tx: the transaction as this host has journalled it
    :param now: this boot's id
    :returns: None when one of the two boots is not known
    """
    if tx is None:
        return None
    then = tx.source_boot_id if tx.role == 'source' else tx.dest_boot_id
    return then != now if then and now else None
