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
"""Whether a block device is local to this host or comes over a network, as volumes do.

What is not known for sure to be either is UNKNOWN. Sources: the kernel's transport classes
(fc_host, iscsi_host, the directories of iSCSI sessions and of Fibre Channel's remote ports) and
``proc_name`` of the drivers below drivers/scsi, drivers/ata and drivers/usb/storage; ``transport``
of NVMe (drivers/nvme/host/sysfs.c).
"""

from __future__ import annotations

import enum
import os
import re
from collections.abc import Iterable

from migsafe.brick import errors
from migsafe.brick.kernel import kinds
from migsafe.brick.kernel import sysfs as kernel_sysfs


class Place(enum.Enum):
    """The value is what a message says."""

    LOCAL = 'a local disk'
    NETWORK = 'a disk from the network'
    INSIDE = 'inside a logical volume'
    UNKNOWN = 'a device of a kind that tells nothing'


#: (what a kernel name looks like, where such a device is)
_NAMES: tuple[tuple[re.Pattern[str], Place], ...] = (
    (re.compile(r'(vd|xvd)[a-z]|(mmcblk|dasd|pmem)[0-9a-z]'), Place.LOCAL),
    (re.compile(r'(rbd|nbd)\d'), Place.NETWORK),
)
_NVME = re.compile(r'nvme\d')
_SCSI = re.compile(r'sd[a-z]')
_HOST = re.compile(r'/(host\d+)/')
_REMOTE = re.compile(r'/(session\d+|rport-[^/]+)/')
_CONTROLLER = re.compile(r'nvme\d+\Z')
#: Drivers of SCSI hosts whose disks are in the machine, or plugged into it.
_LOCAL_DRIVERS = re.compile(
    r'(ahci|ata_\w+|pata_\w+|sata_\w+|megaraid(_sas)?|mpt[23]?sas|mptsas|mptspi|mpi3mr|smartpqi|'
    r'hpsa|cciss|aacraid|arcmsr|3w-\w+|isci|mvsas|pm80\w+|hisi_sas\w*|aic94xx|usb-storage|uas|'
    r'virtio_scsi|vmw_pvscsi|storvsc|hv_storvsc|scsi_debug|ufshcd|esas2r|pvscsi)\Z')
_MOST = 1000


def stack(sysfs: kernel_sysfs.Sysfs, name: str) -> set[str]:
    """A device and everything below it; a partition stands on its disk.

    :raises sysfs.Gone, errors.Unsure: see Sysfs
    """
    seen: set[str] = set()
    todo = [name]
    while todo:
        if len(seen) > _MOST:
            raise errors.Unsure(device=name, host='this host',
                                reason=f'it stands on more than {_MOST} devices')
        here = todo.pop()
        if here not in seen:
            seen.add(here)
            disk = sysfs.disk(here)
            todo += [disk] if disk else sysfs.slaves(here)
    return seen


def place(sysfs: kernel_sysfs.Sysfs, name: str) -> Place:
    """Where the device of a PV is.

    :param name: kernel name
    :raises sysfs.Gone, errors.Unsure: see Sysfs
    """
    found = stack(sysfs, name)
    if any(sysfs.attribute(here, 'dm', 'uuid').startswith('LVM-') for here in found):
        return Place.INSIDE
    return together(disk(sysfs, here) for here in found
                    if not sysfs.disk(here) and not sysfs.slaves(here))


def together(places: Iterable[Place]) -> Place:
    """The one place of all; UNKNOWN for a mixture, and for nothing."""
    one = set(places)
    return one.pop() if len(one) == 1 else Place.UNKNOWN


def disk(sysfs: kernel_sysfs.Sysfs, name: str) -> Place:
    """Where what stands on nothing is."""
    if kinds.kind(name) is not kinds.Kind.DISK:
        # a loop device or a table of device-mapper: somebody made it of something
        return Place.UNKNOWN
    for pattern, found in _NAMES:
        if pattern.match(name):
            return found
    if _NVME.match(name):
        return _nvme(sysfs, name)
    return _scsi(sysfs, name) if _SCSI.match(name) else Place.UNKNOWN


def _nvme(sysfs: kernel_sysfs.Sysfs, name: str) -> Place:
    """By the transports of all its controllers; a shared namespace hangs on its subsystem."""
    device = sysfs.root / 'class' / 'block' / name / 'device'
    try:
        controllers = [entry for entry in os.listdir(device) if _CONTROLLER.match(entry)]
    except OSError:
        return Place.UNKNOWN
    found = [sysfs.attribute(name, 'device', 'transport'),
             *(sysfs.attribute(name, 'device', entry, 'transport') for entry in controllers)]
    transports = {one for one in found if one}
    if not transports:
        return Place.UNKNOWN
    return Place.LOCAL if transports == {'pcie'} else Place.NETWORK


def _scsi(sysfs: kernel_sysfs.Sysfs, name: str) -> Place:
    real = os.path.realpath(sysfs.root / 'class' / 'block' / name)
    if _REMOTE.search(real):
        return Place.NETWORK
    match = _HOST.search(real)
    if not match:
        return Place.UNKNOWN
    if any((sysfs.root / 'class' / transport / match[1]).exists()
           for transport in ('fc_host', 'iscsi_host', 'srp_host')):
        return Place.NETWORK
    try:
        driver = (sysfs.root / 'class' / 'scsi_host' / match[1] / 'proc_name').read_text()
    except OSError:
        return Place.UNKNOWN
    return Place.LOCAL if _LOCAL_DRIVERS.match(driver.strip()) else Place.UNKNOWN
