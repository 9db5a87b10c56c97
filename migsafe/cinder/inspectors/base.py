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
from collections.abc import Iterator, Sequence, Set
from typing import Any

from migsafe import exceptions, masking
from migsafe.brick.identity.designators import Identity


class BadAnswer(exceptions.MigsafeError):
    """An inspector says something that nothing can be compared with."""

    message = ('an inspector tells of %(what)s with %(found)s: initiators have to be a frozenset '
               'of names in lower case, commands a number, and everything else a text')


@dataclasses.dataclass(frozen=True)
class Mapping:
    """One mapping in the array.

    :param volume: name of the volume there
    :param initiators: in lower case; empty where the array knows hosts by name only
    :param host: its name in the array, of a group or a host there; empty if it has none
    """

    volume: str
    initiators: frozenset[str] = frozenset()
    host: str = ''
    target: str = ''
    lun: str = ''

    def __post_init__(self) -> None:
        """Refuse what could never be found again, and so would count as gone.

        :raises BadAnswer: a field is not what it should be
        """
        _check('a mapping', self.initiators, self.volume, self.host, self.target, self.lun)

    def __str__(self) -> str:
        """To whom, and what an administrator of the array needs to find it."""
        there = [f'{what} {name}' for what, name in (
            ('as', self.volume), ('group or host', self.host if self.initiators else ''),
            ('target', self.target), ('LUN', self.lun)) if name]
        whom = ', '.join(sorted(self.initiators)) or self.host or 'nobody'
        return masking.one_line(f'{whom} ({", ".join(there)})')


@dataclasses.dataclass(frozen=True)
class Writer:
    """Somebody who has a volume open.

    :param who: for messages
    :param initiators: in lower case; empty where the array tells an address only
    :param address: of its host on the network of the array, as :mod:`ipaddress` writes it
    :param cure: what an operator can do about it, a sentence or more; empty for what can be done
        about any export
    :param commands: how many it has sent since it was given the volume; None if the array does
        not count them
    """

    who: str
    initiators: frozenset[str] = frozenset()
    address: str = ''
    cure: str = ''
    commands: int | None = None

    def __post_init__(self) -> None:
        """See :meth:`Mapping.__post_init__`."""
        _check('a writer', self.initiators, self.who, self.address, self.cure)
        if self.commands is not None and (type(self.commands) is not int or self.commands < 0):
            raise BadAnswer(what='a writer', found=f'the commands {ascii(self.commands)[:80]}')


@dataclasses.dataclass(frozen=True)
class Reach:
    """What an array accepts of a host that is to be cut off.

    :param open: ways that are open, in words; with none, nothing that the host writes arrives
    :param active: those through which it was seen at work a moment ago
    :param others: clients that have the volumes open and are not known to be of that host
    :param commands: those of ``active`` of which the array counts the commands -> how many came
    """

    open: tuple[str, ...] = ()
    active: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    commands: dict[str, int] = dataclasses.field(default_factory=dict)


def _check(what: str, initiators: object, *texts: object) -> None:
    if not isinstance(initiators, frozenset) or any(
            not isinstance(name, str) or not name or name != name.lower() for name in initiators):
        raise BadAnswer(what=what, found=f'the initiators {ascii(initiators)[:200]}')
    for text in texts:
        if not isinstance(text, str):
            raise BadAnswer(what=what, found=f'{ascii(text)[:200]}, which is no text')


class Inspector(abc.ABC):
    """Asks one array. Made once per backend, after the driver was set up.

    None as an answer means that this array cannot tell, which is not the same as "nothing". Any
    exception means that it could not be asked now.

    :param driver: of the backend, with its configuration
    """

    #: Whether the array can be asked at all.
    can_tell = True
    #: Whether the array maps volumes to hosts. Where it does not, whoever has a key can open one,
    #: and nothing is mapped through anything.
    maps = True
    #: Whether each mapping names its initiators, so that one without any is to nobody. Where this
    #: is False, one that has a ``host`` only is to somebody who cannot be compared.
    tells_initiators = False
    #: Whether ``Mapping.host`` is what a connector calls its host. False: it is a name of the
    #: array's own, which is never compared with one of a connector.
    tells_hosts = False
    #: Seconds for which the array may go on to give answers from before a change. What is to be
    #: gone has to be looked for twice then, that long apart.
    lag = 0.0

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

    def shut_out(self, volumes: Sequence[tuple[Any, Set[str]]], addresses: Set[str],
                 carry_out: bool) -> Reach | None:
        """Where nothing is mapped: keep out for good what one host has open of its volumes.

        Nobody is kept out as long as a client is open of which it is not known whose it is.

        :param volumes: that are attached to that host; each with the addresses of other hosts that
            have it as well, as :mod:`ipaddress` writes them
        :param addresses: that are known to be of that host, and of none of the others
        :param carry_out: do it; if not, only tell what is open
        :returns: what was read back; None: it cannot be done
        """
        return None

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
