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
"""Where a SCSI disk leads to, by what the kernel has connected it to: a target and a LUN."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import re
from collections.abc import Collection, Iterable

from migsafe.brick.kernel import sysfs as kernel_sysfs

_PLACE = re.compile(r'\d+:\d+:\d+:(\d+)\Z')
_SESSION = re.compile(r'/(session\d+)/')
_PORT = re.compile(r'/(rport-[^/]+)/')
#: Arrays may number a LUN in the flat space of SAM-5 4.7.7.3, of which the kernel shows the bits.
_FLAT, _NUMBER = 0x4000, 0x3FFF

#: The name of a port of Fibre Channel; iSCSI's begin with iqn., eui. or naa.
_WWN = re.compile(r'[0-9a-f]+\Z')

#: (name of a target, '' for any; number of the LUN)
Lead = tuple[str, int]


@dataclasses.dataclass(frozen=True)
class Address:
    """What a path leads to.

    :param target: IQN, or WWN of a port in lower case without 0x; '' if it does not say
    :param node: WWN of the node that the port is of, '' for iSCSI
    """

    target: str
    lun: int
    node: str = ''

    def __str__(self) -> str:
        return f'LUN {self.lun} of {self.target or "a target that is not known"}'


def address(sysfs: kernel_sysfs.Sysfs, name: str) -> Address | None:
    """Of a disk; None for what is no SCSI disk, or is gone."""
    real = os.path.realpath(sysfs.root / 'class' / 'block' / name / 'device')
    place = _PLACE.search(real)
    if not place:
        return None
    session, port = _SESSION.search(real), _PORT.search(real)
    if session:
        return Address(_text(sysfs, 'iscsi_session', session[1], 'targetname'), _lun(place[1]))
    if port:
        return Address(_wwn(sysfs, port[1], 'port_name'), _lun(place[1]),
                       _wwn(sysfs, port[1], 'node_name'))
    return Address('', _lun(place[1]))


def strangers(sysfs: kernel_sysfs.Sysfs, names: Iterable[str],
              leads: Collection[Lead]) -> dict[str, Address]:
    """Those of some disks that lead to nothing of a connection.

    An array shows a volume at more ports than Cinder tells of: another port of a node that the
    connection has is no stranger, as long as the LUN is the same. The name of a port of Fibre
    Channel and that of an iSCSI target cannot be compared: the number of the LUN is what there is.
    """
    found = {name: where for name in names if (where := address(sysfs, name))}
    told = {target for target, _ in leads}
    nodes = {where.node for where in found.values() if where.node and where.target in told}
    return {name: where for name, where in found.items() if not any(
        where.lun == _flat(lun) and (target in ('', where.target) or not where.target
                                     or where.node in nodes or _alien(where.target, target))
        for target, lun in leads)}


def leading_to(sysfs: kernel_sysfs.Sysfs, leads: Collection[Lead]) -> list[str]:
    """Disks that lead to something of a connection, or may lead there.

    Another port of Fibre Channel with the same LUN may be one of the same array, of which Cinder
    tells only some; and the kernel may not say what a port or a session leads to any more.
    """
    return sorted(name for name in sysfs.names() if any(
        _may_lead(sysfs, name, target, _flat(lun)) for target, lun in leads))


def _may_lead(sysfs: kernel_sysfs.Sysfs, name: str, target: str, lun: int) -> bool:
    where = address(sysfs, name)
    if where is None or where.lun != lun:
        return False
    if where.target:
        return where.target.lower() == target.lower() or bool(
            _WWN.match(where.target) and _WWN.match(target))
    real = os.path.realpath(sysfs.root / 'class' / 'block' / name / 'device')
    return bool(_SESSION.search(real) or _PORT.search(real))


def _alien(one: str, other: str) -> bool:
    """Whether two names are of different transports."""
    return bool(_WWN.match(one)) != bool(_WWN.match(other))


def _flat(lun: int) -> int:
    return lun & _NUMBER if lun & ~_NUMBER == _FLAT else lun


def _lun(text: str) -> int:
    return _flat(int(text))


def _wwn(sysfs: kernel_sysfs.Sysfs, port: str, name: str) -> str:
    return _text(sysfs, 'fc_remote_ports', port, name).lower().removeprefix('0x')


def _text(sysfs: kernel_sysfs.Sysfs, *path: str) -> str:
    try:
        return pathlib.Path(sysfs.root, 'class', *path).read_text('utf-8', 'replace').strip()
    except OSError:
        return ''
