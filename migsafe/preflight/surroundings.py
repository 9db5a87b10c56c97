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
"""What a nova-compute finds around itself and a guest when the command asks for it.

It takes longer than what :mod:`migsafe.preflight.report` has, since other hosts are asked for it.
"""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Way:
    """A portal by which a host would reach a volume.

    :param protocol: driver_volume_type of the connection, with its transport if that is not TCP
        and the protocol could have it
    :param portal: address and port; empty if the connection names none that TCP leads to
    :param reached: a value of :class:`migsafe.preflight.path.Reached`; empty if it was not tried
    """

    volume: str
    protocol: str
    portal: str = ''
    reached: str = ''


@dataclasses.dataclass(frozen=True)
class DirtyRate:
    """What libvirt has measured last of what a guest writes to its memory.

    :param rate: bytes a second; None if nothing was measured, or it goes on
    :param age: seconds since that began
    :param auto_converge: whether Nova lets QEMU slow the guest down
    :param post_copy: whether Nova lets QEMU send the rest when the guest runs on the other side
    """

    rate: int | None = None
    age: float = 0.0
    auto_converge: bool = False
    post_copy: bool = False


@dataclasses.dataclass(frozen=True)
class Queueing:
    """What multipathd does without a path.

    :param seconds: for which writes wait at the most; None for ever
    :param least: and at the least, where entries of its configuration differ
    :param differ: those entries; empty if it is the same for all
    """

    seconds: float | None = None
    least: float | None = None
    differ: str = ''


@dataclasses.dataclass(frozen=True)
class Cpu:
    """What Nova's own comparison says of this host's CPU and the guest's.

    :param problem: why it refuses; empty if it does not
    :param compared: whether it compares at all
    :param numa: whether the guest has a NUMA topology, which only a claim on the host tries
    """

    problem: str = ''
    compared: bool = True
    numa: bool = False


@dataclasses.dataclass(frozen=True)
class Certificate:
    """One of QEMU's certificates.

    :param problem: what is wrong with it; empty if nothing is
    :param absent: whether it is not there
    :param unread: whether this process may not read it
    :param names: and addresses that it is for
    """

    file: str
    problem: str = ''
    absent: bool = False
    unread: bool = False
    names: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class NativeTls:
    """What a host has for [libvirt] live_migration_with_native_tls.

    :param used: whether that is set
    :param directory: where the certificates are
    :param known: whether qemu.conf was read for that
    :param authority: fingerprint of the authority's certificate; empty if it was not read
    """

    used: bool
    directory: str = ''
    known: bool = False
    authority: str = ''
    certificates: tuple[Certificate, ...] = ()


@dataclasses.dataclass(frozen=True)
class Lvm:
    """What ``migsafe lvm check`` says of a host.

    :param verdict: a value of :class:`migsafe.lvm.rules.Verdict`; empty if it could not tell
    :param reason: why, or why it could not
    """

    verdict: str = ''
    reason: str = ''


@dataclasses.dataclass(frozen=True)
class Surroundings:
    """What one host finds.

    :param ways: to all volumes of the guest; None if Nova's rows could not be read
    :param written: None if libvirt does not say, or has no such guest
    :param queueing: None if multipathd does not say, or is not used
    :param cpu: None if it could not be compared
    :param tls: None if the files could not be looked at
    :param lvm: None if the helper that is root did not answer in time
    """

    host: str
    ways: tuple[Way, ...] | None = None
    written: DirtyRate | None = None
    queueing: Queueing | None = None
    cpu: Cpu | None = None
    tls: NativeTls | None = None
    lvm: Lvm | None = None
