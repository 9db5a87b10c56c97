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
"""What a file is, without a question to whoever serves its file system.

stat(2) of a file on a dead NFS server may never return. statx(2) with AT_STATX_DONT_SYNC answers
from what the kernel has (fs/nfs/inode.c, nfs_getattr(); fs/fuse/dir.c, fuse_update_get_attr()),
and the type and the device number of a node never change. Python has had no statx() before 3.15.
"""

from __future__ import annotations

import ctypes
import dataclasses
import errno
import functools
import os
import stat
import struct

from migsafe.brick.kernel import bounded

AT_FDCWD = -100
_AT_STATX_DONT_SYNC = 0x4000
_TYPE = 1
#: struct statx of <linux/stat.h>: what is read of its 256 bytes, and where.
_SIZE = 256
_MODE = struct.Struct('=H')
_NUMBERS = struct.Struct('=4I')
_MODE_AT, _NUMBERS_AT = 28, 128

#: Seconds for a path that somebody else has chosen: a server may be on the way to it.
PATIENCE = 1.0

_LIBC = ctypes.CDLL(None, use_errno=True)


class Unanswered(OSError):
    """Which device is behind a path was not said in time."""


@dataclasses.dataclass(frozen=True)
class Kind:
    """What a file is.

    :param device: "b8:0" or "c21:0" of a node, '' of anything else
    :param on: major:minor of the device that its file system is on
    """

    device: str
    on: str


def kind(name: str | bytes, directory: int = AT_FDCWD) -> Kind:
    """What is behind a name; the links of /proc lead to what is open.

    :param directory: an open directory, from which the name goes
    :raises OSError: as statx(2) does
    """
    buffer = ctypes.create_string_buffer(_SIZE)
    if _LIBC.statx(directory, os.fsencode(name), _AT_STATX_DONT_SYNC, _TYPE, buffer):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), os.fsdecode(name))
    mode, = _MODE.unpack_from(buffer, _MODE_AT)
    major, minor, on_major, on_minor = _NUMBERS.unpack_from(buffer, _NUMBERS_AT)
    letter = 'b' if stat.S_ISBLK(mode) else 'c' if stat.S_ISCHR(mode) else ''
    return Kind(f'{letter}{major}:{minor}' if letter else '', f'{on_major}:{on_minor}')


def kind_in_time(name: str) -> Kind | None:
    """The same of a path that somebody else has chosen.

    :returns: None if a server on the way does not answer: it is no disk of this host
    :raises OSError: as statx(2) does
    :raises Unanswered: a node of a device does not answer
    """
    try:
        found: Kind = bounded.one(('kind', name), functools.partial(kind, name), PATIENCE,
                                  join=True)
    except bounded.Silent:
        unanswered(name)
        return None
    return found


def unanswered(path: str) -> None:
    """Nobody has said in time what is behind a path.

    :raises Unanswered: if it is that of a device, as /dev is no server's
    """
    if '/dev/' in path:
        # with the name in the text: a privsep daemon sends no more of an error
        raise Unanswered(errno.ETIMEDOUT, f'{path}: {os.strerror(errno.ETIMEDOUT)}')
