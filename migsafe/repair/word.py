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
"""What a host says of a guest: whether it is there, and what it really has open.

An answer comes from the bus. What is not understood of it is not known.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from migsafe.transaction import answers
from migsafe.transaction.answers import text
from migsafe.transaction.evidence import NO_QEMU, GuestState, HostEvidence

#: More disks, paths of a disk, or values of a connector than any real answer has.
MOST = 256
#: A target, or port, or image, and the number of the LUN behind it; '' where there is none.
Lead = tuple[str, str]


@dataclasses.dataclass(frozen=True)
class Disk:
    """What a guest has open.

    :ivar volume: the serial that Nova gave it when it was attached
    :ivar leads: where the kernel's paths lead to; empty if that cannot be told
    :ivar path: of the block device, as libvirt has it
    """

    volume: str
    leads: frozenset[Lead]
    path: str = ''


@dataclasses.dataclass(frozen=True)
class Word:
    """The word of one host.

    :ivar power: nova.compute.power_state of the guest; None if it has none here
    :ivar unsettled: the journal of the host has an open transaction of the instance
    :ivar connector: what Nova gives Cinder for this host; empty if it is not known
    :ivar devices: disks of this host that lead where an attachment for it leads, or may lead
        there, whoever has them open; None if it was not asked or has not said
    :ivar waiting: a live migration of it waits in the queue of nova-compute there
    """

    evidence: HostEvidence
    power: int | None = None
    unsettled: bool = False
    disks: tuple[Disk, ...] = ()
    connector: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    devices: tuple[str, ...] | None = None
    waiting: bool | None = None

    @property
    def host(self) -> str:
        """Its name."""
        return self.evidence.host

    @property
    def here(self) -> bool:
        """Whether the guest is there, and nothing moves it."""
        return self.evidence.guest is GuestState.HERE and not self.evidence.job

    @property
    def gone(self) -> bool:
        """Whether the host has looked, and has no QEMU of the guest."""
        return self.evidence.guest in NO_QEMU and not self.evidence.job

    def disk(self, volume: str) -> Disk | None:
        """The one disk of the guest that is a volume; None if there are none, or several."""
        found = [one for one in self.disks if one.volume == volume]
        return found[0] if len(found) == 1 else None


def silent(host: str, why: str) -> Word:
    """The word of a host that has said none."""
    return Word(HostEvidence(host, GuestState.UNKNOWN, detail=why))


def parse(host: str, reply: Any) -> Word:
    """What is believed of an answer to ``guest_facts``.

    :param host: that was asked
    """
    if not isinstance(reply, Mapping):
        return silent(host, 'answer is not an object')
    evidence = answers.parse(host, reply.get('evidence'))
    if evidence.guest is GuestState.UNKNOWN:
        return Word(evidence)
    disks, unsettled, power = reply.get('disks'), reply.get('unsettled'), reply.get('power')
    if not isinstance(disks, list) or len(disks) > MOST or not isinstance(unsettled, bool) or \
            not all(isinstance(one, Mapping) for one in disks):
        return silent(host, 'answer is not understood')
    return Word(
        evidence, power if isinstance(power, int) and not isinstance(power, bool) else None,
        unsettled, tuple(map(_disk, disks)), _connector(host, reply.get('connector')),
        _devices(reply.get('devices')), _flag(reply.get('waiting')))


def _disk(one: Mapping[str, Any]) -> Disk:
    return Disk(text(one.get('volume')), _leads(one.get('leads')), text(one.get('path')))


def _leads(value: Any) -> frozenset[Lead]:
    """All of them, or none: of a disk with a path that is not understood nothing is known."""
    if not isinstance(value, list) or len(value) > MOST:
        return frozenset()
    found = [tuple(map(text, one)) for one in value
             if isinstance(one, list | tuple) and len(one) == 2 and text(one[0])]
    return frozenset((one[0], one[1]) for one in found) if len(found) == len(value) \
        else frozenset()


def _flag(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _devices(value: Any) -> tuple[str, ...] | None:
    """An answer with anything in it that is no name says nothing."""
    if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
        return None
    return tuple(map(text, value[:MOST]))


def _connector(host: str, value: Any) -> Mapping[str, Any]:
    """One of this host, of plain values."""
    if not isinstance(value, Mapping) or len(value) > MOST or value.get('host') != host:
        return {}
    return {text(key): one for key, one in value.items()
            if isinstance(one, str | int | bool | type(None))
            or (isinstance(one, list) and all(isinstance(part, str) for part in one))}
