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
"""Gets the guest ready, waits until it is restored from its snapshot, and does its job.

A job comes as a tar on the second disk, its results go as a tar to the third one. While a
snapshot is taken, nobody may have the second disk in the page cache. A job may want the guest to
be saved again when its script has ended: then the next job goes on in the same process.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import fcntl
import io
import json
import mmap
import os
import pathlib
import signal
import socket
import sys
import tarfile
import time
import traceback
from typing import Any

import array_set_up

JOB_DISK, RESULT_DISK = '/dev/vdb', '/dev/vdc'
HERE = pathlib.Path('/job')
#: Where isa-debug-exit is; QEMU ends with 2 * value + 1.
EXIT_PORT = 0xF4
#: Of linux/fs.h: drop what the page cache has of a disk.
BLKFLSBUF = 0x1261


def main() -> None:
    """Never returns: the virtual machine ends with it."""
    import_brick()
    array_set_up.main()
    say('READY')
    job = take_job()
    (HERE / 'out').mkdir()
    rc = run(job)
    (HERE / 'rc').write_text(str(rc))
    deliver()
    end()


def import_brick() -> None:
    """What a job would import anyway: here it is done once for all of them."""
    from os_brick.initiator import connector
    from oslo_utils import importutils
    for path in sorted(set(connector.get_connector_mapping().values())):
        if 'iscsi' in path or 'nvmeof' in path or 'fibre_channel' in path:
            importutils.import_class(path)


def take_job() -> dict[str, Any]:
    """Wait for a job, unpack it, and leave no trace of it on the disk."""
    wait_for_job()
    with tarfile.open(JOB_DISK) as tar:
        tar.extractall(HERE)
    with open(JOB_DISK, 'r+b', buffering=0) as disk:
        disk.write(bytes(4096))
        os.fsync(disk.fileno())
        fcntl.ioctl(disk, BLKFLSBUF)
    return read_job()


def read_job() -> dict[str, Any]:
    """timeout: seconds of this clock. saved: the guest is to be saved after the script."""
    job: dict[str, Any] = json.loads((HERE / 'job.json').read_text())
    return job


def wait_for_job() -> None:
    """Until the second disk has something on it, which the page cache would not tell."""
    fd = os.open(JOB_DISK, os.O_RDONLY | os.O_DIRECT)
    page = mmap.mmap(-1, 4096)
    while True:
        os.preadv(fd, [page], 0)
        if page[:1] != b'\0':
            break
        time.sleep(0.2)
    os.close(fd)


def run(job: dict[str, Any]) -> int:
    """Run the script of a job, and those of the jobs that follow, in one child of this process.

    :returns: its exit code; 124 if one of them took too long
    """
    ours, childs = socket.socketpair()
    child = os.fork()
    if not child:
        os._exit(scripts(childs))
    while (rc := wait(child, ours, job['timeout'])) is None:
        say('SAVE')
        job = take_job()
        ours.send(b'.')
    return rc


def wait(child: int, ours: socket.socket, timeout: float) -> int | None:
    """Until the child has ended, or has come to the end of a script that is not the last.

    :returns: its exit code; None if it waits for another script
    """
    ours.setblocking(False)
    end_at = time.monotonic() + timeout
    while time.monotonic() < end_at:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        with contextlib.suppress(BlockingIOError):
            if ours.recv(1):
                return None
        time.sleep(0.05)
    # faulthandler writes where it is; who sleeps in the kernel cannot be ended
    os.kill(child, signal.SIGABRT)
    time.sleep(2)
    return 124


def scripts(parents: socket.socket) -> int:
    """The child: as ``python script.py`` would be, with os-brick imported already.

    :param parents: where it says that it waits for the next script, and hears that it is there
    """
    os.setsid()
    os.chdir(HERE)
    fd = os.open(HERE / 'stdout', os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o644)
    os.dup2(fd, 1)
    os.dup2(fd, 2)
    faulthandler.enable()
    sys.path.insert(0, str(HERE))
    names: dict[str, Any] = {'__name__': '__main__'}
    try:
        while True:
            exec(compile((HERE / 'script.py').read_text(), 'script.py', 'exec'), names)
            if not read_job()['saved']:
                return 0
            parents.send(b'.')
            parents.recv(1)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


def deliver() -> None:
    """Write the results to the third disk."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode='w') as tar:
        for name in ('rc', 'stdout', 'out'):
            tar.add(HERE / name, name)
    with open(RESULT_DISK, 'wb', buffering=0) as disk:
        view = memoryview(data.getvalue())
        while view:
            view = view[disk.write(view):]
        os.fsync(disk.fileno())


def say(word: str) -> None:
    """One line on the console, for the host."""
    with open('/dev/console', 'w') as console:
        console.write(f'STORAGE-VM {word}\n')


def end() -> None:
    """End the virtual machine at once: an orderly end would wait for the disks of a test.

    This kernel has no /dev/port, and Python no outb: mov edx, edi; mov eax, esi; out dx, al; ret
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ioperm(EXIT_PORT, 1, 1):
        raise OSError(ctypes.get_errno(), 'ioperm')
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(bytes.fromhex('89fa89f0eec3'))
    place = ctypes.addressof(ctypes.c_char.from_buffer(page))
    ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_int)(place)(EXIT_PORT, 0)


if __name__ == '__main__':
    try:
        main()
    except BaseException:
        say('FAILED\n' + traceback.format_exc())
        raise
