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
"""What stands on a volume: each makes it, and gives a way to use it and one to take it down."""

from __future__ import annotations

import dataclasses
import os
import subprocess
from collections.abc import Callable

import host

MOUNT = '/mnt'


@dataclasses.dataclass(frozen=True)
class Thing:
    """Something on a volume.

    :param check: ok, error or hangs: whether it can still be used
    :param down: takes it away, as an operator would
    """

    check: Callable[[], str]
    down: Callable[[], object]


def nothing(path: str) -> Thing:
    """A free volume."""
    return Thing(lambda: 'ok', lambda: None)


def partition(path: str) -> str:
    """One partition over the whole; the path of it, or of kpartx's map."""
    host.run('sfdisk', '--quiet', path, data='label: dos\n,,L\n')
    host.settle()
    path = os.path.realpath(path)
    if '/dm-' not in path:
        return f'{path}p1' if path[-1].isdigit() else f'{path}1'
    host.run('kpartx', '-a', '-p', '-part', '-s', path)
    host.settle()
    with open(f'/sys/class/block/{os.path.basename(path)}/dm/name') as stream:
        return f'/dev/mapper/{stream.read().strip()}-part1'


def empty_partition(path: str) -> Thing:
    """A partition with nothing on it."""
    part = partition(path)
    return Thing(lambda: host.readable(part), lambda: None)


def lv(*paths: str) -> Thing:
    """A logical volume that nobody has open, over all of some volumes."""
    # a second process of LVM would look at all disks again
    host.run('lvm', data=f'vgcreate -y guest {" ".join(paths)}\n'
                         'lvcreate -y -l 100%FREE -n root guest\n')
    return Thing(lambda: host.readable('/dev/guest/root'),
                 lambda: host.run('vgchange', '-an', 'guest'))


def lv_mounted(path: str) -> Thing:
    """A mounted logical volume on the whole volume."""
    made = lv(path)
    host.run('mkfs.ext4', '-q', '/dev/guest/root')
    host.run('mount', '/dev/guest/root', MOUNT)

    def check() -> str:
        read = host.readable('/dev/guest/root')
        return _written() if read == 'ok' else read

    def down() -> None:
        host.run('umount', MOUNT)
        made.down()
    return Thing(check, down)


def lv_mounted_on_partition(path: str) -> Thing:
    """The same on a partition: the disk itself has no holder."""
    return lv_mounted(partition(path))


def mounted(path: str) -> Thing:
    """A file system on the volume itself."""
    host.run('mkfs.ext4', '-q', path)
    host.run('mount', path, MOUNT)
    return Thing(_written, lambda: host.run('umount', MOUNT))


def mounted_elsewhere(path: str) -> Thing:
    """The same in another mount namespace, as in a container."""
    host.run('mkfs.ext4', '-q', path)
    child = subprocess.Popen(('unshare', '--mount', 'sh', '-c',
                              f'mount {path} {MOUNT} && exec sleep 100000'))
    host.wait_for(lambda: f' {MOUNT} ' in host.text(f'/proc/{child.pid}/mountinfo'))

    def down() -> None:
        child.kill()
        child.wait()
    return Thing(lambda: _written(f'/proc/{child.pid}/root{MOUNT}'), down)


def loop(path: str) -> Thing:
    """A loop device: it claims nothing, and no process has it open."""
    host.run('modprobe', 'loop')
    name = host.run('losetup', '--find', '--show', '--direct-io=on', path).strip()
    return Thing(lambda: host.readable(name), lambda: host.run('losetup', '-d', name))


def table(path: str) -> Thing:
    """A device-mapper table of no known kind."""
    host.run('dmsetup', 'create', 'made', '--table', f'0 1024 linear {path} 0')
    host.settle()
    return Thing(lambda: host.readable('/dev/mapper/made'),
                 lambda: host.run('dmsetup', 'remove', 'made'))


def swap(path: str) -> Thing:
    """Swap space."""
    host.run('mkswap', path)
    host.run('swapon', path)
    return Thing(lambda: host.readable(path), lambda: host.run('swapoff', path))


def md(path: str) -> Thing:
    """One half of a mirror."""
    host.run('mdadm', '--create', '/dev/md0', '--run', '--level=1', '--raid-devices=2', path,
            'missing', '--metadata=1.2', data='y\n')
    host.settle()
    return Thing(lambda: host.readable('/dev/md0'),
                 lambda: host.run('mdadm', '--stop', '/dev/md0'))


def crypt(path: str) -> Thing:
    """dm-crypt without a header."""
    host.run('cryptsetup', 'open', '--type', 'plain', '--cipher', 'aes-xts-plain64',
            '--key-size', '256', '--hash', 'sha256', '--key-file', '-', path, 'secret',
            data='a passphrase')
    host.settle()
    return Thing(lambda: host.readable('/dev/mapper/secret'),
                 lambda: host.run('cryptsetup', 'close', 'secret'))


def opened(path: str) -> Thing:
    """A process has it open, as a QEMU has."""
    fd = os.open(path, os.O_RDWR)
    child = subprocess.Popen(('sleep', '100000'), stdin=fd)
    os.close(fd)

    def check() -> str:
        # through the very descriptor that the process has: a path may lead elsewhere by now
        return host.readable(f'/proc/{child.pid}/fd/0')

    def down() -> None:
        child.kill()
        child.wait()
    return Thing(check, down)


def lv_of_the_guest(path: str) -> Thing:
    """What a guest has made; this host's LVM activates it by itself, as udev tells it to."""
    host.wait_for(lambda: os.path.exists('/dev/guest/root'))
    host.settle()
    return Thing(lambda: host.readable('/dev/guest/root'),
                 lambda: host.run('vgchange', '-an', 'guest'))


def _written(where: str = MOUNT) -> str:
    """Write to the mounted file system, down to the disk."""
    return host.ended('dd', 'if=/dev/zero', f'of={where}/file', 'bs=4096', 'count=1',
                     'conv=fsync')
