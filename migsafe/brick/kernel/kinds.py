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
"""The kind of a holder (LVM, multipath, ...), from its name and its device-mapper uuid.

The prefixes of device-mapper uuids are a convention of those who make the maps: libdevmapper's
"SUBSYSTEM-" (dm_task_set_uuid), multipath-tools "mpath-", kpartx "partN-" before that of the map,
cryptsetup "CRYPT-", dmraid "DMRAID-", stratisd "stratis-".
"""

from __future__ import annotations

import enum
import re


class Kind(enum.Enum):
    """Kinds of block devices; the value is what a message says."""

    DISK = 'disk'
    PARTITION = 'partition'
    MULTIPATH = 'multipath map'
    PARTITION_MAP = 'partition map (kpartx)'
    LV = 'LVM logical volume'
    CRYPT = 'dm-crypt'
    MD = 'md array'
    BCACHE = 'bcache'
    LOOP = 'loop device'
    DM = 'device-mapper table'


#: (what a device-mapper uuid looks like, kind)
_UUIDS: tuple[tuple[re.Pattern[str], Kind], ...] = (
    (re.compile(r'mpath-'), Kind.MULTIPATH),
    (re.compile(r'part\d+-mpath-'), Kind.PARTITION_MAP),
    (re.compile(r'LVM-'), Kind.LV),
    (re.compile(r'CRYPT-'), Kind.CRYPT),
)
#: (what a kernel name looks like, kind)
_NAMES: tuple[tuple[re.Pattern[str], Kind], ...] = (
    (re.compile(r'dm-\d+\Z'), Kind.DM),
    (re.compile(r'md[_\d]'), Kind.MD),
    (re.compile(r'bcache\d'), Kind.BCACHE),
    (re.compile(r'loop\d'), Kind.LOOP),
)
#: LVM writes both uuids in a row, 32 characters each, without their dashes
_LV_UUID = re.compile(r'LVM-([A-Za-z0-9]{32})([A-Za-z0-9]{32})(?:-.*)?\Z', re.DOTALL)
_LV_NAME = re.compile(r'((?:[^-]|--)+)-((?:[^-]|--)+)(?:-.*)?\Z', re.DOTALL)


def kind(name: str, uuid: str = '', partition: bool = False) -> Kind:
    """Classify a device.

    :param name: kernel name
    :param uuid: device-mapper uuid, '' for what is no map
    :param partition: whether it is a partition of the kernel
    """
    if partition:
        return Kind.PARTITION
    for pattern, found in _UUIDS if uuid else ():
        if pattern.match(uuid):
            return found
    for pattern, found in _NAMES:
        if pattern.match(name):
            return found
    return Kind.DISK


def lv_uuids(uuid: str) -> tuple[str, str] | None:
    """(uuid of the VG, uuid of the LV) of a device-mapper uuid, as LVM prints them."""
    match = _LV_UUID.match(uuid)
    return (_dashed(match[1]), _dashed(match[2])) if match else None


def lv_names(dm_name: str) -> tuple[str, str] | None:
    """(VG, LV) of a device-mapper name, where LVM doubles the hyphens of both."""
    match = _LV_NAME.match(dm_name)
    return (match[1].replace('--', '-'), match[2].replace('--', '-')) if match else None


def lv_label(dm_name: str) -> str:
    """VG/LV, fit for a message."""
    names = lv_names(dm_name)
    return ascii('/'.join(names) if names else dm_name)[1:-1]


def _dashed(raw: str) -> str:
    """As vgs and lvs print a uuid: 6-4-4-4-4-4-6."""
    cuts = (0, 6, 10, 14, 18, 22, 26, 32)
    return '-'.join(raw[a:b] for a, b in zip(cuts, cuts[1:], strict=False))
