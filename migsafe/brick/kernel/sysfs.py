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
"""A read-only view of /sys/class/block.

Layout: Documentation/ABI/testing/sysfs-block and sysfs-block-dm of the kernel. A node vanishes
whenever the kernel removes its device, so that every read may say that it is gone. It is looked at
before each detach, on hosts with thousands of devices: system calls on strings, and none that only
finds out whether the next one will do.
"""

from __future__ import annotations

import errno
import os
import pathlib
import re
import stat

from migsafe.brick import errors

#: What the kernel and udev name a block device; a slash of a driver's name is a "!" in sysfs. No
#: part of it is "..", so that it leads to nothing outside of /dev.
NAME = re.compile(r'(?=.{1,64}\Z)[A-Za-z0-9][A-Za-z0-9_.:-]*(![A-Za-z0-9][A-Za-z0-9_.:-]*)*\Z')

#: No attribute that is read here is as long as this.
LIMIT = 4096

_GONE = (errno.ENOENT, errno.ENODEV, errno.ENXIO, errno.ENOTDIR)


class Gone(Exception):
    """The device is not there, or not there any more."""


class Sysfs:
    """Block devices by their kernel names ("sda", "sda1", "dm-3", "nvme0n1").

    :param root: where sysfs is mounted
    """

    def __init__(self, root: str = '/sys') -> None:
        self.root = pathlib.Path(root)
        self._top = os.path.join(root, 'class', 'block', '')

    def names(self) -> set[str]:
        """All block devices that are there now."""
        return set(os.listdir(self._top))

    def exists(self, name: str) -> bool:
        """Whether the kernel has such a device now."""
        return bool(NAME.match(name)) and os.path.isdir(self._top + name)

    def holders(self, name: str) -> list[str]:
        """The devices directly above one.

        :raises Gone: if it is not there
        :raises errors.Unsure: if sysfs does not say
        """
        return self._list(name, f'{self._path(name)}/holders')

    def slaves(self, name: str) -> list[str]:
        """The devices directly below one; a partition's disk is not among them.

        :raises Gone, errors.Unsure: see holders()
        """
        return self._list(name, f'{self._path(name)}/slaves', optional=True)

    def partitions(self, name: str) -> list[str]:
        """The kernel's partitions of a disk.

        :raises Gone, errors.Unsure: see holders()
        """
        path = self._path(name)
        return [entry for entry in self._list(name, path) if entry.startswith(name)
                and os.path.isfile(f'{path}/{entry}/partition')]

    def disk(self, name: str) -> str | None:
        """The disk that a partition is a part of; None for what is no partition.

        :raises Gone: if it is not there
        """
        path = self._path(name)
        if os.path.exists(f'{path}/partition'):
            return os.path.basename(os.path.dirname(os.path.realpath(path)))
        if not self.exists(name):
            raise Gone(name)
        return None

    def attribute(self, name: str, *path: str) -> str:
        """One attribute, without its newline; '' if this kind of device has none.

        :raises Gone: if the device is not there
        :raises errors.Unsure: if it cannot be read
        """
        file = '/'.join((self._path(name), *path))
        try:
            fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
            try:
                text = os.read(fd, LIMIT)
            finally:
                os.close(fd)
        except OSError as error:
            if error.errno in _GONE:
                if self.exists(name):
                    return ''
                raise Gone(name) from error
            raise self._unsure(name, file, error) from error
        return text.decode('utf-8', 'backslashreplace').removesuffix('\n')

    def number(self, name: str) -> str:
        """major:minor.

        :raises Gone, errors.Unsure: see attribute()
        """
        return self.attribute(name, 'dev')

    def name_of(self, number: str) -> str | None:
        """The device of a major:minor, or None."""
        link = os.path.join(self.root, 'dev', 'block', number)
        return os.path.basename(os.path.realpath(link)) if os.path.exists(link) else None

    def _path(self, name: str) -> str:
        if not NAME.match(name):
            raise errors.Unsure(device=ascii(name), host='this host',
                                reason='that is not the name of a block device')
        return self._top + name

    def _list(self, name: str, directory: str, optional: bool = False) -> list[str]:
        try:
            return sorted(os.listdir(directory))
        except OSError as error:
            if error.errno in _GONE and not self.exists(name):
                raise Gone(name) from error
            if optional and error.errno == errno.ENOENT:
                return []
            raise self._unsure(name, directory, error) from error

    @staticmethod
    def _unsure(name: str, path: str, error: OSError) -> errors.Unsure:
        return errors.Unsure(device=name, host='this host',
                             reason=f'{path} cannot be read: {error.strerror}')


def kernel_name(path: str) -> str | None:
    """The kernel's name of the block device behind a path.

    :param path: /dev/sdb, a link to it below /dev/disk or /dev/mapper, or what a caller made up
    :returns: None if there is no block device
    """
    try:
        number = block_number(os.stat(os.path.realpath(path)))
    except (OSError, ValueError):
        return None
    return Sysfs().name_of(number) if number else None


def block_number(found: os.stat_result) -> str | None:
    """major:minor of a block device; None for anything else, a character device for instance."""
    if not stat.S_ISBLK(found.st_mode):
        return None
    return f'{os.major(found.st_rdev)}:{os.minor(found.st_rdev)}'
