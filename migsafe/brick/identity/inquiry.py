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
"""Reads the identity of a disk from the disk itself.

Everything that the kernel, udev and multipathd say of a disk's identity was read when it was
found, and stays when the array maps another volume to the same number. Only a command that goes
to the disk shows what is mapped now: SCSI INQUIRY (SPC-5 6.7) by SG_IO, NVMe Identify by the
admin ioctl.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl

from migsafe.brick import errors
from migsafe.brick.identity import designators

#: Milliseconds for one command; a healthy array answers in one.
TIMEOUT = 10_000

SG_IO = 0x2285
NVME_IOCTL_ID = 0x4E40
NVME_IOCTL_ADMIN_CMD = 0xC0484E41
_FROM_DEVICE = -3
_INQUIRY = 0x12
_LENGTH = 1024
_IDENTIFY = 6
_NVME_LENGTH = 4096


class _SgIoHdr(ctypes.Structure):
    """struct sg_io_hdr of <scsi/sg.h>."""

    _fields_ = [
        ('interface_id', ctypes.c_int), ('dxfer_direction', ctypes.c_int),
        ('cmd_len', ctypes.c_ubyte), ('mx_sb_len', ctypes.c_ubyte),
        ('iovec_count', ctypes.c_ushort), ('dxfer_len', ctypes.c_uint),
        ('dxferp', ctypes.c_void_p), ('cmdp', ctypes.c_void_p), ('sbp', ctypes.c_void_p),
        ('timeout', ctypes.c_uint), ('flags', ctypes.c_uint), ('pack_id', ctypes.c_int),
        ('usr_ptr', ctypes.c_void_p), ('status', ctypes.c_ubyte),
        ('masked_status', ctypes.c_ubyte), ('msg_status', ctypes.c_ubyte),
        ('sb_len_wr', ctypes.c_ubyte), ('host_status', ctypes.c_ushort),
        ('driver_status', ctypes.c_ushort), ('resid', ctypes.c_int),
        ('duration', ctypes.c_uint), ('info', ctypes.c_uint),
    ]


class _NvmeAdminCmd(ctypes.Structure):
    """struct nvme_admin_cmd of <linux/nvme_ioctl.h>."""

    _fields_ = [
        ('opcode', ctypes.c_uint8), ('flags', ctypes.c_uint8), ('rsvd1', ctypes.c_uint16),
        ('nsid', ctypes.c_uint32), ('cdw2', ctypes.c_uint32), ('cdw3', ctypes.c_uint32),
        ('metadata', ctypes.c_uint64), ('addr', ctypes.c_uint64),
        ('metadata_len', ctypes.c_uint32), ('data_len', ctypes.c_uint32),
        ('cdw10', ctypes.c_uint32), ('cdw11', ctypes.c_uint32), ('cdw12', ctypes.c_uint32),
        ('cdw13', ctypes.c_uint32), ('cdw14', ctypes.c_uint32), ('cdw15', ctypes.c_uint32),
        ('timeout_ms', ctypes.c_uint32), ('result', ctypes.c_uint32),
    ]


def identity(fd: int, name: str) -> designators.Identity:
    """Who a disk says it is, now.

    :param fd: the open disk
    :param name: its kernel name, which tells SCSI from NVMe
    :raises OSError: if it does not answer
    :raises errors.BadPage: if the answer is malformed
    """
    if name.startswith('nvme'):
        return _nvme(fd)
    pages = _vpd(fd, 0)
    found: designators.Identity = frozenset()
    bad: errors.BadPage | None = None
    supported = pages[4:4 + int.from_bytes(pages[2:4], 'big')]
    for page, read in ((0x83, designators.vpd83), (0x80, designators.vpd80)):
        try:
            found |= read(_vpd(fd, page)) if page in supported else frozenset()
        except errors.BadPage as error:
            # one that is malformed does not take along what the other says
            bad = error
    if bad is not None and not found:
        raise bad
    return found


def _vpd(fd: int, page: int) -> bytes:
    """INQUIRY with EVPD.

    :raises OSError: EIO if the disk, its host adapter or the transport refused
    """
    data, sense = ctypes.create_string_buffer(_LENGTH), ctypes.create_string_buffer(64)
    command = ctypes.create_string_buffer(
        bytes((_INQUIRY, 1, page, _LENGTH >> 8, _LENGTH & 0xFF, 0)), 6)
    header = _SgIoHdr(
        interface_id=ord('S'), dxfer_direction=_FROM_DEVICE, cmd_len=6, mx_sb_len=64,
        dxfer_len=_LENGTH, dxferp=ctypes.addressof(data), cmdp=ctypes.addressof(command),
        sbp=ctypes.addressof(sense), timeout=TIMEOUT)
    fcntl.ioctl(fd, SG_IO, header)
    if header.status or header.host_status or header.driver_status & 0xF:
        raise OSError(errno.EIO, f'INQUIRY of page {page:02x}h: SCSI status {header.status}, '
                                 f'host {header.host_status}, driver {header.driver_status}')
    got = data.raw[:_LENGTH - max(header.resid, 0)]
    if len(got) < 4 or got[1] != page:
        raise errors.BadPage(reason=f'{len(got)} bytes that are not page {page:02x}h')
    if int.from_bytes(got[2:4], 'big') > _LENGTH - 4:
        # cut off by the buffer: what is whole is as good
        raise errors.BadPage(reason=f'page {page:02x}h is longer than {_LENGTH} bytes')
    return got


def _nvme(fd: int) -> designators.Identity:
    nsid = fcntl.ioctl(fd, NVME_IOCTL_ID)
    try:
        found = designators.nvme_descriptors(_identify(fd, nsid, 3))
    except OSError:
        # controllers before NVMe 1.3 do not know that list
        found = frozenset()
    if found:
        return found
    namespace = _identify(fd, nsid, 0)
    return frozenset(f'eui.{value.hex()}'
                     for value in (namespace[104:120], namespace[120:128]) if any(value))


def _identify(fd: int, nsid: int, cns: int) -> bytes:
    data = ctypes.create_string_buffer(_NVME_LENGTH)
    command = _NvmeAdminCmd(opcode=_IDENTIFY, nsid=nsid, addr=ctypes.addressof(data),
                            data_len=_NVME_LENGTH, cdw10=cns, timeout_ms=TIMEOUT)
    status = fcntl.ioctl(fd, NVME_IOCTL_ADMIN_CMD, command)
    if status:
        raise OSError(errno.EIO, f'Identify {cns:02x}h: NVMe status {status:#x}')
    return data.raw
