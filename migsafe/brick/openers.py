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
"""Who has a block device open, mounted or in use as swap, from /proc.

An open file descriptor leaves no trace in sysfs, and a QEMU that still runs is nothing else.
Reading the descriptors of other users' processes needs root; see migsafe.brick.privileged.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Collection, Iterator

from migsafe.brick import sysfs

#: They keep paths open, or open every device for a moment, as part of having it at all.
CARETAKERS = frozenset(('multipathd', 'systemd-udevd', 'udevd', '(udev-worker)', 'udevadm',
                        'iscsid', 'blkid'))


@dataclasses.dataclass(frozen=True)
class Use:
    """One use of a device.

    :param device: major:minor
    :param what: "process 123 (qemu-kvm)", "mounted on /srv", "swap"
    """

    device: str
    what: str

    def __str__(self) -> str:
        return self.what


def processes(numbers: Collection[str], proc: str = '/proc') -> list[Use]:
    """The processes that have one of some devices open.

    :param numbers: major:minor of each
    :returns: none of CARETAKERS
    """
    found = []
    for directory in _processes(proc):
        opened = {number for number in _descriptors(directory) if number in numbers}
        name = _name(directory) if opened else ''
        if opened and name not in CARETAKERS:
            found += [Use(number, f'process {directory.name} ({ascii(name)[1:-1]})')
                      for number in sorted(opened)]
    return found


def mounts(numbers: Collection[str], proc: str = '/proc') -> list[Use]:
    """Where some devices are mounted, in any mount namespace that this process may look into.

    See proc_pid_mountinfo(5): the third field is the device, the fifth where it is mounted.
    """
    found: dict[Use, None] = {}
    seen = set()
    for directory in _processes(proc):
        try:
            namespace = os.readlink(directory / 'ns' / 'mnt')
        except OSError:
            # of another user: its mountinfo is not to be had either
            continue
        if namespace in seen:
            continue
        seen.add(namespace)
        for fields in _lines(directory / 'mountinfo'):
            if len(fields) > 4 and fields[2] in numbers:
                where = f'mounted on {ascii(fields[4])[1:-1]}'
                if directory.name not in ('1', 'self'):
                    where += f' in the mount namespace of process {directory.name}'
                found[Use(fields[2], where)] = None
    return list(found)


def swaps(numbers: Collection[str], proc: str = '/proc') -> list[Use]:
    """Which of some devices are swap space."""
    found = []
    for fields in _lines(pathlib.Path(proc) / 'swaps'):
        number = _number(fields[0]) if fields else None
        if number in numbers:
            found.append(Use(str(number), 'swap'))
    return found


def loops(numbers: Collection[str], sys: str = '/sys') -> list[Use]:
    """The loop devices over some devices.

    Such a device claims nothing, has no link in sysfs, and once it is set up no process has what
    is below it open. See Documentation/ABI/testing/sysfs-block-loop, or drivers/block/loop.c.
    """
    found = []
    for file in pathlib.Path(sys, 'class', 'block').glob('loop*/loop/backing_file'):
        for fields in _lines(file):
            path = ' '.join(fields)
            # a file of a dead NFS server is never looked at; see _descriptors()
            number = _number(path) if path.startswith('/dev/') else None
            if number in numbers:
                found.append(Use(str(number), f'loop device {file.parent.parent.name}'))
    return found


def _processes(proc: str) -> Iterator[pathlib.Path]:
    for entry in os.scandir(proc):
        if entry.name.isdigit():
            yield pathlib.Path(entry.path)


def _descriptors(process: pathlib.Path) -> Iterator[str]:
    """major:minor of the block devices that a process has open; none of one that has ended."""
    try:
        entries = os.listdir(process / 'fd')
    except OSError:
        return
    for entry in entries:
        # only what lies below some /dev: to stat a file of a dead NFS server may never return
        try:
            device = '/dev/' in os.readlink(process / 'fd' / entry)
        except OSError:
            continue
        number = _number(process / 'fd' / entry) if device else None
        if number:
            yield number


def _number(path: str | pathlib.Path) -> str | None:
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return sysfs.block_number(found)


def _name(process: pathlib.Path) -> str:
    try:
        return (process / 'comm').read_text('utf-8', 'backslashreplace').rstrip('\n')
    except OSError:
        return 'ended'


def _lines(path: pathlib.Path) -> list[list[str]]:
    try:
        text = path.read_text('utf-8', 'backslashreplace')
    except OSError:
        return []
    return [line.split(' ') if '\t' not in line else line.split() for line in text.splitlines()]
