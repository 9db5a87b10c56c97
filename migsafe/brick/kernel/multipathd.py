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
"""Is a process the multipathd that this host's multipath talks to?

It keeps each path open as long as it has it, and lets go of it when the map is flushed or the
disk is gone; so it alone is nobody's user. What it is called proves nothing: it runs as root, has
the disk open for reading only, is an executable of root's of that name, and has the socket that
multipath-tools talk to (libmpathcmd/mpath_cmd.h), which is one in a network namespace.
"""

from __future__ import annotations

import os
import pathlib
import stat
from collections.abc import Iterable

SOCKETS = frozenset(('@/org/kernel/linux/storage/multipathd', '/run/multipathd.socket'))
NAME = 'multipathd'


def is_it(process: pathlib.Path, flags: Iterable[int], proc: str = '/proc') -> bool:
    """Whether it is, and can only read; what cannot be found out is a no.

    :param process: its directory
    :param flags: those of all its descriptors of the device
    """
    try:
        return (not any(flag & os.O_ACCMODE for flag in flags)
                and os.path.basename(os.readlink(process / 'exe')) == NAME
                and _of_root(process) and _listens(process, proc))
    except OSError:
        return False


def _of_root(process: pathlib.Path) -> bool:
    """Both the process, by all of its user ids, and what it runs."""
    lines = (process / 'status').read_text('ascii', 'replace').splitlines()
    ids = next((line.split()[1:] for line in lines if line.startswith('Uid:')), ['?'])
    file = os.stat(process / 'exe')
    return set(ids) == {'0'} and not file.st_uid and not file.st_mode & (
        stat.S_IWGRP | stat.S_IWOTH)


def _listens(process: pathlib.Path, proc: str) -> bool:
    """By /proc/net/unix, whose seventh column is an inode and whose last is a name."""
    rows = [line.split() for line in pathlib.Path(proc, 'self', 'net', 'unix').read_text(
        'utf-8', 'backslashreplace').splitlines()]
    inodes = {f'socket:[{row[6]}]' for row in rows if len(row) == 8 and row[7] in SOCKETS}
    return any(os.readlink(process / 'fd' / name) in inodes
               for name in os.listdir(process / 'fd'))
