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
"""Finds the disks of iSCSI LUNs by the sessions in sysfs, without running iscsiadm.

Rule: the kernel's drivers/scsi/scsi_transport_iscsi.c, for what a session and a connection show.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import ipaddress
import os
import pathlib
from collections.abc import Iterable, Iterator

#: (portal as "address:port", empty for any; name of the target; number of the LUN)
Target = tuple[str, str, int]


def disks(targets: Iterable[Target], sys: str = '/sys') -> set[str]:
    """Kernel names of the SCSI disks behind some LUNs, of whatever session leads there."""
    wanted = [(_portal(portal), target, lun) for portal, target, lun in targets]
    found: set[str] = set()
    for session in glob.glob(os.path.join(sys, 'class', 'iscsi_session', 'session*')):
        # it may end while it is looked at
        with contextlib.suppress(FileNotFoundError):
            name, portals = _read(session, 'targetname'), _portals(session, sys)
            for portal, target, lun in wanted:
                if target == name and (not any(portal) or portal in portals):
                    found |= _blocks(session, lun)
    return found


def _portals(session: str, sys: str) -> set[tuple[str, str]]:
    number = os.path.basename(session).removeprefix('session')
    found = set()
    for connection in glob.glob(os.path.join(sys, 'class', 'iscsi_connection',
                                             f'connection{number}:*')):
        # where it was told to connect, and where it got to
        for kind in ('persistent_', ''):
            with _unconnected():
                address, port = (_read(connection, f'{kind}{what}')
                                 for what in ('address', 'port'))
                found.add((_address(address), port))
    return found


@contextlib.contextmanager
def _unconnected() -> Iterator[None]:
    """A connection that is lost has got nowhere, and has to stand in nobody else's way.

    Rule: the kernel's drivers/scsi/iscsi_tcp.c, iscsi_sw_tcp_conn_get_param().
    """
    try:
        yield
    except OSError as error:
        if error.errno != errno.ENOTCONN:
            raise


def _portal(text: str) -> tuple[str, str]:
    """Address and port of a portal, however it is spelled; ('', '') for any.

    An IPv6 address stands in brackets or not, and iscsiadm puts the tag of the portal's group
    behind a comma.
    """
    host, _, port = text.partition(',')[0].rpartition(':')
    return _address(host.strip('[]')), port


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        # a name
        return text.lower()


def _blocks(session: str, lun: int) -> set[str]:
    # sessionN in the class is a device of the same name below the host, with its targets beside
    found = glob.glob(os.path.join(session, 'device', 'target*', f'*:*:*:{lun}', 'block', '*'))
    return {os.path.basename(path) for path in found}


def _read(directory: str, name: str) -> str:
    return pathlib.Path(directory, name).read_text(encoding='ascii', errors='replace').strip()
