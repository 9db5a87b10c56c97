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
"""The file that says which BMC belongs to which host.

It is kept where hosts are fenced, and not on compute hosts: who can read it can switch all of them
off.
"""

from __future__ import annotations

import configparser
import dataclasses
import os
import stat
import urllib.parse
import uuid
from collections.abc import Iterable

from migsafe import exceptions

NEEDED, MORE = ('address', 'username', 'password', 'uuid'), ('system', 'ca_file', 'cipher_suite')
#: What an operator writes who has read the UUID on the host itself.
CONFIRMED = 'uuid_confirmed'
#: What boards have whose maker gave them no UUID, beside those in which all bytes are the same.
PLACEHOLDERS = frozenset(map(uuid.UUID, (
    '03000200-0400-0500-0006-000700080009', '00020003-0004-0005-0006-000700080009',
    '12345678-1234-5678-90ab-cddeefaabbcc', '07090201-0103-0301-0807-060504030201')))
#: The scheme of an address, and the name of its probe and fence.
IPMI = 'ipmi'
PORTS = {'https': 443, 'http': 80, IPMI: 623}
#: Where passwords go over the wire in the clear, which is for simulators.
LOOPBACK = ('127.0.0.1', 'localhost', '::1')


@dataclasses.dataclass(frozen=True)
class Bmc:
    """The BMC of one host.

    :param address: https://... of its Redfish service, or ipmi://...
    :param uuid: of the machine, as its own firmware says (/sys/class/dmi/id/product_uuid)
    :param system: path of the system in its Redfish service; empty if it has but one
    :param ca_file: certificates that it is checked by; empty: those of this machine
    :param cipher_suite: number of that of IPMI; empty: ipmitool asks for the best
    :param confirmed: an operator has read the UUID on the host
    """

    host: str
    address: str
    username: str
    password: str = dataclasses.field(repr=False)
    uuid: uuid.UUID
    system: str = ''
    ca_file: str = ''
    cipher_suite: str = ''
    confirmed: bool = False

    @property
    def where(self) -> urllib.parse.SplitResult:
        """The address in its parts."""
        return urllib.parse.urlsplit(self.address)

    @property
    def protocol(self) -> str:
        """The name of the probe and of the fence that can talk to it."""
        return IPMI if self.where.scheme == IPMI else 'redfish'


def swapped(machine: uuid.UUID) -> uuid.UUID:
    """The same UUID with the other order of the bytes in its first three fields."""
    return uuid.UUID(bytes_le=machine.bytes)


def same(machine: uuid.UUID, said: uuid.UUID) -> bool:
    """Whether two UUIDs are of one machine, in either order of the bytes."""
    return said in (machine, swapped(machine))


def read(path: str) -> dict[str, Bmc]:
    """Host -> its BMC; nothing if no file is named.

    :raises ConfigError: the file cannot be used
    """
    if not path:
        return {}
    parser = configparser.ConfigParser(interpolation=None, default_section='')
    try:
        with open(path, encoding='utf-8') as handle:
            if stat.S_IMODE(os.fstat(handle.fileno()).st_mode) & 0o077:
                raise _refused(path, 'others than its owner can read or write it, and it has '
                               'passwords: chmod 600')
            parser.read_file(handle)
    except (OSError, ValueError, configparser.Error) as error:
        # NOTE: the text of an error of the parser quotes lines, passwords included.
        raise _refused(path, f'it cannot be read ({type(error).__name__})') from None
    found = {host: _bmc(path, host, dict(parser[host])) for host in parser.sections()}
    _refuse_doubled(path, found.values())
    return found


def _refuse_doubled(path: str, found: Iterable[Bmc]) -> None:
    """Two hosts that are one machine, or behind one BMC: one of them would be switched off for
    the other."""
    seen: dict[object, Bmc] = {}
    for one in found:
        where = one.where
        place = where.hostname, where.port or PORTS[where.scheme], one.system
        for what, key in (('uuid', one.uuid), ('uuid', swapped(one.uuid)), ('address', place)):
            other = seen.setdefault(key, one)
            if other is not one:
                raise _refused(path, f'[{other.host}] and [{one.host}] have the same {what}. '
                               'Correct the one that is wrong; a chassis with one BMC for both '
                               'has a system of each')


def _bmc(path: str, host: str, found: dict[str, str]) -> Bmc:
    missing = [name for name in NEEDED if not found.get(name)]
    unknown = sorted(set(found) - {*NEEDED, *MORE, CONFIRMED})
    if missing or unknown:
        raise _refused(path, f'[{host}] ' + (f'has no {missing[0]}' if missing else
                                             f'has {unknown[0]}, which is not known'))
    if not _usable(found['address']):
        raise _refused(path, f'the address in [{host}] must be https://HOST or https://HOST:PORT, '
                       'or ipmi://HOST or ipmi://HOST:PORT')
    try:
        machine = uuid.UUID(found['uuid'])
    except ValueError:
        raise _refused(path, f'the uuid in [{host}] is none') from None
    if machine in PLACEHOLDERS or len(set(machine.bytes)) == 1:
        raise _refused(path, f'the uuid in [{host}] is a placeholder that many boards have, and '
                       'tells no machine from another. Set one in its firmware, or leave the '
                       'section out and fence the host in another way')
    if found.get(CONFIRMED, 'no') not in ('yes', 'no'):
        raise _refused(path, f'{CONFIRMED} in [{host}] must be yes or no')
    if not found.get('cipher_suite', '0').isdecimal():
        raise _refused(path, f'the cipher_suite in [{host}] is no number')
    return Bmc(host, found['address'], found['username'], found['password'], machine,
               found.get('system', ''), found.get('ca_file', ''), found.get('cipher_suite', ''),
               found.get(CONFIRMED) == 'yes')


def _usable(address: str) -> bool:
    """Whether an address names a place, and nothing else that would be left out."""
    try:
        url = urllib.parse.urlsplit(address)
        # a name that begins with a hyphen is an option to a program
        place = url.hostname is not None and not url.hostname.startswith('-') and url.port != 0
    except ValueError:
        return False
    if not place or url.username or url.password:
        return False
    if url.scheme == IPMI:
        return not (url.path.strip('/') or url.query or url.fragment)
    return url.scheme == 'https' or url.scheme == 'http' and url.hostname in LOOPBACK


def _refused(path: str, why: str) -> exceptions.ConfigError:
    return exceptions.ConfigError(group='migsafe', option='bmc_file', reason=f'{path}: {why}')
