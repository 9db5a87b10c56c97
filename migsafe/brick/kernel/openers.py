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
"""Who has a block device open, mounted, in use as swap, below a loop device or exported.

An open file descriptor leaves no trace in sysfs, and a QEMU that still runs is nothing else.
Reading the descriptors of other users' processes needs root; see migsafe.brick.root.privileged.
Everything goes by the numbers of devices: a path is chosen by whoever opens it, and so is the
name of a process.

It answers with everything or not at all: only a process that has ended has nothing open. What
cannot be read for any other reason is an OSError, never "nobody".
"""

from __future__ import annotations

import dataclasses
import errno
import glob
import os
import pathlib
from collections.abc import Collection, Mapping

from migsafe.brick.kernel import claims, exports, loops, multipathd, processes, statx
from migsafe.brick.kernel import sysfs as kernel_sysfs

#: PROC_PID_INIT_INO of include/linux/proc_ns.h: the PID namespace that has all processes.
INITIAL = 'pid:[4026531836]'


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


def uses(numbers: Collection[str], proc: str = '/proc', sys: str = '/sys',
         dev: str = '/dev') -> list[Use]:
    """All that has some devices open, stands on them without a link in sysfs, or exports them.

    :param numbers: major:minor of each
    :raises OSError: if that is not to be found out
    """
    if not numbers:
        return []
    found = [*mounts(numbers, proc), *swaps(numbers, proc), *over(numbers, sys, dev),
             *exported(numbers, sys), *processes_of(numbers, proc, sys)]
    if not any(use.what.startswith('mounted') for use in found):
        # what claims it and is mounted nowhere that can be seen
        found += [Use(number, words) for number, words in claims.claims(numbers, sys, proc)]
    return list(dict.fromkeys(found))


def processes_of(numbers: Collection[str], proc: str = '/proc', sys: str = '/sys') -> list[Use]:
    """The processes that have one of some devices open, by whatever node, or a file on one.

    multipathd is none of them, which keeps the paths open as long as it has them; see there.

    :raises OSError: see uses()
    """
    devices, found = nodes_of(numbers, sys), []
    seen: set[tuple[str, ...]] = set()
    for directory in processes.processes(proc):
        if directory.name == str(os.getpid()):
            # what this daemon has open it has opened for a question or a claim
            continue
        here: dict[Use, None] = {}
        flags: list[int] = []
        for one in processes.opened(directory, seen):
            number, kind = devices.get(one.device, ('', ''))
            if number:
                flags.append(one.flags)
                words = f'process {directory.name} ({_name(directory)})'
                if one.how != 'open' or kind:
                    words += ', '.join(('', *filter(None, (
                        f'by {kind}' if kind else '', one.how if one.how != 'open' else ''))))
                here[Use(number, words)] = None
            elif one.on in numbers:
                here[Use(one.on, f'process {directory.name} ({_name(directory)}), a file on '
                                 'it')] = None
        if here and not (flags and multipathd.is_it(directory, flags, proc)):
            found += sorted(here, key=str)
    return found


def nodes_of(numbers: Collection[str], sys: str = '/sys') -> Mapping[str, tuple[str, str]]:
    """What leads to some devices: number as statx.kind() has it -> (major:minor, what it is).

    The other nodes of a SCSI disk are sg and bsg, that of an NVMe namespace is ng.
    """
    sysfs, found = kernel_sysfs.Sysfs(sys), {}
    for number in numbers:
        found[f'b{number}'] = (number, '')
        name = sysfs.name_of(number)
        found[f'{processes.NAMED}{name}'] = (number, '')
        for pattern in () if name is None else (
                f'{sys}/class/block/{name}/device/scsi_generic/*/dev',
                f'{sys}/class/block/{name}/device/bsg/*/dev',
                f'{sys}/class/nvme-generic/ng{name.removeprefix("nvme")}/dev'):
            for path in glob.glob(pattern):
                try:
                    text = pathlib.Path(path).read_text('ascii').strip()
                except OSError as error:
                    processes.has_ended(error, errno.ENODEV)
                    continue
                found[f'c{text}'] = (number, os.path.basename(os.path.dirname(path)))
    return found


def mounts(numbers: Collection[str], proc: str = '/proc') -> list[Use]:
    """Where some devices are mounted, in any mount namespace.

    See proc_pid_mountinfo(5): the third field is the device, the fifth where it is mounted.

    :raises OSError: see uses()
    """
    found: dict[Use, None] = {}
    seen = set()
    for directory in processes.processes(proc):
        try:
            namespace = os.readlink(directory / 'ns' / 'mnt')
            # EINVAL is what a zombie says, see mounts_open_common() in fs/proc_namespace.c
            lines = [] if namespace in seen else _lines(directory / 'mountinfo', errno.EINVAL)
        except OSError as error:
            processes.has_ended(error)
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
    """Which of some devices are swap space, or have a swap file on them.

    :raises OSError: see uses()
    """
    found = []
    for fields in _lines(pathlib.Path(proc) / 'swaps')[1:]:
        try:
            seen = statx.kind_in_time(fields[0])
        except statx.Unanswered:
            raise
        except OSError as error:
            processes.has_ended(error, errno.ENOTDIR)
            continue
        if seen is None:
            continue
        number = seen.device.removeprefix('b')
        if number in numbers:
            found.append(Use(number, 'swap'))
        elif not seen.device and seen.on in numbers:
            found.append(Use(seen.on, f'swap file {ascii(fields[0])[1:-1]}'))
    return found


def over(numbers: Collection[str], sys: str = '/sys', dev: str = '/dev') -> list[Use]:
    """The loop devices over some devices, or over a file on one.

    :raises OSError: see uses()
    """
    return [Use(number, f'loop device {name}{more}')
            for name, device, on in loops.below(sys, dev)
            for number, more in ((device, ''), ('' if device else on, ' of a file on it'))
            if number in numbers]


def exported(numbers: Collection[str], sys: str = '/sys') -> list[Use]:
    """As what the kernel exports some devices, or a file on one.

    :raises OSError: see uses()
    """
    return [Use(number, f'exported: {words}{more}')
            for device, on, words in exports.exports(f'{sys}/kernel/config', sys)
            for number, more in ((device, ''), (on, ' of a file on it')) if number in numbers]


def _name(process: pathlib.Path) -> str:
    """What it runs, which is less a matter of its own choice than its name."""
    try:
        return ascii(os.path.basename(os.readlink(process / 'exe')))[1:-1]
    except OSError:
        # of the kernel's, or at its end
        try:
            text = (process / 'comm').read_text('utf-8', 'backslashreplace')
        except OSError:
            return 'ended'
        return ascii(text.rstrip('\n'))[1:-1]


def _lines(path: pathlib.Path, *ended: int) -> list[list[str]]:
    """The fields of each line.

    :param ended: numbers of more errors that mean that there is nothing
    """
    try:
        text = path.read_text('utf-8', 'backslashreplace')
    except OSError as error:
        processes.has_ended(error, errno.ENODEV, *ended)
        return []
    return [line.split(' ') if '\t' not in line else line.split() for line in text.splitlines()]
