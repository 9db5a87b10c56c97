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
"""One QEMU process: its command line, its console and its QMP socket."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import pathlib
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from typing import Any, Self

BINARY = 'qemu-system-x86_64'
#: The guest's clock counts its instructions, so that to sleep costs nothing and a slow machine
#: changes no outcome. The kernel must not measure that clock against others. A plain CPU takes a
#: quarter less time than "max": what that has to offer is emulated too.
ARGUMENTS = (
    '-accel', 'tcg', '-cpu', 'qemu64', '-m', '640', '-smp', '1',
    '-icount', 'shift=2,sleep=off', '-rtc', 'clock=vm', '-nodefaults', '-no-user-config',
    '-display', 'none', '-no-reboot', '-device', 'isa-debug-exit,iobase=0xf4,iosize=0x04',
    '-machine', 'pc,memory-backend=memory')
#: Shared where a snapshot is made, which leaves it where it is; a guest that is restored for a
#: test has its own copy of each page that it writes to, and reads the others from the page cache.
MEMORY = 'memory-backend-file,id=memory,size=640M,mem-path={path},share={share}'
#: What the kernel does against attackers costs a fifth of the time that it takes.
KERNEL_ARGUMENTS = ('console=ttyS0 quiet mitigations=off init_on_alloc=0 hardened_usercopy=off '
                    'lsm= audit=0 no_timer_check tsc=reliable panic=-1 nvme_core.multipath=Y')

#: Seconds between the socket of QMP and somebody behind it.
LISTENING = 60


class Failed(Exception):
    """The virtual machine did not do what it was started for."""


def version() -> str:
    """QEMU's own word for its version: a snapshot is of no use to another."""
    try:
        return subprocess.run((BINARY, '--version'), check=True, capture_output=True,
                              text=True).stdout.splitlines()[0]
    except (OSError, subprocess.CalledProcessError) as error:
        raise Failed(f'{BINARY} cannot be run: {error}') from error


def _end_with_parent() -> None:
    """Have the kernel end QEMU if the test runner is killed, which leaves no context in order."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


class Machine:
    """A running QEMU; leaving the context ends it.

    :param image: directory with disk.img and vmlinuz
    :param initrd: what it boots
    :param disks: files of the second disk and those after it
    :param work: where its console and its socket are put
    :param memory: the file that is its memory
    :param state: the snapshot to restore; None to boot
    :param share: what it writes to its memory is written to the file, for a snapshot
    """

    def __init__(self, image: pathlib.Path, initrd: pathlib.Path, disks: Sequence[pathlib.Path],
                 work: pathlib.Path, memory: pathlib.Path,
                 state: pathlib.Path | None = None, share: bool = False) -> None:
        self.console = work / 'console'
        self._qmp = work / 'qmp'
        command = [BINARY, *ARGUMENTS,
                   '-object', MEMORY.format(path=memory, share='on' if share else 'off'),
                   '-kernel', str(image / 'vmlinuz'), '-initrd', str(initrd),
                   '-append', KERNEL_ARGUMENTS, '-serial', f'file:{self.console}',
                   '-qmp', f'unix:{self._qmp},server=on,wait=off']
        for number, disk in enumerate((image / 'disk.img', *disks)):
            readonly = 'on' if number == 0 else 'off'
            command += ['-drive', f'file={disk},format=raw,if=none,id=d{number},cache=unsafe,'
                                  f'readonly={readonly}',
                        '-device', f'virtio-blk-pci,drive=d{number}']
        if state:
            command += ['-incoming', 'defer']
        self._state = state
        self._errors = work / 'errors'
        with self._errors.open('wb') as stream:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stream,
                                            stderr=stream, preexec_fn=_end_with_parent)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def wait_for(self, word: str, timeout: float) -> None:
        """Until the guest has said a word on its console.

        :raises Failed: if it does not, with the end of its console
        """
        end = time.monotonic() + timeout
        while f'STORAGE-VM {word}' not in self.said():
            if (time.monotonic() > end or self.process.poll() is not None
                    or 'STORAGE-VM FAILED' in self.said()):
                time.sleep(1)
                raise Failed(f'the guest did not say {word}: {self.last_words()}')
            time.sleep(0.1)

    def wait(self, timeout: float) -> bool:
        """Until QEMU has ended.

        :returns: whether the guest itself has asked for it
        """
        end = time.monotonic() + timeout
        while time.monotonic() < end and 'STORAGE-VM FAILED' not in self.said():
            with contextlib.suppress(subprocess.TimeoutExpired):
                return self.process.wait(0.1) == 1
        return False

    def save(self, state: pathlib.Path) -> None:
        """Stop, and write the whole guest to a file."""
        with Monitor(self._qmp) as monitor:
            monitor.do('stop')
            monitor.leave_memory()
            monitor.do('migrate', uri=f'exec:cat > {state}')
            while (status := monitor.do('query-migrate').get('status')) != 'completed':
                if status == 'failed':
                    raise Failed(f'no snapshot: {self.last_words()}')
                time.sleep(0.1)
            monitor.do('quit')
        self.process.wait(60)

    def resume(self, timeout: float = 600) -> None:
        """Let a restored guest run: it was stopped when it was saved, and comes back so."""
        end = time.monotonic() + timeout
        try:
            monitor = connected(self._qmp, self.process, timeout)
        except Failed as error:
            raise Failed(f'no restore: {self.last_words()}') from error
        with monitor:
            monitor.leave_memory()
            monitor.do('migrate-incoming', uri=f'exec:cat {self._state}')
            while monitor.do('query-status')['status'] == 'inmigrate':
                if time.monotonic() > end:
                    raise Failed(f'no restore: {self.last_words()}')
                time.sleep(0.02)
            monitor.do('cont')

    def said(self) -> str:
        """The guest's console."""
        return self.console.read_text(errors='replace') if self.console.exists() else ''

    def last_words(self) -> str:
        """What QEMU complained of, and the end of the guest's console."""
        return f'{self._errors.read_text(errors="replace")}\n{self.said()[-4000:]}'


