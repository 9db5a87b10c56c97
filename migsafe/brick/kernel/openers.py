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
Reading the descriptors of other users' processes needs root; see migsafe.brick.root.privileged.

It answers with everything or not at all: only a process that has ended has nothing open. What
cannot be read for any other reason is an OSError, never "nobody".
"""

from __future__ import annotations

import dataclasses
import errno
import os
import pathlib
from collections.abc import Collection, Iterator

from migsafe.brick.kernel import sysfs

#: They keep paths open, or open every device for a moment, as part of having it at all.
CARETAKERS = frozenset(('multipathd', 'systemd-udevd', 'udevd', '(udev-worker)', 'udevadm',
                        'iscsid', 'blkid'))
#: PROC_PID_INIT_INO of include/linux/proc_ns.h: the PID namespace that has all processes.
INITIAL = 'pid:[4026531836]'
#: What /proc and /sys say of a process or a device that is not there any more.
_ENDED = (errno.ENOENT, errno.ESRCH, errno.ENODEV)


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


def everybody(proc: str = '/proc') -> bool:
    """Whether this process sees those of the whole host, and not of a container alone."""
    return os.readlink(f'{proc}/self/ns/pid') == INITIAL


def processes(numbers: Collection[str], proc: str = '/proc') -> list[Use]:
    """The processes that have one of some devices open.

    :param numbers: major:minor of each
    :returns: none of CARETAKERS
    :raises OSError: if that is not to be found out
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
    """Where some devices are mounted, in any mount namespace.

    See proc_pid_mountinfo(5): the third field is the device, the fifth where it is mounted.

    :raises OSError: see processes()
    """
    found: dict[Use, None] = {}
    seen = set()
    for directory in _processes(proc):
        try:
            namespace = os.readlink(directory / 'ns' / 'mnt')
            # EINVAL is what a zombie says, see mounts_open_common() in fs/proc_namespace.c
            lines = [] if namespace in seen else _lines(directory / 'mountinfo', errno.EINVAL)
        except OSError as error:
            _has_ended(error)
            continue
        if lines:
            seen.add(namespace)
        for fields in lines:
            if len(fields) > 4 and fields[2] in numbers:
                where = f'mounted on {ascii(fields[4])[1:-1]}'
                if directory.name not in ('1', 'self'):
                    where += f' in the mount namespace of process {directory.name}'
                found[Use(fields[2], where)] = None
    return list(found)


def swaps(numbers: Collection[str], proc: str = '/proc') -> list[Use]:
    """Which of some devices are swap space.

    :raises OSError: see processes()
    """
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

    :raises OSError: see processes()
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
    except OSError as error:
        _has_ended(error)
        return
    for entry in entries:
        # only what lies below some /dev: to stat a file of a dead NFS server may never return
        try:
            device = '/dev/' in os.readlink(process / 'fd' / entry)
        except OSError as error:
            _has_ended(error)
            continue
        number = _number(process / 'fd' / entry) if device else None
        if number:
            yield number


def _number(path: str | pathlib.Path) -> str | None:
    try:
        found = os.stat(path)
    except ValueError:
        return None
    except OSError as error:
        _has_ended(error, errno.ENOTDIR)
        return None
    return sysfs.block_number(found)


def _name(process: pathlib.Path) -> str:
    try:
        return (process / 'comm').read_text('utf-8', 'backslashreplace').rstrip('\n')
    except OSError:
        return 'ended'


def _has_ended(error: OSError, *also: int) -> None:
    """Let an error pass that means that there is nothing any more, and no other."""
    if error.errno not in (*_ENDED, *also):
        # with the name in the text: a privsep daemon sends no more of an error
        raise OSError(error.errno, f'{error.filename}: {error.strerror}') from error


def _lines(path: pathlib.Path, *ended: int) -> list[list[str]]:
    """The fields of each line.

    :param ended: numbers of more errors that mean that there is nothing
    """
    try:
        text = path.read_text('utf-8', 'backslashreplace')
    except OSError as error:
        _has_ended(error, *ended)
        return []
    return [line.split(' ') if '\t' not in line else line.split() for line in text.splitlines()]
