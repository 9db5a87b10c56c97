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
"""One host: its disks and those of guests, with the names that udev would give them."""

from __future__ import annotations

import contextlib
import os
import pathlib
import random
import subprocess
from typing import Self

#: Of what filters are made: {own} is a disk of the host's, {link} a name of it, {other} a guest's.
PIECES = (
    'a|^{own}$|', 'a|{own}|', 'a|^{link}$|', 'a|.*|', 'a|^/dev/vd|', 'a|^{other}$|', 'a|/sd|',
    'a|/nvme|', 'a|^/dev/disk/by-id/|', 'a|^/dev/disk/by-path/|',
    'r|.*|', 'r|.*/|', 'r|.+|', 'r|/dev/.*|', r'r/\/dev\//', 'r|^/dev/.*$|', 'r|d[e]v|', 'r|[^x]|',
    'r|(sd.*|/dev)|', 'r|/dev/vd|', 'r|^/dev/mapper|', 'r|{other}|', 'r|[^d]ev|', r'r|\.|',
    'r|/dev/disk|', 'r|by-id|', r'r|\/sd[a-c]$|', 'r|{{.*}}|', 'r|^/dev/sd[b-z]|', 'r|/dev/nvme1|')
#: What else somebody may have written, or nothing, for the most part.
MORE = ('', '', '', '', '\tuse_devicesfile = 0\n', '\tuse_devicesfile = 1\n', '\tscan_lvs = 1\n')
#: What a disk of the host's is: kernel names of its physical volumes.
OWN = (('sda',), ('sda3',), ('sda1', 'sda2'), ('sda', 'sdb'), ('nvme0n1',), ('nvme0n1p3',),
       ('vda2',), ('sda2', 'nvme0n1'))
GUESTS = (('sdx',), ('sdx1',), ('sdx', 'sdy'), ('nvme9n1',), ('sdx', 'nvme9n1p1'), ())
#: How udev names a local disk; {n} is its number.
LINKS = ('wwn-0x5000c50015ea7{n:03x}', 'scsi-35000c50015ea7{n:03x}', 'ata-ST1000.A-1CH{n}_Z1.{n}',
         'nvme-eui.0025385b71b0{n:04x}', 'wwn-0x0000000000000000', 'scsi-SATA_Disk_{n}')


