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
"""What this host itself mounts, or swaps to.

See proc_pid_mountinfo(5) and proc_swaps(5). The mounts are those of the first process: what a
container or a rescue has mounted for itself says nothing about the host.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable

from migsafe.brick import kinds, place
from migsafe.brick import sysfs as sysfs_mod

#: Nobody mounts a guest's disk there.
SYSTEM = frozenset(('/', '/boot', '/boot/efi', '/usr', '/usr/local', '/var', '/var/lib',
                    '/var/log', '/var/lib/nova', '/home', '/opt', '/root', 'swap'))


@dataclasses.dataclass(frozen=True)
class Use:
    """A volume group that is in use, through one of its logical volumes.

    :param vg: its uuid
    :param what: "mounted on /", "swap"
    :param system: whether only the host itself can be the user
    """

    vg: str
    what: str
    system: bool


def uses(sysfs: sysfs_mod.Sysfs, proc: str = '/proc',
         kernel_name: Callable[[str], str | None] = sysfs_mod.kernel_name) -> list[Use]:
    """All of them.

    :raises sysfs.Gone, errors.Unsure: see Sysfs
    """
    found: dict[Use, None] = {}
    for name, what in [*_mounts(sysfs, proc, kernel_name), *_swaps(proc, kernel_name)]:
        for below in sorted(place.stack(sysfs, name)):
            uuids = kinds.lv_uuids(sysfs.attribute(below, 'dm', 'uuid'))
            if uuids:
                words = what if what == 'swap' else f'mounted on {ascii(what)[1:-1]}'
                found[Use(uuids[0], words, what in SYSTEM)] = None
    return list(found)


def _mounts(sysfs: sysfs_mod.Sysfs, proc: str,
            kernel_name: Callable[[str], str | None]) -> list[tuple[str, str]]:
    found = []
    for line in _lines(pathlib.Path(proc, '1', 'mountinfo')):
        fields = line.split(' ')
        if len(fields) < 5:
            continue
        name = sysfs.name_of(fields[2])
        if not name and ' - ' in line:
            # btrfs has a number of its own; its source is the third field after the dash
            source = line.split(' - ', 1)[1].split(' ')[1:2]
            name = kernel_name(source[0]) if source and source[0].startswith('/dev/') else None
        if name:
            found.append((name, fields[4]))
    return found


def _swaps(proc: str, kernel_name: Callable[[str], str | None]) -> list[tuple[str, str]]:
    paths = [line.split()[0] for line in _lines(pathlib.Path(proc, 'swaps'))[1:] if line.split()]
    return [(name, 'swap') for path in paths if path.startswith('/dev/')
            if (name := kernel_name(path))]


def _lines(path: pathlib.Path) -> list[str]:
    with open(path, encoding='utf-8', errors='backslashreplace', newline='\n') as stream:
        return [line.rstrip('\n') for line in stream]
