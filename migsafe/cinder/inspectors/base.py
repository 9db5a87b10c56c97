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
"""What an inspector is: it asks the array what is really mapped, and changes nothing."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Iterator
from typing import Any

from migsafe.brick.identity.designators import Identity


@dataclasses.dataclass(frozen=True)
class Mapping:
    """One mapping in the array.

    :param volume: name of the volume there
    :param initiators: in lower case; empty where the array knows hosts by name only
    :param host: its name in the array, empty if it has none
    """

    volume: str
    initiators: frozenset[str] = frozenset()
    host: str = ''
    target: str = ''
    lun: str = ''

    def __str__(self) -> str:
        """To whom, and what an administrator of the array needs to find it."""
        there = [f'{what} {name}' for what, name in (
            ('as', self.volume), ('group or host', self.host if self.initiators else ''),
            ('target', self.target), ('LUN', self.lun)) if name]
        whom = ', '.join(sorted(self.initiators)) or self.host or 'nobody'
        return f'{whom} ({", ".join(there)})'


@dataclasses.dataclass(frozen=True)
class Writer:
    """Somebody who has a volume open.

    :param who: for messages
    :param initiators: in lower case; empty where the array tells an address only
    :param address: of its host on the network of the array, as :mod:`ipaddress` writes it
    :param cure: what an operator can do about it, a sentence or more; empty for what can be done
        about any export
    """

    who: str
    initiators: frozenset[str] = frozenset()
    address: str = ''
    cure: str = ''


class Inspector(abc.ABC):
    """Asks one array. Made once per backend, after the driver was set up.

    None as an answer means that this array cannot tell, which is not the same as "nothing". Any
    exception means that it could not be asked now.

    :param driver: of the backend, with its configuration
    """

    #: Whether the array can be asked at all.
    can_tell = True

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    @abc.abstractmethod
    def list_exports(self, volume: Any) -> list[Mapping] | None:
        """The mappings of one volume of Cinder."""

    @abc.abstractmethod
    def list_all(self) -> Iterator[Mapping] | None:
        """All mappings, one by one: there can be 100,000."""

    @abc.abstractmethod
    def writers(self, volume: Any) -> list[Writer] | None:
        """Who has the volume open now."""

    def identity(self, volume: Any) -> Identity:
        """What hosts will see as the identity of the volume; empty if it is not known."""
        return frozenset()


def told(volume: Any, name: str) -> str:
    """What Cinder has of a volume under a name; empty if it has nothing."""
    try:
        return str(volume[name] or '')
    except (KeyError, AttributeError):
        # NOTE: tests and old code of Cinder hand dictionaries around.
        return ''
