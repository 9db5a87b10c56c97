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
"""Whether nfsd of this machine has heard of the host of late.

Only NFSv4 has clients that are known. An NFS server that is somewhere else cannot be asked.

Rules: the kernel's fs/nfsd/nfs4state.c, client_info_show(), for what is in the file of a client.
"""

from __future__ import annotations

import glob
import ipaddress
import socket
from collections.abc import Iterator, Sequence

from migsafe.fencing.probes.base import Probe
from migsafe.fencing.probes.reach import HOST
from migsafe.fencing.signs import Observation, Sign

CLIENTS = '/proc/fs/nfsd/clients'
#: Bytes of a file that are read, as what is needed stands at its begin; digits of a number.
MOST, DIGITS = 4096, 18
#: Seconds after which it is no sign of life that a client was heard.
LATE = 60
ADDRESS, RENEWED = 'address', 'seconds from last renew'


class Nfs(Probe):
    """Looks for clients at the addresses of the host, and of its names in ``[migsafe] reach``.

    A client that is idle renews its lease within that time as well, most often after 60 seconds.
    One that is not there, or has not done so for long, proves nothing.
    """

    def look(self, host: str, instance_uuid: str) -> Sequence[Observation]:
        """Read what there is once."""
        names = (host, *(place.rpartition(':')[0].replace(HOST, host)
                         for place in self.site.conf.reach))
        wanted = {one for name in names for one in _addresses(name)}
        if not wanted:
            return [self.saw(Sign.NOTHING, f'{host} has no address')]
        found = [(age, address) for address, age in _clients() if address in wanted]
        if not found:
            return [self.saw(Sign.NOTHING, f'{CLIENTS} has no client at an address of it')]
        age, address = min(found, key=lambda one: one[0])
        return [self.saw(Sign.WORKING if age <= LATE else Sign.NOTHING,
                         f'the NFS client at {address} was heard {age} seconds ago')]


def _addresses(name: str) -> Iterator[str]:
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return
    yield from (_plain(str(address[0])) for *_kind, address in found)


def _plain(text: str) -> str:
    """An address as addresses are compared.

    :raises ValueError: it is none
    """
    address = ipaddress.ip_address(text.partition('%')[0])
    return str(getattr(address, 'ipv4_mapped', None) or address)


def _clients() -> Iterator[tuple[str, int]]:
    """Each client: its address, and how many seconds ago it was heard."""
    for path in glob.iglob(f'{CLIENTS}/*/info'):
        try:
            with open(path, 'rb') as handle:
                lines = handle.read(MOST).decode(errors='replace').splitlines()
            # NOTE: what a client says of itself comes after these.
            said = dict(line.partition(': ')[::2] for line in reversed(lines))
            where = said[ADDRESS].strip('"').rpartition(':')[0].strip('[]')
            yield _plain(where), int(said[RENEWED][:DIGITS])
        except (OSError, KeyError, ValueError):
            # It has gone meanwhile, or is of a kernel that does not tell, as before 5.18.
            continue