class Host:
    """Loop devices under the names of disks, as long as the context lasts.

    :param draw: decides what it has
    :param top: a directory for all of it
    """

    def __init__(self, draw: random.Random, top: pathlib.Path) -> None:
        self._names, self._others = draw.choice(OWN), draw.choice(GUESTS)
        self._same = draw.random() < 0.2
        self._links = {name: [link.format(n=draw.randrange(1, 900)) for link in draw.sample(
            LINKS, draw.randint(1, 3))] for name in self._names + self._others}
        self._top = top
        self.tree = pathlib.Path(os.path.join(top, f'sys-{draw.random()}'))
        self.own: frozenset[str] = frozenset()
        self.guests: frozenset[str] = frozenset()
        self.paths = tuple(f'/dev/{name}' for name in self._names)
        self._loops: list[str] = []

    def __str__(self) -> str:
        """For a message."""
        return f'own {self._names}, guests {self._others}, {self._links}'

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        for loop in self._loops:
            os.mknod(loop, 0o600 | 0o060000, os.makedev(7, int(loop.removeprefix('/dev/loop'))))
            subprocess.run(('losetup', '-d', loop), check=True)
            os.unlink(loop)
        for path in pathlib.Path('/dev').rglob('*'):
            if path.is_symlink() or path.is_block_device():
                path.unlink()

    def make(self) -> None:
        """Its disks, its volume group, and those of guests."""
        for number, name in enumerate(self._names + self._others):
            self._disk(name, number, local=number < len(self._names))
        self._group('host', self._names)
        self.own = self.seen()
        if self._others:
            self._group('host' if self._same else 'guest', self._others)
        self.guests = self.seen() - self.own

    def _disk(self, name: str, number: int, local: bool) -> None:
        with contextlib.suppress(FileExistsError):
            os.mknod('/dev/loop-control', 0o600 | 0o020000, os.makedev(10, 237))
        file = self._top / f'{name}.img'
        with file.open('wb') as stream:
            stream.truncate(64 << 20)
        free = _run('losetup', '--find').strip()
        loop = int(free.removeprefix('/dev/loop'))
        os.mknod(free, 0o600 | 0o060000, os.makedev(7, loop))
        _run('losetup', free, str(file))
        os.unlink(free)
        self._loops.append(free)
        os.mknod(f'/dev/{name}', 0o600 | 0o060000, os.makedev(7, loop))
        by_id = pathlib.Path('/dev/disk/by-id')
        by_id.mkdir(parents=True, exist_ok=True)
        for link in self._links[name]:
            with contextlib.suppress(FileExistsError):
                (by_id / link).symlink_to(f'../../{name}')
        self._in_sysfs(name, loop, local, number)

    def _in_sysfs(self, name: str, loop: int, local: bool, number: int) -> None:
        """A disk, or a partition in one, where its transport shows."""
        disk = name.rstrip('0123456789') if not name.startswith('nvme') else name.split('p')[0]
        scsi_host = f'host{number}'
        place = self.tree / 'devices' / ('pci' if local else 'session1') / scsi_host / 'block'
        made = place / disk
        links = self.tree / 'class' / 'block'
        links.mkdir(parents=True, exist_ok=True)
        if not (links / disk).exists():
            (made / 'device').mkdir(parents=True)
            (made / 'holders').mkdir()
            (made / 'slaves').mkdir()
            (made / 'dev').write_text(f'8:{200 + number}\n')
            (made / 'device' / 'transport').write_text('pcie\n' if local else 'tcp\n')
            driver = self.tree / 'class' / 'scsi_host' / scsi_host
            driver.mkdir(parents=True)
            (driver / 'proc_name').write_text('ahci\n' if local else 'iscsi_tcp\n')
            (links / disk).symlink_to(made)
        here = (links / disk).resolve()
        if name != disk:
            here = here / name
            (here / 'holders').mkdir(parents=True)
            (here / 'partition').write_text('1\n')
            (links / name).symlink_to(here)
        (here / 'dev').write_text(f'7:{loop}\n')
        numbers = self.tree / 'dev' / 'block'
        numbers.mkdir(parents=True, exist_ok=True)
        (numbers / f'7:{loop}').symlink_to(here)

    def _group(self, name: str, disks: tuple[str, ...]) -> None:
        paths = [f'/dev/{disk}' for disk in disks]
        patterns = ', '.join(f'"a|^{path}$|"' for path in paths)
        only = ('--config', f'devices {{ global_filter = [ {patterns}, "r|.*|" ] }}')
        _run('lvm', 'vgcreate', '-y', *only, name, *paths)
        _run('lvm', 'lvcreate', '-y', '-an', '-Zn', '-Wn', '-L', '8M', '-n', 'root', *only, name)

    def settings(self, draw: random.Random) -> str:
        """Settings of LVM that somebody may have written; one of eight has no filter."""
        names = {'own': self.paths[0], 'other': f'/dev/{(self._others or ("sdz",))[0]}',
                 'link': f'/dev/disk/by-id/{self._links[self._names[0]][0]}'}
        which = draw.choice((('global_filter',), ('global_filter',), ('filter',),
                             ('global_filter', 'filter')))
        lines = ''
        for name in which if draw.randrange(8) else ():
            pieces = [piece.format(**names) for piece in draw.sample(PIECES, draw.randint(1, 4))]
            quoted = ', '.join('"' + piece.replace('\\', r'\\') + '"' for piece in pieces)
            lines += f'\t{name} = [ {quoted} ]\n'
        return f'devices {{\n{lines}{draw.choice(MORE)}}}\n'

    @staticmethod
    def seen() -> frozenset[str]:
        """The uuids of all that LVM sees: physical and logical volumes."""
        return frozenset((_run('lvm', 'pvs', '--noheadings', '-o', 'pv_uuid')
                          + _run('lvm', 'lvs', '--noheadings', '-o', 'lv_uuid')).split())


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True,
                          stdin=subprocess.DEVNULL).stdout
