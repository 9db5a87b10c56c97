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
"""What processes have open, by the numbers of devices and never by a name.

A descriptor is not the only way: a mapping keeps a device open when its descriptor is closed
(/proc/PID/map_files), a thread may have a table of descriptors of its own (unshare(CLONE_FILES)),
and io_uring keeps registered files. A descriptor of O_PATH keeps nothing open.

What cannot be read for any other reason than that a process has ended is an OSError.
"""

from __future__ import annotations

import ctypes
import dataclasses
import errno
import functools
import os
import pathlib
import platform
import re
from collections.abc import Iterator

from migsafe.brick.kernel import statx

#: How often the mappings of a process are read that change meanwhile.
TRIES = 3
#: What /proc says of a process that is not there any more.
ENDED = (errno.ENOENT, errno.ESRCH)
#: kcmp(2), and what it compares: the tables of descriptors of two tasks.
_KCMP = {'x86_64': 312, 'aarch64': 272, 'ppc64le': 354, 's390x': 343}.get(platform.machine())
_KCMP_FILES = 2
_MAPPING = re.compile(r'([0-9a-f]+)-([0-9a-f]+) \S+ \S+ (\S+) (\d+) *(.*)\Z')
_REGISTERED = re.compile(r'\s*\d+: (.+)\Z')
#: What stands before the name of a node whose number is not told.
NAMED = 'named '
_LIBC = ctypes.CDLL(None, use_errno=True)


@dataclasses.dataclass(frozen=True)
class Open:
    """One thing that a process has open.

    :param device: number of a device, as statx.kind() has it, or NAMED and the name of a node; ''
        for another file
    :param on: major:minor of what a file's file system is on
    :param how: "open", "mapped" or "registered with io_uring"
    :param flags: those of the descriptor's open(2), for what is a device
    """

    device: str
    on: str
    how: str
    flags: int = os.O_RDWR


def processes(proc: str) -> Iterator[pathlib.Path]:
    """The directories of all processes."""
    for name in os.listdir(proc):
        if name.isdigit():
            yield pathlib.Path(proc, name)


def opened(process: pathlib.Path, seen: set[tuple[str, ...]] | None = None) -> Iterator[Open]:
    """What a process and its threads have open; nothing of one that has ended.

    :param seen: mapped files that were looked at before, and are no devices
    :raises OSError: if that is not to be found out
    """
    tasks = _tasks(process)
    for table in (process, *(process / 'task' / task for task in tasks
                             if task != process.name and not _same_table(process.name, task))):
        yield from _descriptors(table)
    yield from _mappings(process, tasks, set() if seen is None else seen)


def _tasks(process: pathlib.Path) -> list[str]:
    try:
        return os.listdir(process / 'task')
    except OSError as error:
        has_ended(error)
        return []


def _same_table(one: str, other: str) -> bool:
    """Whether two tasks have one table; where that cannot be told, both are looked at."""
    return _KCMP is not None and not _LIBC.syscall(_KCMP, int(one), int(other), _KCMP_FILES, 0, 0)


def _descriptors(task: pathlib.Path) -> Iterator[Open]:
    try:
        directory = os.open(task / 'fd', os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        has_ended(error)
        return
    try:
        for name in _entries(directory):
            try:
                found = statx.kind(name, directory)
                if found.device:
                    flags = _flags(task, name)
                    if not flags & os.O_PATH:
                        yield Open(found.device, found.on, 'open', flags)
                elif found.on == _anonymous():
                    if 'io_uring' in os.readlink(name, dir_fd=directory):
                        yield from _registered(task, name)
                else:
                    yield Open('', found.on, 'open')
            except OSError as error:
                error.filename = f'{task}/fd/{name}'
                has_ended(error)
    finally:
        os.close(directory)


def _entries(directory: int) -> list[str]:
    try:
        return os.listdir(directory)
    except OSError as error:
        has_ended(error)
        return []


def _flags(task: pathlib.Path, name: str) -> int:
    """See proc_pid_fdinfo(5): in octal."""
    for line in (task / 'fdinfo' / name).read_text('ascii', 'replace').splitlines():
        if line.startswith('flags:'):
            return int(line.split()[1], 8)
    # a process that cannot be asked any more has ended, and one that is there has flags
    raise OSError(errno.EIO, 'no flags', f'{task}/fdinfo/{name}')


def _registered(task: pathlib.Path, name: str) -> Iterator[Open]:
    """Files that io_uring keeps. Its fdinfo has a name, and in newer kernels a path, of each.

    See io_uring/fdinfo.c. That proves that somebody uses a device and never that nobody does: a
    node of another name, or one that has been unlinked, is not seen here.
    """
    lines = (task / 'fdinfo' / name).read_text('utf-8', 'backslashreplace').splitlines()
    first = next((place for place, line in enumerate(lines, 1) if line.startswith('UserFiles')),
                 len(lines))
    for line in lines[first:]:
        match = _REGISTERED.match(line)
        if not match:
            break
        path = re.sub(r'\\([0-7]{3})', lambda found: chr(int(found[1], 8)), match[1])
        if '/' not in path:
            yield Open(f'{NAMED}{path}', '', 'registered with io_uring')
            continue
        for root in (f'{task}/root', ''):
            try:
                found = statx.kind_in_time(root + path)
            except OSError:
                continue
            if found and found.device:
                yield Open(found.device, found.on, 'registered with io_uring')


def _mappings(process: pathlib.Path, tasks: list[str],
              seen: set[tuple[str, ...]]) -> Iterator[Open]:
    for _ in range(TRIES):
        changed = False
        for name, start, end, key in _maps(process, tasks):
            if key in seen:
                continue
            try:
                found = statx.kind(f'{process.parent}/{name}/map_files/{start}-{end}')
            except OSError as error:
                has_ended(error)
                changed = True
                continue
            if found.device:
                yield Open(found.device, found.on, 'mapped')
            else:
                seen.add(key)
                yield Open('', found.on, 'mapped')
        if not changed:
            return


def _maps(process: pathlib.Path, tasks: list[str]) -> list[tuple[str, str, str, tuple[str, ...]]]:
    """(who has it, start, end, a name of the file) of each mapping of a file.

    A process whose first thread has ended shows none; its other threads do, by their own numbers.
    """
    for name in dict.fromkeys((process.name, *tasks)):
        try:
            text = (process.parent / name / 'maps').read_text('utf-8', 'backslashreplace')
        except OSError as error:
            has_ended(error)
            continue
        matches = (_MAPPING.match(line) for line in text.splitlines())
        if text:
            # map_files has no leading zeros, see dname_to_vma_addr() in fs/proc/base.c
            return [(name, match[1].lstrip('0') or '0', match[2].lstrip('0'),
                     (match[3], match[4], match[5]))
                    for match in matches if match and match[4] != '0']
    return []


@functools.cache
def _anonymous() -> str:
    """The number of what has no file system, io_uring among it."""
    descriptor = os.eventfd(0)
    try:
        return statx.kind(f'/proc/self/fd/{descriptor}').on
    finally:
        os.close(descriptor)


def has_ended(error: OSError, *also: int) -> None:
    """Let an error pass that means that there is nothing any more, and no other.

    :param also: numbers of more errors that mean that
    """
    if error.errno not in (*ENDED, *also):
        # with the name in the text: a privsep daemon sends no more of an error
        raise OSError(error.errno, f'{error.filename}: {error.strerror}') from error
