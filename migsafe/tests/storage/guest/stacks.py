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
"""More of what the kernel stacks on a volume: caches, RAIDs, and things with hostile names."""

from __future__ import annotations

import os
import pathlib
import subprocess
import uuid
from collections.abc import Callable

import host
import things

#: What a guest's table may be called: it colours a terminal, ends a line, and is read by a shell.
HOSTILE = 'evil\x1b[31m\n; reboot #'
#: bcache's magic number, and its polynomial; see drivers/md/bcache/ and lib/crc64.c of Linux.
_BCACHE = uuid.UUID('c68573f6-4e1a-45ca-8265-f57f48ba6d81').bytes
_POLYNOMIAL = 0x42F0E1EBA9EA3693


def other_disk(name: str, size: int = 48) -> str:
    """A disk of the host's own: a loop device over a file in memory.

    :param size: in MiB
    """
    host.run('modprobe', 'loop')
    host.run('truncate', '-s', f'{size}M', f'/srv/{name}')
    return host.run('losetup', '--find', '--show', f'/srv/{name}').strip()


def bcache(path: str) -> things.Thing:
    """A backing device of bcache, without a cache."""
    host.run('modprobe', 'bcache')
    with open(path, 'r+b') as disk:
        disk.seek(4096)
        disk.write(_superblock())
        os.fsync(disk.fileno())
    name = os.path.basename(os.path.realpath(path))
    pathlib.Path('/sys/fs/bcache/register').write_text(f'/dev/{name}')
    inside = pathlib.Path(f'/sys/block/{name}/bcache')
    # without the mark of a cache it runs at once
    host.wait_for(lambda: os.path.exists('/dev/bcache0'))
    host.settle()

    def down() -> None:
        (inside / 'stop').write_text('1')
        host.wait_for(lambda: not inside.exists())
    return things.Thing(lambda: host.readable('/dev/bcache0'), down)


def _superblock() -> bytes:
    """struct cache_sb_disk of a backing device, as make-bcache writes it."""
    body = (8).to_bytes(8, 'little') + (1).to_bytes(8, 'little') + _BCACHE + uuid.uuid4().bytes
    body += bytes(16 + 32 + 8 + 8 + 64) + (16).to_bytes(8, 'little')
    body += (1).to_bytes(2, 'little') + bytes(6 + 4 + 2 + 2)
    crc = 0xFFFFFFFFFFFFFFFF
    for byte in body:
        crc ^= byte << 56
        for _ in range(8):
            crc = (crc << 1 ^ (_POLYNOMIAL if crc >> 63 else 0)) & 0xFFFFFFFFFFFFFFFF
    return ((crc ^ 0xFFFFFFFFFFFFFFFF).to_bytes(8, 'little') + body).ljust(4096, b'\0')


def dm_cache(path: str) -> things.Thing:
    """The origin of a cache of device-mapper."""
    host.run('modprobe', '-a', 'dm-cache', 'dm-cache-smq')
    fast, notes = other_disk('fast'), other_disk('notes', 8)
    sectors = host.run('blockdev', '--getsz', path).strip()
    host.run('dmsetup', 'create', 'cached', '--table',
             f'0 {sectors} cache {notes} {fast} {path} 128 1 writethrough smq 0')
    host.settle()

    def down() -> None:
        host.run('dmsetup', 'remove', 'cached')
        host.run('losetup', '-d', fast, notes)
    return things.Thing(lambda: host.readable('/dev/mapper/cached'), down)


def lvm_raid(path: str) -> things.Thing:
    """One leg of a mirrored logical volume, whose other leg is a disk of the host's."""
    host.run('modprobe', 'dm-raid')
    other = other_disk('leg')
    host.run('lvm', data=f'vgcreate -y guest {path} {other}\n'
                         'lvcreate -y --type raid1 -m 1 --nosync -L 16M -n root guest\n')
    host.settle()

    def down() -> None:
        host.run('vgchange', '-an', 'guest')
        host.run('losetup', '-d', other)
    return things.Thing(lambda: host.readable('/dev/guest/root'), down)


def hostile_name(path: str) -> things.Thing:
    """A table with a name that does something to whoever shows it."""
    host.run('dmsetup', '--manglename', 'none', 'create', HOSTILE, '--noudevsync', '--table',
             f'0 1024 linear {path} 0')
    name, = os.listdir(f'/sys/class/block/{os.path.basename(os.path.realpath(path))}/holders')

    def down() -> None:
        host.run('dmsetup', '--manglename', 'none', 'remove', '--noudevsync', HOSTILE)
    return things.Thing(lambda: host.readable(f'/dev/{name}'), down)


def renamed(path: str) -> things.Thing:
    """The only node of the disk has another name, by which a process has it open."""
    node = os.path.realpath(path)
    os.rename(node, '/dev/database')
    made = things.opened('/dev/database')

    def down() -> None:
        made.down()
        os.rename('/dev/database', node)
    return things.Thing(made.check, down)


def written_all_the_time(path: str) -> things.Thing:
    """A mounted logical volume on a partition that is written all the time."""
    made = things.lv_mounted_on_partition(path)
    child = subprocess.Popen(('sh', '-c', 'while dd if=/dev/zero of="$0" bs=64k count=4 '
                              'conv=fsync; do sleep 0.05; done', f'{things.MOUNT}/load'),
                             stderr=subprocess.DEVNULL, start_new_session=True)
    host.wait_for(lambda: os.path.exists(f'{things.MOUNT}/load'))

    def down() -> None:
        os.killpg(child.pid, 9)
        child.wait()
        made.down()
    return things.Thing(made.check, down)


#: Each by its name.
STACKS: dict[str, Callable[[str], things.Thing]] = {
    made.__name__: made for made in (bcache, dm_cache, lvm_raid, hostile_name, renamed,
                                     written_all_the_time)}
