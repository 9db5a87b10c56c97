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
"""Configurations of LVM that somebody may have written, on hosts that somebody may have.

What ``migsafe lvm check`` prints is done as it is printed, by a shell, and then LVM itself says
what it sees of the host's own and of guests, and what it activates by event.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import random
import time
from collections.abc import Callable, Iterable
from typing import Any

import host
import lab
import lvm_cases
import things

from migsafe.lvm import checking, client, render, rules

Found = dict[str, Any]
#: Of what filters are made: {own} is a disk of the host's, {link} a name of it that stays, {other}
#: a guest's.
PIECES = (
    'a|^{own}$|', 'a|{own}|', 'a|^{link}$|', 'a|.*|', 'a|^/dev/vd|', 'a|^{other}$|', 'a|/sd|',
    'r|.*|', 'r|.*/|', 'r|.+|', 'r|/dev/.*|', r'r/\/dev\//', 'r|^/dev/.*$|', 'r|d[e]v|', 'r|[^x]|',
    'r|(sd.*|/dev)|', 'r|/dev/vd|', 'r|^/dev/mapper|', 'r|{other}|', 'r|[^d]ev|', r'r|\.|',
    'r|/dev/disk|', 'r|by-id|', r'r|\/sd[a-c]$|', 'r|{{.*}}|')
#: What else somebody may have written, or nothing, for the most part.
MORE = ('', '', '', '', '\tuse_devicesfile = 0\n', '\tscan_lvs = 1\n')


class Newer(client.Client):
    """The real LVM, which says that it knows the links of a disk when it is found."""

    def version(self) -> str:
        """As the real one, but for the number."""
        return super().version().replace('2.03.16', '2.03.22')


@dataclasses.dataclass(frozen=True)
class Truth:
    """Whose things are, as they were made: uuids.

    :param paths: the host's physical volumes
    :param other: a physical volume of a guest's
    """

    paths: tuple[str, ...]
    other: str
    own: frozenset[str]
    lvs: frozenset[str]
    guests: frozenset[str]


# -- the host's own -----------------------------------------------------------------------------


def _local(count: int = 1) -> list[str]:
    host.run('modprobe', 'scsi_debug', 'dev_size_mb=64', 'per_host_store=1', f'add_host={count}')
    host.settle()
    return [f'/dev/{name}' for name in sorted(os.listdir('/sys/block')) if name.startswith('sd')
            and 'pseudo' in os.path.realpath(f'/sys/block/{name}')]


def _raid() -> list[str]:
    things.md(_local()[0])
    return ['/dev/md0']


def _crypt() -> list[str]:
    things.crypt(_local()[0])
    return ['/dev/mapper/secret']


def _san() -> list[str]:
    return [lab.brick().connect_volume(lab.properties(3))['path']]


OWN: dict[str, Callable[[], list[str]]] = {
    'whole': _local, 'partition': lambda: [things.partition(_local()[0])],
    'two': lambda: _local(2), 'raid': _raid, 'crypt': _crypt, 'san': _san}


# -- the guests' --------------------------------------------------------------------------------


def _lun(number: int = 4) -> str:
    path: str = lab.brick().connect_volume(lab.properties(number))['path']
    return os.path.realpath(path)


def _grouped(path: str, name: str = 'guest') -> list[str]:
    host.run('lvm', data=f'vgcreate -y {name} {path}\nlvcreate -y -L 8M -n disk {name}\n')
    return [path]


def _orphan() -> list[str]:
    path = _lun()
    host.run('pvcreate', '-y', path)
    return [path]


def _nvme() -> list[str]:
    path = lab.brick(protocol='NVMEOF').connect_volume(lab.nvme_properties(1))['path']
    return _grouped(os.path.realpath(path))


def _inside() -> list[str]:
    """A guest's disk that is a logical volume of the host's."""
    host.run('pvcreate', '-y', '--config', 'devices { scan_lvs = 1 }', '/dev/host/more')
    return ['/dev/host/more', *_grouped(_lun())]


GUESTS: dict[str, Callable[[], list[str]]] = {
    'whole': lambda: _grouped(_lun()), 'partition': lambda: _grouped(things.partition(_lun())),
    'two': lambda: _grouped(_lun(4), 'guest') + _grouped(_lun(5), 'other'),
    'orphan': _orphan, 'nvme': _nvme, 'inside': _inside}


def begin(own: str, guests: str) -> Truth:
    """Make a host, and guests on it."""
    lab.start()
    lvm_cases.no_filter()
    paths = OWN[own]()
    host.run('lvm', data=f'vgcreate -y host {" ".join(paths)}\nlvcreate -y -L 8M -n root host\n'
                         'lvcreate -y -L 8M -n more host\n')
    host.run('mkfs.ext4', '-q', '/dev/host/root')
    where = '/opt' if own == 'san' else lvm_cases.OWN
    os.makedirs(where, exist_ok=True)
    host.run('mount', '/dev/host/root', where)
    others = GUESTS[guests]()
    host.settle()
    return Truth(tuple(map(os.path.realpath, paths)), others[-1],
                 _uuids(paths), _lvs(), _uuids(others))


def _uuids(paths: Iterable[str]) -> frozenset[str]:
    return frozenset(host.run('pvs', '--config', 'devices { scan_lvs = 1 }', '--noheadings', '-o',
                              'pv_uuid', *paths).split())


def _lvs() -> frozenset[str]:
    return frozenset(host.run('lvs', '--noheadings', '-o', 'lv_uuid', 'host').split())


# -- what is drawn ------------------------------------------------------------------------------


def generated(truth: Truth, seed: str, count: int) -> Found:
    """Draw configurations, and do what is advised on each."""
    draw, found = random.Random(seed), []
    names = {'own': truth.paths[0], 'link': _link(truth.paths[0]), 'other': truth.other}
    text = lvm_cases.LOCAL.read_text()
    for _ in range(count):
        settings = _drawn(draw, names)
        found.append({'settings': settings} | _tried(truth, f'{text}\n{settings}', text))
        _clear(text)
    # the last of all, since it takes long: there is a devices file, as printed or written
    _advised(truth, lvm_cases.check())
    return {'version': host.run('lvm', 'version').split('\n')[0], 'found': found,
            'by_event': _activated(truth)}


def _drawn(draw: random.Random, names: dict[str, str]) -> str:
    """Settings of LVM; one of eight has no filter."""
    which = draw.choice((('global_filter',), ('global_filter',), ('filter',),
                         ('global_filter', 'filter')))
    lines = ''
    for name in which if draw.randrange(8) else ():
        pieces = [piece.format(**names) for piece in draw.sample(PIECES, draw.randint(1, 4))]
        quoted = ', '.join('"' + piece.replace('\\', r'\\') + '"' for piece in pieces)
        lines += f'\t{name} = [ {quoted} ]\n'
    return f'devices {{\n{lines}{draw.choice(MORE)}}}\n'


def _link(path: str) -> str:
    links = sorted(str(link) for link in pathlib.Path('/dev/disk/by-id').iterdir()
                   if os.path.realpath(link) == path)
    return links[-1] if links else path


def _clear(text: str) -> None:
    """As before: nobody has written anything."""
    lvm_cases.LOCAL.write_text(text)
    for file in (*lvm_cases.ETC.glob('devices/*'), *lvm_cases.ETC.rglob('*.migsafe-*')):
        file.unlink()


def _tried(truth: Truth, now: str, without: str) -> Found:
    """What is said of a configuration, and what comes of doing it.

    :param now: what is in the file
    :param without: the same without what was drawn
    """
    lvm_cases.LOCAL.write_text(now)
    seen = _seen(truth)
    found, advice = _advised(truth, lvm_cases.check(client=Newer()))
    if found['done']:
        found['then'] = _seen(truth)
        _clear(now)
    if advice.instead:
        found |= {'instead': advice.instead, 'replaced': []}
        for before in (now, without):
            lvm_cases.LOCAL.write_text(f'{before}\ndevices {{ {advice.instead} }}\n')
            found['replaced'].append(_seen(truth))
    return found | {'seen': seen}


def _advised(truth: Truth, one: checking.Check) -> tuple[Found, rules.Advice]:
    """Look, and do what is said."""
    facts, advice = one.look()
    commands, reason = render.commands(advice, facts.effective), ''
    if advice.verdict is rules.Verdict.CONFIGURE:
        reason = one.change.apply(advice, facts.effective).reason
    else:
        _typed(commands, truth)
    return {'verdict': advice.verdict.value, 'closed': rules.open_to(facts) is None,
            'reasons': list(advice.reasons), 'done': commands, 'reason': reason}, advice


def _typed(commands: list[str], truth: Truth) -> None:
    """As a person types it who knows what is the host's own."""
    for command in commands:
        command, _, doubt = command.partition('  # only if ')
        file, _, more = command.removeprefix('in ').partition(', add: ')
        if more:
            path = pathlib.Path(file)
            path.write_text(f'{path.read_text()}\n{more}\n')
        elif not doubt or os.path.realpath(command.split()[-1]) in truth.paths:
            host.run('sh', '-ec', command)


def _seen(truth: Truth) -> dict[str, list[str]]:
    """What LVM itself sees: of the host's own all that it misses, of guests' what it takes."""
    uuids = set(host.run('lvm', data='pvs --noheadings -o pv_uuid\n'
                                     'lvs --noheadings -o lv_uuid\n').split())
    return {'missed': sorted((truth.own | truth.lvs) - uuids),
            'guests': sorted(truth.guests & uuids)}


def _activated(truth: Truth) -> bool:
    """Whether udev's LVM activates what the host has, when its disks are found."""
    host.run('dmsetup', 'remove', 'host-more')
    lvm_cases.forget()
    host.run('udevadm', 'trigger', '--settle', '--action=add', *truth.paths)
    time.sleep(lvm_cases.WHILE)
    host.settle()
    came = 'host-more' in host.devices().values()
    if not came:
        host.run('lvchange', '-ay', 'host/more')
        host.settle()
    return came