class Monitor:
    """A client of QMP; see QEMU's docs/interop/qmp-spec.rst."""

    def __init__(self, path: pathlib.Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        # a path of more than 107 bytes cannot be connected to, but one below a descriptor can
        fd = os.open(path.parent, os.O_RDONLY)
        end = time.monotonic() + LISTENING
        try:
            while True:
                try:
                    self._socket.connect(f'/proc/self/fd/{fd}/{path.name}')
                    break
                except ConnectionRefusedError:
                    # it has made the socket, and does not listen yet
                    if time.monotonic() > end:
                        raise
                    time.sleep(0.02)
        finally:
            os.close(fd)
        self._stream = self._socket.makefile('rw')
        self._stream.readline()
        self.do('qmp_capabilities')

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._stream.close()
        self._socket.close()

    def leave_memory(self) -> None:
        """Memory that is a file is no part of a snapshot."""
        self.do('migrate-set-capabilities',
                capabilities=[{'capability': 'x-ignore-shared', 'state': True}])

    def do(self, command: str, **arguments: Any) -> dict[str, Any]:
        """One command; events that come before its answer are left out."""
        self._stream.write(json.dumps({'execute': command, 'arguments': arguments}) + '\n')
        self._stream.flush()
        while line := self._stream.readline():
            answer = json.loads(line)
            if 'error' in answer:
                raise Failed(f'QMP {command}: {answer["error"]["desc"]}')
            if 'return' in answer:
                found: dict[str, Any] = answer['return']
                return found
        raise Failed(f'QMP {command}: no answer')


def connected(path: pathlib.Path, process: subprocess.Popen[bytes],
              timeout: float = 600) -> Monitor:
    """A client of the QMP of a QEMU that has just been started.

    :raises Failed: there is no socket in time
    """
    end = time.monotonic() + timeout
    while not path.exists() and time.monotonic() < end and process.poll() is None:
        time.sleep(0.02)
    if not path.exists():
        raise Failed(f'{path} is not there')
    return Monitor(path)
