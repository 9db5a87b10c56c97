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
"""Ways to use a volume that leave no name below /dev behind.

Each is made by a process of its own, which says that it is ready by a line on its output.
"""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
from collections.abc import Callable

import host
import stacks
import things

ELSEWHERE = '/run/elsewhere'

_OPEN = 'import os, sys, time\nfd = os.open(sys.argv[1], os.O_RDWR)\n'
_READY = 'print("ready", flush=True)\ntime.sleep(100000)\n'
#: Python's own mmap keeps a descriptor.
_MAPPED = _OPEN + '''
import ctypes
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
assert libc.mmap(None, 4096, 3, 1, fd, ctypes.c_long(0)) != ctypes.c_void_p(-1).value
os.close(fd)
''' + _READY
_THREAD = '''
import ctypes, os, sys, threading, time
def run():
    assert not ctypes.CDLL(None).unshare(0x400)
    os.open(sys.argv[1], os.O_RDWR)
    print("ready", flush=True)
    time.sleep(100000)
threading.Thread(target=run).start()
'''
#: io_uring_setup(2) and io_uring_register(2) with IORING_REGISTER_FILES.
_URING = _OPEN + '''
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
ring = libc.syscall(425, 4, ctypes.create_string_buffer(120))
assert ring >= 0, ctypes.get_errno()
assert not libc.syscall(427, ring, 2, (ctypes.c_int * 1)(fd), 1), ctypes.get_errno()
os.close(fd)
''' + _READY
#: Nobody has it any more who would show it: it is on its way through a socket.
_ON_ITS_WAY = '''
import mmap, os, socket, sys, time
one, other = socket.socketpair()
fd = os.open(sys.argv[1], os.O_RDONLY | os.O_DIRECT)
socket.send_fds(one, [b"x"], [fd])
os.close(fd)
page = mmap.mmap(-1, 4096)
print("ready", flush=True)
while True:
    fd = socket.recv_fds(other, 1, 1)[1][0]
    os.preadv(fd, [page], 0)
    socket.send_fds(one, [b"x"], [fd])
    os.close(fd)
    time.sleep(0.05)
'''
_NAMED = _OPEN + 'pathlib = __import__("pathlib")\n' \
                 'pathlib.Path("/proc/self/comm").write_text(sys.argv[2])\n' + _READY
_PATH = 'import os, sys, time\nfd = os.open(sys.argv[1], os.O_PATH)\n' + _READY


def node(path: str, of: str = '') -> str:
    """Another node of a device, in no /dev; as mknod in a container, or a CSI driver, makes it.

    :param of: what it is the node of, if not of the device itself
    """
    os.makedirs(ELSEWHERE, exist_ok=True)
    found = os.stat(of or os.path.realpath(path))
    made = f'{ELSEWHERE}/volume-{len(os.listdir(ELSEWHERE))}'
    os.mknod(made, 0o600 | (found.st_mode & 0o170000), found.st_rdev)
    return made


def program(text: str, path: str, *arguments: str) -> things.Thing:
    """A process that runs a program with a device."""
    child = subprocess.Popen((sys.executable, '-c', text, path, *arguments),
                             stdout=subprocess.PIPE)
    if not child.stdout or child.stdout.readline() != b'ready\n':
        raise RuntimeError('it has ended')

    def down() -> None:
        child.kill()
        child.wait()
    number = os.stat(path).st_rdev
    return things.Thing(lambda: _alive(number), down)


def _alive(number: int) -> str:
    """Whether the device that was used is still there and can be read, by its number."""
    name = f'/sys/dev/block/{os.major(number)}:{os.minor(number)}'
    return host.readable('/dev/' + os.path.basename(os.path.realpath(name))) if os.path.exists(
        name) else 'error'


def outside_of_dev(path: str) -> things.Thing:
    """A process has it open by a node elsewhere."""
    return program(_OPEN + _READY, node(path))


def loop_outside_of_dev(path: str) -> things.Thing:
    """A loop device by such a node, which is gone."""
    host.run('modprobe', 'loop')
    made = node(path)
    name = host.run('losetup', '--find', '--show', '--direct-io=on', made).strip()
    os.unlink(made)
    return things.Thing(lambda: host.readable(name), lambda: host.run('losetup', '-d', name))


def mapped(path: str) -> things.Thing:
    """A shared mapping, with the descriptor closed."""
    return program(_MAPPED, path)


def thread_of_its_own(path: str) -> things.Thing:
    """A thread that shares its descriptors with no other."""
    return program(_THREAD, path)


def io_uring(path: str) -> things.Thing:
    """A registered file, with the descriptor closed."""
    return program(_URING, path)


def named_like_udev(path: str) -> things.Thing:
    """What opens devices for a moment, by its name."""
    return program(_NAMED, path, 'blkid')


def named_like_multipathd(path: str) -> things.Thing:
    """What keeps devices open, by its name and by that of its executable."""
    os.makedirs(ELSEWHERE, exist_ok=True)
    host.run('cp', '/bin/sleep', f'{ELSEWHERE}/multipathd')
    fd = os.open(path, os.O_RDONLY)
    child = subprocess.Popen((f'{ELSEWHERE}/multipathd', '100000'), stdin=fd)
    os.close(fd)
    number = os.stat(path).st_rdev

    def down() -> None:
        child.kill()
        child.wait()
    return things.Thing(lambda: _alive(number), down)


