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
"""Loop devices by what the kernel has below them.

Such a device claims nothing, and once it is set up no process has what is below it open. Its
``backing_file`` is the path that somebody chose in his mount namespace; LOOP_GET_STATUS64 tells
the number of the device (drivers/block/loop.c, loop_get_status()).
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import functools
import os
import pathlib
import struct
from collections.abc import Iterator

from migsafe.brick.kernel import bounded, nodes, statx

#: Seconds. What lies on this host's disks is known at once; for a file on a server it is asked.
PATIENCE = 1.0
LOOP_GET_STATUS64 = 0x4C05
#: struct loop_info64 of <linux/loop.h>: what the file is on, its inode, the device that it is.
_STATUS, _SIZE = struct.Struct('=3Q'), 232


def below(sys: str = '/sys', dev: str = '/dev') -> Iterator[tuple[str, str, str]]:
    """(loop device, major:minor of the device below or '', that of the file's file system).

    :raises OSError: if one cannot be asked, or stands on a device and does not answer; one that
        has come to its end is left out
    """
    for file in sorted(pathlib.Path(sys, 'class', 'block').glob('loop*/loop/backing_file')):
        name = file.parent.parent.name
        try:
            status = bounded.one(('loop', name), functools.partial(_status, name, sys, dev),
                                 PATIENCE, join=True)
        except bounded.Silent:
            # only for a file on a server somebody has to be asked, and that is no disk's of here
            statx.unanswered(f'loop device {name} over '
                             + ascii(file.read_text('utf-8', 'backslashreplace').strip())[1:-1])
            continue
        except OSError as error:
            if error.errno in (errno.ENXIO, errno.ENODEV):
                continue
            raise OSError(error.errno, f'loop device {name}: {error.strerror}') from error
        on, _, device = _STATUS.unpack_from(status)
        yield name, _number(device) if device else '', _number(on)


def _status(name: str, sys: str, dev: str) -> bytes:
    fd = nodes.opened(name, False, dev, sys)
    try:
        data = ctypes.create_string_buffer(_SIZE)
        fcntl.ioctl(fd, LOOP_GET_STATUS64, data)
        return data.raw
    finally:
        os.close(fd)


def _number(encoded: int) -> str:
    """What huge_encode_dev() of include/linux/kdev_t.h has made, which is as glibc has it."""
    return f'{os.major(encoded)}:{os.minor(encoded)}'
