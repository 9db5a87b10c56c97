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
"""What a nova-compute says of itself and of one guest, and how it comes over the message bus."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from migsafe.masking import one_line
from migsafe.preflight.guest import Guest, Storage

T = TypeVar('T')
#: More items, or longer texts, than any real report has.
MAX_ITEMS, MAX_TEXT, MAX_NUMBER = 256, 2000, 1 << 63


class NotUnderstood(Exception):
    """A value is not what it has to be."""


@dataclasses.dataclass(frozen=True)
class Service:
    """How nova-compute calls another service.

    :param connect_retries: new tries after a connection that failed
    :param status_retries: new tries after 503; None if Nova has no option for it
    """

    group: str
    connect_retries: int = 0
    status_retries: int | None = 0


@dataclasses.dataclass(frozen=True)
class Options:
    """The options of nova-compute that a live migration depends on; times in seconds."""

    rpc_response_timeout: int = 60
    long_rpc_timeout: int = 1800
    completion_timeout: int = 800
    downtime_steps: int = 10
    downtime_delay: int = 75
    migsafe_rpc_timeout: int = 15
    call_retries: int = 3
    service_token: bool = False
    multipath: bool = False
    enforce_multipath: bool = False
    device_guards: bool = True
    virt_type: str = 'kvm'
    services: tuple[Service, ...] = ()


@dataclasses.dataclass(frozen=True)
class Connector:
    """What a host has to reach volumes with.

    :param initiator: its iSCSI name; empty if it has none
    :param wwpns: how many ports of Fibre Channel
    :param nqn: its NVMe name
    :param multipathd: whether multipathd answers; None if it was not asked
    """

    initiator: str = ''
    wwpns: int = 0
    nqn: str = ''
    multipathd: bool | None = None


@dataclasses.dataclass(frozen=True)
class Directory:
    """The instance's directory on a host, by which two hosts can be seen to have the same one.

    :param inode: its number, which is the same on all hosts that mount one file system
    :param changed: when something in it was made or removed, in nanoseconds
    """

    there: bool = False
    inode: int = 0
    changed: int = 0


@dataclasses.dataclass(frozen=True)
class Report:
    """What one nova-compute says.

    :param version: of migsafe
    :param nova: version of Nova
    :param now: its clock, in seconds since 1970
    :param residue: what is unsettled or held of this instance here, for people
    :param guest: as this host's libvirt has it; None if it has none
    :param guest_problem: why there is none
    """

    host: str
    version: str
    nova: str
    now: float
    storage: Storage
    options: Options
    connector: Connector
    directory: Directory
    residue: tuple[str, ...] = ()
    guest: Guest | None = None
    guest_problem: str = ''


def payload(value: Any) -> dict[str, Any]:
    """A dataclass as plain values."""
    found: dict[str, Any] = dataclasses.asdict(value)
    return found


def read(kind: type[T], value: Any) -> T:
    """What :func:`payload` made: each value of its own kind, bounded, and safe to show.

    What a later version says besides is left out.

    :raises NotUnderstood: anything is missing, or is of another kind
    """
    if not isinstance(value, Mapping):
        raise NotUnderstood(kind.__name__)
    found = {}
    for name, wanted in typing.get_type_hints(kind).items():
        if name not in value:
            raise NotUnderstood(name)
        found[name] = _value(name, wanted, value[name])
    return kind(**found)


def _value(name: str, wanted: Any, value: Any) -> Any:
    parts = typing.get_args(wanted)
    if type(None) in parts:
        return None if value is None else _value(name, parts[0], value)
    if typing.get_origin(wanted) is tuple:
        if not isinstance(value, list | tuple) or len(value) > MAX_ITEMS:
            raise NotUnderstood(name)
        return tuple(_value(name, parts[0], item) for item in value)
    if dataclasses.is_dataclass(wanted):
        return read(typing.cast(type[Any], wanted), value)
    if wanted is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value) if abs(value) < MAX_NUMBER else _refuse(name)
    if type(value) is not wanted or wanted is int and abs(value) >= MAX_NUMBER:
        raise NotUnderstood(name)
    return one_line(value[:MAX_TEXT]) if isinstance(value, str) else value


def _refuse(name: str) -> Any:
    raise NotUnderstood(name)


def shared_path(source: Directory, destination: Directory) -> bool | None:
    """Whether two hosts have the same directory for the instance; None if it cannot be told.

    Nova makes a file to find out. Here nothing is made: a directory of the same number that was
    changed in the same nanosecond is the same one.
    """
    if not source.there:
        return None
    if not destination.there or source.inode != destination.inode:
        return False
    return True if source.changed == destination.changed else None
