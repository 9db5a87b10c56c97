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
"""What claims a device and is mounted nowhere that can be seen.

A file system that was unmounted lazily, or whose mount namespace has no process any more, lives
on as long as something has a file of it open. It has its directory in sysfs for as long. The
journal of an ext4 on another disk is in /proc/fs/jbd2 by the name of its device alone, that of a
file system with the number of an inode behind it (fs/jbd2/journal.c).
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Collection, Iterator

from migsafe.brick.kernel import sysfs as kernel_sysfs

#: File systems with a directory /sys/fs/TYPE/DEVICE for each that is alive.
TYPES = ('ext4', 'xfs', 'f2fs', 'jfs', 'gfs2', 'nilfs2', 'erofs')


def claims(numbers: Collection[str], sys: str = '/sys',
           proc: str = '/proc') -> Iterator[tuple[str, str]]:
    """(major:minor, words for a message) of what is alive on some devices."""
    sysfs = kernel_sysfs.Sysfs(sys)
    for number in numbers:
        name = sysfs.name_of(number)
        if name is None:
            continue
        for kind in TYPES:
            if os.path.isdir(f'{sys}/fs/{kind}/{name}'):
                yield number, (f'a file system ({kind}) that is mounted nowhere that can be seen, '
                               'unmounted lazily for instance')
        if any(pathlib.Path(sys, 'fs', 'btrfs').glob(f'*/devices/{name}')):
            yield number, 'a file system (btrfs)'
        if os.path.isdir(f'{proc}/fs/jbd2/{name}'):
            yield number, 'the journal of an ext4 on another disk'
        if os.path.isdir(f'{sys}/class/block/{name}/bcache'):
            yield number, 'bcache'
