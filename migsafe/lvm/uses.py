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
import time
from collections.abc import Callable

from migsafe.brick.kernel import kinds, place
from migsafe.brick.kernel import sysfs as kernel_sysfs

#: Nobody mounts a guest's disk there.
SYSTEM = frozenset(('/', '/boot', '/boot/efi', '/usr', '/usr/local', '/var', '/var/lib',
                    '/var/log', '/var/lib/nova', '/home', '/opt', '/root', 'swap'))
#: Seconds for which what opens a device for a moment (udev, blkid, a scan of LVM) is waited for.
PATIENCE = 2.0
PAUSE = 0.25


@dataclasses.dataclass(frozen=True)
class Use:
    """A volume group that is in use, through one of its logical volumes.

    :param vg: its uuid
    :param what: "mounted on /", "swap", "open and not mounted by the host (vg/lv)"
    :param system: whether only the host itself can be the user
    """

    vg: str
    what: str
    system: bool


def uses(sysfs: kernel_sysfs.Sysfs, opens: Callable[[], dict[str, int]], proc: str = '/proc',
         kernel_name: Callable[[str], str | None] = kernel_sysfs.kernel_name) -> list[Use]:
    """All of them.

    :param opens: tells how often each table of device-mapper is open, by major:minor
    :raises sysfs.Gone, errors.Unsure: see Sysfs
    """
    found: dict[Use, None] = {}
    told: set[str] = set()
    for name, what in [*_mounts(sysfs, proc, kernel_name), *_swaps(proc, kernel_name)]:
        below = place.stack(sysfs, name)
        told |= below
        words = what if what == 'swap' else f'mounted on {ascii(what)[1:-1]}'
        found |= {Use(vg, words, what in SYSTEM): None for vg in _groups(sysfs, below)}
    raw: dict[str, list[str]] = {}
    for name in sorted(_opened(sysfs, opens, told)):
        for vg in _groups(sysfs, place.stack(sysfs, name)):
            raw.setdefault(vg, []).append(kinds.lv_label(sysfs.attribute(name, 'dm', 'name')))
    for vg, labels in raw.items():
        more = f' and {len(labels) - 1} more' if len(labels) > 1 else ''
        found[Use(vg, f'open and not mounted by the host ({labels[0]}{more})', False)] = None
    return list(found)


def _groups(sysfs: kernel_sysfs.Sysfs, names: set[str]) -> list[str]:
    """The volume groups of some devices, by their uuids."""
    found = (kinds.lv_uuids(sysfs.attribute(name, 'dm', 'uuid')) for name in sorted(names))
    return list(dict.fromkeys(uuids[0] for uuids in found if uuids))


def _opened(sysfs: kernel_sysfs.Sysfs, opens: Callable[[], dict[str, int]],
            told: set[str]) -> set[str]:
    """Logical volumes that something has open all the time, and not only others of LVM's.

    Who it is cannot be told: an export of the kernel's (LIO, nvmet, DRBD) is no process and
    leaves no trace but this number.
    """
    end = time.monotonic() + PATIENCE
    found = _opened_now(sysfs, opens(), told)
    while found and time.monotonic() < end:
        time.sleep(PAUSE)
        found &= _opened_now(sysfs, opens(), told)
    return found


def _opened_now(sysfs: kernel_sysfs.Sysfs, opens: dict[str, int], told: set[str]) -> set[str]:
    found = set()
    for number, count in opens.items():
        name = sysfs.name_of(number) if count else None
        try:
            if name and name not in told and _is_lv(sysfs, name):
                # each table above it is one (dm_get_table_device() in drivers/md/dm.c): of a
                # pool, a snapshot or a RAID that is merely active, its parts are all open
                own = sum(_is_lv(sysfs, above) for above in sysfs.holders(name))
                found |= {name} if count > own else set()
        except kernel_sysfs.Gone:
            # nobody has it open who could lose it
            continue
    return found


def _is_lv(sysfs: kernel_sysfs.Sysfs, name: str) -> bool:
    return kinds.lv_uuids(sysfs.attribute(name, 'dm', 'uuid')) is not None


def _mounts(sysfs: kernel_sysfs.Sysfs, proc: str,
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
