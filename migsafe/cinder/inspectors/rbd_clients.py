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
"""Addresses of Ceph clients, and which of them are on the blocklist.

Rules: Ceph's src/msg/msg_types.cc, entity_addr_t, for addresses; src/mon/OSDMonitor.cc, "osd
blocklist ls", for what is listed; src/osd/OSDMap.cc, is_blocklisted(), for what it means.
"""

from __future__ import annotations

import dataclasses
import datetime
import ipaddress
import json
import re
from collections.abc import Mapping
from typing import Any

from oslo_utils import timeutils

from migsafe import exceptions

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
#: An IPv6 address is in brackets; the protocol may stand before it.
ADDRESS = re.compile(
    r'(?:(?:any|v1|v2|cidr):)?(?:\[(?P<six>[0-9A-Fa-f:.]{2,45})\]|(?P<four>[0-9.]{7,15}))'
    r':(?P<port>[0-9]{1,5})/(?P<nonce>[0-9]{1,10})')


class NotUnderstood(exceptions.MigsafeError):
    """Ceph answers in another way than it should."""

    message = 'Ceph gives %(text)s as %(what)s, which migsafe does not understand'


@dataclasses.dataclass(frozen=True)
class Address:
    """Of one client.

    :param nonce: different for each client on a host
    """

    ip: ipaddress.IPv4Address | ipaddress.IPv6Address
    port: int
    nonce: int

    @classmethod
    def of(cls, text: Any) -> Address:
        """Read it as Ceph writes it, for example ``10.1.0.13:0/3489573306``.

        :raises NotUnderstood: it is none
        """
        found = ADDRESS.fullmatch(text) if isinstance(text, str) else None
        try:
            if found:
                return cls(ipaddress.ip_address(found['six'] or found['four']),
                           int(found['port']), int(found['nonce']))
        except ValueError:
            found = None
        raise NotUnderstood(what='the address of a client', text=ascii(text)[:80])

    def __str__(self) -> str:
        """Write it so that ``ceph osd blocklist add`` takes it."""
        host = f'[{self.ip}]' if self.ip.version == 6 else str(self.ip)
        return f'{host}:{self.port}/{self.nonce}'


@dataclasses.dataclass(frozen=True)
class Blocklist:
    """The clients whose requests are refused, and when each entry ends by itself.

    :param word: what this release of Ceph calls it in its commands
    :param clients: with port and nonce 0 for all clients of an address; None: not understood
    """

    word: str
    clients: Mapping[Address, datetime.datetime | None]
    networks: Mapping[Network, datetime.datetime | None]

    @classmethod
    def of(cls, word: str, text: Any) -> Blocklist:
        """Read what the monitors list.

        :raises NotUnderstood: it is no such list
        """
        clients: dict[Address, datetime.datetime | None] = {}
        networks: dict[Network, datetime.datetime | None] = {}
        for entry in _entries(text):
            end = _end(entry.get('until'))
            if 'range' in entry:
                # NOTE: the length of the prefix is where a client has its nonce.
                networks[_network(Address.of(entry['range']))] = end
            else:
                clients[Address.of(entry.get('addr'))] = end
        return cls(word, clients, networks)

    def has(self, client: Address, seconds: float = 0.0) -> bool:
        """Whether a client can no longer write.

        :param seconds: for so long yet. Ceph's own entries are there for an hour, and whoever was
            frozen for that writes again
        """
        whole = dataclasses.replace(client, port=0, nonce=0)
        ends = [self.clients[one] for one in (client, whole) if one in self.clients]
        ends += [end for network, end in self.networks.items() if client.ip in network]
        return any(not seconds or lasts(end, seconds) for end in ends)


def lasts(end: datetime.datetime | None, seconds: float) -> bool:
    """Whether an entry is there for so long yet."""
    return end is not None and (
        end - timeutils.utcnow(with_timezone=True)).total_seconds() >= seconds


def _end(text: Any) -> datetime.datetime | None:
    try:
        found = datetime.datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return found if found.tzinfo else None


def _network(found: Address) -> Network:
    try:
        return ipaddress.ip_network((found.ip, found.nonce), strict=False)
    except ValueError as error:
        raise NotUnderstood(what='a range of addresses', text=str(found)) from error


def _entries(text: Any) -> list[dict[str, Any]]:
    """The entries of one list after the other: that of clients and, since Ceph 16, of ranges."""
    decoder, entries = json.JSONDecoder(), []
    try:
        rest = str(text, 'utf-8').strip()
        if not rest:
            raise ValueError(rest)
        while rest:
            found, end = decoder.raw_decode(rest)
            if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
                raise TypeError(found)
            entries += found
            rest = rest[end:].lstrip()
    except (TypeError, ValueError) as error:
        raise NotUnderstood(what='its blocklist', text=ascii(text)[:80]) from error
    return entries
