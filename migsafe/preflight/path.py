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
"""The way that a live migration takes: from the source's libvirt and QEMU to the destination's.

Incident 004 began with one that nobody listened on: live_migration_inbound_addr had been changed,
and libvirtd still listened on the old network.
"""

from __future__ import annotations

import dataclasses
import enum
import fcntl
import pathlib
import socket
import ssl
import struct
import urllib.parse
from collections.abc import Iterable

#: Ports of libvirt's transports, where a URI names none (libvirt's docs, "Remote URIs").
PORTS = {'tcp': 16509, 'tls': 16514, 'ssh': 22, 'libssh': 22, 'libssh2': 22}
#: The first and the last port that QEMU listens on for a guest that comes in (migration_port_min
#: and migration_port_max of qemu.conf, as they are without one).
QEMU_PORTS = (49152, 49215)
#: Who listens there, where qemu.conf of the destination says which ports, and where it was not
#: read.
QEMU, QEMU_ASSUMED = 'QEMU', 'QEMU (as its ports are without a qemu.conf, which was not read)'
#: Seconds for one connection.
CONNECT = 2.0
#: Certificates that libvirt's client uses, and with which it is told from others.
PKI = ('/etc/pki/CA/cacert.pem', '/etc/pki/libvirt/clientcert.pem',
       '/etc/pki/libvirt/private/clientkey.pem')
#: SIOCGIFADDR of linux/sockios.h.
_ADDRESS_OF = 0x8915


class Reached(enum.Enum):
    """What came of a connection."""

    OPEN = 'open'
    REFUSED = 'refused'
    SILENT = 'silent'
    NO_WAY = 'no way there'


@dataclasses.dataclass(frozen=True)
class Port:
    """A port of the destination.

    :param what: who listens there: libvirt, :data:`QEMU` or :data:`QEMU_ASSUMED`
    :param reached: a value of :class:`Reached`
    """

    what: str
    port: int
    reached: str

    @property
    def qemu(self) -> bool:
        """Whether it is one of QEMU's."""
        return self.what in (QEMU, QEMU_ASSUMED)


@dataclasses.dataclass(frozen=True)
class Path:
    """What the source has found.

    :param uri: by which it reaches the destination's libvirt
    :param address: the name or address in it
    :param problem: why it does not resolve
    :param tls: what is wrong with the certificates; empty if nothing is, or they are not used
    :param tls_used: whether TLS was tried
    :param interface: of this host, by which it leaves
    :param speed: Mbit/s of that; None if it does not say
    :param memory: bytes of the guest; None if it is not known
    :param inbound: the address that Nova tells QEMU to go to; empty if the destination's libvirt
        says where
    """

    uri: str
    address: str
    problem: str = ''
    ports: tuple[Port, ...] = ()
    tls: str = ''
    tls_used: bool = False
    interface: str = ''
    speed: int | None = None
    memory: int | None = None
    inbound: str = ''


def target(uri: str) -> tuple[str, str, int | None]:
    """Transport, host and port of a URI of libvirt's, such as ``qemu+tls://host/system``."""
    parts = urllib.parse.urlsplit(uri)
    transport = parts.scheme.partition('+')[2] or 'tls'
    return transport, parts.hostname or '', parts.port or PORTS.get(transport)


def look(uri: str, memory: int | None, qemu: Iterable[int] = QEMU_PORTS,
         pki: tuple[str, str, str] = PKI, who: str = QEMU) -> Path:
    """Resolve, connect, and look at the way; nothing is sent but what begins TLS.

    :param qemu: ports of QEMU's; empty if the data goes through libvirt
    :param who: :data:`QEMU` or :data:`QEMU_ASSUMED`
    """
    transport, host, port = target(uri)
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        return Path(uri, host, problem=str(error), memory=memory)
    address = found[0][4][0]
    ports = [Port(f'libvirt ({transport})', port, reach(address, port).value)] if port else []
    ports += [Port(who, one, reach(address, one).value) for one in qemu]
    used = transport == 'tls' and ports[0].reached == Reached.OPEN.value
    interface = leaves_by(str(address))
    return Path(uri, host, '', tuple(ports), tls(host, str(address), port or 0, pki)
                if used else '', used, interface, speed(interface), memory)


def reach(address: object, port: int, seconds: float = CONNECT) -> Reached:
    """What comes of a connection."""
    try:
        socket.create_connection((str(address), port), seconds).close()
    except TimeoutError:
        return Reached.SILENT
    except ConnectionRefusedError:
        return Reached.REFUSED
    except OSError:
        return Reached.NO_WAY
    return Reached.OPEN


def tls(host: str, address: str, port: int, pki: tuple[str, str, str] = PKI) -> str:
    """What is wrong with the certificates of both sides; empty if nothing is.

    libvirtd has the key of this side; where nova-compute may not read it, the other side is looked
    at alone.
    """
    authority, certificate, key = pki
    try:
        context = ssl.create_default_context(cafile=authority)
    except OSError as error:
        return f'{authority} cannot be used: {error.strerror or error}'
    mine = ''
    try:
        context.load_cert_chain(certificate, key)
    except PermissionError:
        mine = f'only the certificate of {host} was looked at, as {key} cannot be read'
    except OSError as error:
        return f'{certificate} cannot be used with {key}: {error.strerror or error}'
    try:
        with socket.create_connection((address, port), CONNECT) as plain, \
                context.wrap_socket(plain, server_hostname=host) as made:
            _refused_late(made, bool(mine))
    except ssl.SSLCertVerificationError as error:
        return f'the certificate of {host} is refused: {error.verify_message}'
    except OSError as error:
        return f'TLS to {host} fails: {error.strerror or error}'
    return mine


def _refused_late(made: ssl.SSLSocket, alone: bool) -> None:
    """With TLS 1.3 the other side says what it thinks of this one after all is agreed.

    :raises OSError: it refuses
    """
    if alone:
        return
    made.settimeout(0.5)
    try:
        made.recv(1)
    except TimeoutError:
        return


def leaves_by(address: str) -> str:
    """The interface by which a connection leaves; empty if it is not known.

    Nothing is sent: a UDP socket only chooses a way.
    """
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as way:
            way.connect((address, 9))
            here = way.getsockname()[0]
            for _number, name in socket.if_nameindex():
                if _address_of(way, name) == here:
                    return name
    except OSError:
        pass
    return ''


def _address_of(any_socket: socket.socket, interface: str) -> str:
    try:
        answer = fcntl.ioctl(any_socket.fileno(), _ADDRESS_OF,
                             struct.pack('256s', interface[:15].encode()))
    except OSError:
        return ''
    return socket.inet_ntoa(answer[20:24])


def speed(interface: str, top: str = '/sys/class/net') -> int | None:
    """Mbit/s of an interface; None where it does not say, as one that is virtual."""
    if not interface:
        return None
    try:
        found = int(pathlib.Path(top, interface, 'speed').read_text('ascii'))
    except (OSError, ValueError):
        return None
    return found if found > 0 else None


def seconds(memory: int, mbits: int) -> float:
    """How long a guest takes that writes nothing meanwhile."""
    return memory * 8 / (mbits * 1e6)
