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
"""Keeps the clients of a host out of a Ceph cluster.

Each client is put on the blocklist by itself, and its address as well: that keeps out what this
host opens later, too. The addresses are left if a monitor, an OSD or this service has one of them:
it is more than that host then.

Whoever has an image of the host open need not be that host: a backup, or cinder-volume at work on
it, is a client like any other. Only addresses tell them apart. So none is blocked as long as one
of them is at an address that nobody has said to be of the host.

The account of Cinder may add to the blocklist and list it ("profile rbd"), and may take nothing
from it.

Rules: Ceph's src/mon/MonCap.cc, "profile rbd", for what is allowed; OSDMap::is_blocklisted() for
nonce 0, which stands for all clients of an address. A client learns of a new map only when it is
told; with librados' wait_for_latest_osdmap() the next look makes the OSD wait for that map.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Set
from typing import Any

from migsafe import exceptions
from migsafe.cinder.inspectors.rbd_clients import ADDRESS, Address, Blocklist, lasts

#: Until somebody takes it back: an entry ends by itself, and a host that is back must not come in
#: by that. Five years is what ceph-csi takes for the same.
SECONDS = 157_784_760.0
#: An entry of others that is there for so long is as good, and is left as it is.
LASTS = 30 * 86400.0
SO_LONG = ' for 30 days from now'


class NotBlocked(exceptions.MigsafeError):
    """The monitors do not do it."""

    message = ('Ceph does not put %(address)s on its blocklist: error %(code)s, %(status)s. The '
               'account of Cinder needs the capability "profile rbd" of the monitors.')


def block(cluster: Any, blocked: Blocklist, clients: Iterable[Address]) -> None:
    """Put clients on the blocklist, and their addresses; what is on it for long stays as it is.

    :param cluster: a connected :class:`rados.Rados`
    :raises NotBlocked: Ceph does not do it
    """
    wanted = set(clients)
    if not {client.ip for client in wanted} & _servers(cluster):
        wanted |= {_whole(client) for client in wanted}
    for address in sorted(wanted, key=str):
        if lasts(blocked.clients.get(address), LASTS):
            continue
        code, _text, status = cluster.mon_command(json.dumps({
            'prefix': f'osd {blocked.word}', f'{blocked.word}op': 'add', 'addr': str(address),
            'expire': SECONDS}), b'')
        if code:
            raise NotBlocked(address=address, code=-code, status=ascii(status)[:80])
    cluster.wait_for_latest_osdmap()


def others(seen: Mapping[str, Iterable[Address]], addresses: Set[str], blocked: Blocklist
           ) -> tuple[str, ...]:
    """The clients that can write and are not known to be of the host, in words.

    :param seen: name of each image -> its clients
    :param addresses: of the host
    """
    return tuple(f'the client at {client} has {name} open' for name, clients in seen.items()
                 for client in clients
                 if str(client.ip) not in addresses and not blocked.has(client))


def left(seen: Mapping[str, Iterable[Address]], blocked: Blocklist) -> tuple[str, ...]:
    """What of a host can still write, in words.

    Who has not opened an image can do so yet, unless the whole address of the host is blocked. An
    entry that ends soon counts for nothing: its host may be frozen for longer.

    :param seen: name of each image -> its clients
    """
    addresses = {_whole(client) for clients in seen.values() for client in clients}
    if addresses and all(blocked.has(one, LASTS) for one in addresses):
        return ()
    return tuple(
        f'{name}: {what}' for name, clients in seen.items()
        for what in ([f'the client at {client} is not blocked{SO_LONG}' for client in clients
                      if not blocked.has(client, LASTS)] if clients else
                     [f'nobody has it open, and the address of the host is not blocked{SO_LONG}']))


def _whole(client: Address) -> Address:
    return Address(client.ip, 0, 0)


def _servers(cluster: Any) -> set[Any]:
    """Addresses of Ceph's own daemons, and of this client.

    :raises NotBlocked: they cannot be read
    """
    found = [cluster.get_addrs()]
    for prefix, key in (('mon dump', 'mons'), ('osd dump', 'osds')):
        code, text, status = cluster.mon_command(
            json.dumps({'prefix': prefix, 'format': 'json'}), b'')
        if code:
            raise NotBlocked(address=f'what is not in its "{prefix}"', code=-code,
                             status=ascii(status)[:80])
        # NOTE: nothing else of the map, which has the blocklist as well.
        found.append(json.dumps(json.loads(text)[key]))
    return {Address.of(one[0]).ip for text in found for one in ADDRESS.finditer(text)}
