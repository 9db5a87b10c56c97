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
"""The node of a block device: that it is the device's, before it is opened."""

from __future__ import annotations

import errno
import os

from migsafe.brick import errors
from migsafe.brick.kernel import sysfs as kernel_sysfs


def opened(name: str, exclusive: bool = False, dev: str = '/dev', sys: str = '/sys') -> int:
    """Open a disk for reading; with ``exclusive`` as whoever wants to stand on it alone.

    O_EXCL on a block device asks the kernel for the claim that a mount, swap, md and
    device-mapper take (bd_prepare_to_claim): it fails with EBUSY while one of them has it, and
    none can get it while this is open. A plain open() is neither seen nor kept out by it.

    To open the wrong thing as root may do something, to a watchdog for instance. So the node is
    looked at first by O_PATH, which opens nothing, and what was looked at is what is opened.

    :raises OSError: as open(2) does; ENODEV if there is no such device, ENOENT if the device has
        no node, ENOTBLK if the node is another's
    """
    path = os.path.join(dev, name.replace('!', '/'))
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (os.O_EXCL if exclusive else 0)
    sysfs = kernel_sysfs.Sysfs(sys)
    try:
        number = sysfs.number(name)
        node = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    except errors.Unsure as unsure:
        raise OSError(errno.EIO, str(unsure)) from unsure
    except (kernel_sysfs.Gone, FileNotFoundError) as error:
        if sysfs.exists(name):
            raise OSError(errno.ENOENT, f'the kernel has {name}, but there is no {path}'
                          ) from error
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV)) from error
    try:
        if not number or kernel_sysfs.block_number(os.fstat(node)) != number:
            raise OSError(errno.ENOTBLK, f'{path} is not the block device {number} that the '
                                         'kernel calls so')
        return os.open(f'/proc/self/fd/{node}', flags)
    finally:
        os.close(node)
