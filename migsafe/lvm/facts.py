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
"""The facts for an advice: the host's LVM, its settings and the disks that it sees."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import re
from collections.abc import Iterable, Sequence

from migsafe.brick.errors import Unsure
from migsafe.brick.kernel import place
from migsafe.brick.kernel import sysfs as kernel_sysfs
from migsafe.lvm import active as lvm_active
from migsafe.lvm import errors, filters, reports, uses
from migsafe.lvm.client import Client

ETC = '/etc/lvm'
_PLAIN = re.compile(r'/dev/[A-Za-z0-9_/.:=@+,-]{1,200}\Z')
#: What is left while a change is under way; see migsafe.lvm.change.
MARKER = 'migsafe-lvm-check.json'


@dataclasses.dataclass(frozen=True)
class Named:
    """A volume group that a service's configuration names.

    :param who: "[lvmdriver-1] volume_group of /etc/cinder/cinder.conf"
    """

    vg_name: str
    who: str


@dataclasses.dataclass(frozen=True)
class Device:
    """A physical volume.

    :param name: kernel name, '' if it is missing
    :param link: a name that stays, '' if it has none; see filters.steady
    :param duplicate: its uuid is on another device too
    """

    uuid: str
    path: str
    name: str
    place: place.Place
    link: str = ''
    missing: bool = False
    duplicate: bool = False


@dataclasses.dataclass(frozen=True)
class Vg:
    """A volume group that LVM sees, by its uuid; or a PV that is in none.

    :param uses: what the host does with it
    :param system: whether one of the uses can only be the host's own
    :param named: which configurations mean it
    :param shared: another volume group has the name that they give
    """

    uuid: str
    name: str
    devices: tuple[Device, ...]
    uses: tuple[str, ...] = ()
    system: bool = False
    named: tuple[str, ...] = ()
    shared: bool = False


@dataclasses.dataclass(frozen=True)
class Facts:
    """All of it.

    :param effective: the settings as they are; :param written: those that somebody has written
    :param vgs: those that LVM sees, as it is configured now
    :param hidden: in use by the host, or active on its own disks, and not seen by LVM
    :param absent: meant by a configuration, and not seen by LVM
    :param listed: whether the devices file exists
    :param loose: entries of it that go by a name alone
    :param unfinished: whether a change was cut off
    """

    version: reports.Version
    effective: reports.Settings
    written: reports.Settings
    vgs: tuple[Vg, ...] = ()
    hidden: tuple[uses.Use, ...] = ()
    absent: tuple[Named, ...] = ()
    active: tuple[lvm_active.Active, ...] = ()
    listed: bool = False
    loose: tuple[str, ...] = ()
    unfinished: bool = False


def gather(client: Client, sysfs: kernel_sysfs.Sysfs, named: Iterable[Named] = (),
           etc: str = ETC, proc: str = '/proc', dev: str = '/dev') -> Facts:
    """Look.

    :raises errors.LvmError: if LVM does not say
    :raises brick_errors.Unsure: if the kernel does not
    """
    version = reports.version(client.version())
    effective = reports.settings(client.effective(), 'lvmconfig --typeconfig full')
    written = reports.settings(client.written(), 'lvmconfig --typeconfig current')
    named = list(named)
    try:
        rows = reports.pvs(client.pvs())
        used = uses.uses(sysfs, lambda: reports.opens(client.opens()), proc)
        vgs = _vgs(sysfs, rows, used, named, dev)
        active = tuple(lvm_active.active(sysfs))
    except kernel_sysfs.Gone as gone:
        raise Unsure(device=str(gone), host='this host',
                                  reason='it vanished meanwhile; try again') from gone
    except OSError as error:
        raise errors.LvmError(f'{error.filename} cannot be read: {error.strerror}. Run it as '
                              'root.') from error
    seen = {vg.uuid for vg in vgs}
    names = {vg.name for vg in vgs}
    return Facts(
        version, effective, written, vgs,
        hidden=_hidden(used, active, seen),
        absent=tuple(one for one in named if one.vg_name not in names),
        active=active, listed=devices_file(effective, etc).exists(),
        loose=_loose(devices_file(effective, etc)),
        unfinished=pathlib.Path(etc, MARKER).exists())


def _hidden(used: Sequence[uses.Use], active: Sequence[lvm_active.Active],
            seen: set[str]) -> tuple[uses.Use, ...]:
    """What the host has of volume groups that LVM does not see: in use, or active on its disks."""
    found = {use: use.vg for use in used} | {
        uses.Use(lv.vg, f'active ({lv.label})', False): lv.vg
        for lv in active if not lv.guests and lv.vg not in {use.vg for use in used}}
    return tuple(use for use, vg in found.items() if vg not in seen)


def devices_file(effective: reports.Settings, etc: str = ETC) -> pathlib.Path:
    """Where the devices file is, or would be."""
    name = str(effective.get('devices/devicesfile') or 'system.devices')
    return pathlib.Path(etc, 'devices', os.path.basename(name))


def _loose(file: pathlib.Path) -> tuple[str, ...]:
    """Entries by a name of the kernel, without the PV that they mean; see lvmdevices(8)."""
    try:
        lines = file.read_text(errors='backslashreplace').splitlines()
    except OSError:
        return ()
    return tuple(ascii(line)[1:-1][:200] for line in lines
                 if 'IDTYPE=devname' in line and 'PVID=.' in line.split()
                 and not filters.steady((), line.split('IDNAME=/dev/')[-1].split(' ')[0]))


def _vgs(sysfs: kernel_sysfs.Sysfs, rows: Sequence[reports.Pv], used: Sequence[uses.Use],
         named: Sequence[Named], dev: str) -> tuple[Vg, ...]:
    links = _links(dev)
    groups: dict[str, list[reports.Pv]] = {}
    for row in rows:
        # a PV that is in no volume group stands for itself
        groups.setdefault(row.vg or f'PV {row.uuid}', []).append(row)
    names = [members[0].vg_name for members in groups.values()]
    many = [row.uuid for row in rows]
    found = []
    for members in groups.values():
        vg, name = members[0].vg, members[0].vg_name
        mine = [use for use in used if use.vg == vg]
        who = tuple(one.who for one in named if one.vg_name == name and name)
        found.append(Vg(
            vg, name, tuple(_device(sysfs, row, links, many.count(row.uuid) > 1)
                            for row in members),
            tuple(dict.fromkeys(use.what for use in mine)), any(use.system for use in mine),
            who, bool(who) and names.count(name) > 1))
    return tuple(found)


def _device(sysfs: kernel_sysfs.Sysfs, row: reports.Pv, links: dict[str, list[str]],
            twice: bool) -> Device:
    name = sysfs.name_of(row.number) if row.number else None
    if not name:
        return Device(row.uuid, ascii(row.path)[1:-1][:200], '', place.Place.UNKNOWN, missing=True,
                      duplicate=twice or row.duplicate)
    # a path goes into commands that are typed: one that a shell would read otherwise does not
    path = row.path if _PLAIN.match(row.path) else f'/dev/{name}'
    return Device(row.uuid, path, name, place.place(sysfs, name),
                  filters.steady(links.get(name, ()), name, _shared(sysfs, name)),
                  duplicate=twice or row.duplicate)


def _shared(sysfs: kernel_sysfs.Sysfs, name: str) -> bool:
    """Whether a disk's WWN is that of another disk too, which is no path of the same one.

    A batch of disks with one value has a link for the last that came.
    """
    disk = sysfs.disk(name) or name
    wwid, above = _wwid(sysfs, disk), set(sysfs.holders(disk))
    return bool(wwid) and any(
        _wwid(sysfs, other) == wwid and not above & set(sysfs.holders(other))
        for other in sysfs.names() - {disk} if sysfs.exists(other) and not sysfs.disk(other))


def _wwid(sysfs: kernel_sysfs.Sysfs, name: str) -> str:
    return sysfs.attribute(name, 'device', 'wwid') or sysfs.attribute(name, 'wwid')


def _links(dev: str) -> dict[str, list[str]]:
    """kernel name -> its links in /dev/disk/by-id."""
    found: dict[str, list[str]] = {}
    directory = os.path.join(dev, 'disk', 'by-id')
    for link in sorted(os.listdir(directory)) if os.path.isdir(directory) else ():
        real = os.path.realpath(os.path.join(directory, link))
        found.setdefault(os.path.basename(real), []).append(link)
    return found