def only_looked_at(path: str) -> things.Thing:
    """A descriptor of O_PATH, which keeps nothing open."""
    return program(_PATH, path)


def on_its_way(path: str) -> things.Thing:
    """Read all the time through a descriptor that is nearly always in a socket."""
    return program(_ON_ITS_WAY, path)


def sg(path: str) -> things.Thing:
    """The generic node of the same disk, or of the same namespace."""
    name = os.path.basename(os.path.realpath(path))
    if name.startswith('nvme'):
        return _by(path, f'/dev/{name.replace("nvme", "ng")}')
    host.run('modprobe', 'sg')
    host.settle()
    generic, = os.listdir(f'/sys/class/block/{name}/device/scsi_generic')
    return _by(path, f'/dev/{generic}')


def _by(path: str, generic: str) -> things.Thing:
    made = program(_OPEN + _READY, generic)
    return things.Thing(lambda: host.readable(path), made.down)


def file_backstore(path: str) -> things.Thing:
    """LIO exports it, through a backstore that claims nothing."""
    import rtslib_fb as rtslib
    store = rtslib.FileIOStorageObject('held', os.path.realpath(path), write_back=True)
    return things.Thing(lambda: host.readable(path), store.delete)


def block_backstore(path: str) -> things.Thing:
    """LIO exports it, through a backstore that claims it."""
    import rtslib_fb as rtslib
    store = rtslib.BlockStorageObject('held', os.path.realpath(path))
    return things.Thing(lambda: host.readable(path), store.delete)


def nvme_target(path: str) -> things.Thing:
    """nvmet exports it, which claims nothing."""
    import array_set_up
    subsystem = array_set_up.NVMET / 'subsystems' / 'nqn.2026-01.org.migsafe:held'
    namespace = subsystem / 'namespaces' / '1'
    namespace.mkdir(parents=True)
    (namespace / 'device_path').write_text(os.path.realpath(path))
    (namespace / 'enable').write_text('1')

    def down() -> None:
        (namespace / 'enable').write_text('0')
        namespace.rmdir()
        subsystem.rmdir()
    return things.Thing(lambda: host.readable(path), down)


def lazily_unmounted(path: str) -> things.Thing:
    """A file system that is mounted nowhere any more, because a file of it is open."""
    mounted = things.mounted(path)
    file = pathlib.Path(things.MOUNT, 'kept').open('w')
    host.run('umount', '--lazy', things.MOUNT)
    del mounted

    def check() -> str:
        try:
            file.write('x')
            file.flush()
            os.fsync(file.fileno())
        except OSError:
            return 'error'
        return 'ok'

    def down() -> None:
        file.close()
        host.wait_for(lambda: not os.path.exists(
            f'/sys/fs/ext4/{os.path.basename(os.path.realpath(path))}'))
    return things.Thing(check, down)


def external_journal(path: str) -> things.Thing:
    """The journal of an ext4 that is on another disk."""
    host.run('modprobe', '-a', 'loop')
    host.run('mke2fs', '-q', '-O', 'journal_dev', '-b', '4096', path)
    host.run('truncate', '-s', '48M', '/srv/with-journal')
    other = host.run('losetup', '--find', '--show', '/srv/with-journal').strip()
    host.run('mke2fs', '-q', '-t', 'ext4', '-b', '4096', '-J', f'device={path}', other)
    host.run('mount', other, things.MOUNT)

    def down() -> None:
        host.run('umount', things.MOUNT)
        host.run('losetup', '-d', other)
    return things.Thing(lambda: things._written(), down)


def swap_file(path: str) -> things.Thing:
    """A swap file on a file system that is unmounted lazily: nothing is mounted."""
    made = things.mounted(path)
    file = f'{things.MOUNT}/swap'
    host.run('dd', 'if=/dev/zero', f'of={file}', 'bs=1M', 'count=8')
    os.chmod(file, 0o600)
    host.run('mkswap', file)
    host.run('swapon', file)

    def down() -> None:
        host.run('swapoff', file)
        made.down()
    return things.Thing(made.check, down)


#: Each way by its name.
WAYS: dict[str, Callable[[str], things.Thing]] = {
    made.__name__: made for made in (
        outside_of_dev, loop_outside_of_dev, mapped, thread_of_its_own, io_uring,
        named_like_udev, named_like_multipathd, only_looked_at, on_its_way, sg, file_backstore,
        block_backstore, nvme_target, lazily_unmounted, external_journal, swap_file)}
#: What was made last.
_LAST: list[things.Thing] = []


def made(name: str, path: str) -> things.Thing:
    """One of these, of stacks.py or of things.py, on a volume."""
    make: Callable[[str], things.Thing] = (WAYS | stacks.STACKS).get(name) or getattr(things, name)
    _LAST[:] = [make(path)]
    return _LAST[0]


def last() -> things.Thing:
    """What made() has made."""
    return _LAST[0]
