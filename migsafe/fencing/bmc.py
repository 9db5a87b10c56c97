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

from migsafe import exceptions

NEEDED, MORE = ('address', 'username', 'password', 'uuid'), ('system', 'ca_file', 'cipher_suite')
#: The scheme of an address, and the name of its probe and fence.
IPMI = 'ipmi'
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
    """

    host: str
    address: str
    username: str
    password: str = dataclasses.field(repr=False)
    uuid: uuid.UUID
    system: str = ''
    ca_file: str = ''
    cipher_suite: str = ''

    @property
    def where(self) -> urllib.parse.SplitResult:
        """The address in its parts."""
        return urllib.parse.urlsplit(self.address)

    @property
    def protocol(self) -> str:
        """The name of the probe and of the fence that can talk to it."""
        return IPMI if self.where.scheme == IPMI else 'redfish'


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
    return {host: _bmc(path, host, dict(parser[host])) for host in parser.sections()}


def _bmc(path: str, host: str, found: dict[str, str]) -> Bmc:
    missing = [name for name in NEEDED if not found.get(name)]
    unknown = sorted(set(found) - {*NEEDED, *MORE})
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
    if not found.get('cipher_suite', '0').isdecimal():
        raise _refused(path, f'the cipher_suite in [{host}] is no number')
    return Bmc(host, found['address'], found['username'], found['password'], machine,
               *(found.get(name, '') for name in MORE))


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
