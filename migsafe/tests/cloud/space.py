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
"""The namespaces that a cloud lives in, and that it ends with.

Everything that a cloud starts is below one process, the first of a PID namespace. When that
ends, the kernel ends all others, whatever state they are in, and the network devices and mounts
go with them. So a cloud that was killed leaves no process, no bridge and no mount; and whoever
takes it down ends one process, known by its number and the time of its start.
"""

from __future__ import annotations

import ctypes
import os
import pathlib
import signal
import subprocess
import sys
import time

from migsafe.tests.cloud import places

INSIDE = 'MIGSAFE_CLOUD_INSIDE'
UNSHARE = ('unshare', '--net', '--pid', '--mount', '--uts', '--ipc', '--fork', '--mount-proc',
           '--kill-child')


class NoCloud(Exception):
    """There is none, or one that has ended."""


def begin(tied: bool) -> None:
    """Make the namespaces.

    :param tied: the cloud ends with this process, also when that is killed
    :raises NoCloud: it did not start
    """
    log = (places.part('log') / 'keeper.log').open('ab')
    keeper = subprocess.Popen(
        [*UNSHARE, sys.executable, '-m', f'{__package__}.keeper'], stdin=subprocess.DEVNULL,
        stdout=log, stderr=log, start_new_session=not tied,
        preexec_fn=_die_with_parent if tied else None)
    end = time.monotonic() + 60
    while not (found := _children(keeper.pid)):
        if time.monotonic() > end or keeper.poll() is not None:
            raise NoCloud(f'{" ".join(UNSHARE)} ended with {keeper.poll()}; see {log.name}')
        time.sleep(0.05)
    _registry().write_text(f'{keeper.pid} {started(keeper.pid)} {found[0]}\n')


def end() -> bool:
    """End everything that the cloud has started.

    :returns: whether there was a cloud
    """
    try:
        keeper, _first = _known()
    except NoCloud:
        return False
    finally:
        _registry().unlink(missing_ok=True)
    os.kill(keeper, signal.SIGKILL)
    while started(keeper):
        time.sleep(0.05)
    return True


def running() -> bool:
    """Whether there is one."""
    try:
        _known()
    except NoCloud:
        return False
    return True


def call(*words: str) -> int:
    """Run this program inside, and wait for it.

    :returns: its exit code
    """
    _program, command, environment = inside(sys.executable, '-m', __package__, *words)
    return subprocess.run(command, env=environment, check=False).returncode


def enter() -> None:
    """Go on inside: this process is replaced by one that is there; inside it returns.

    :raises NoCloud: there is none
    """
    if os.environ.get(INSIDE):
        return
    os.execvpe(*inside(sys.executable, '-m', __package__, *sys.argv[1:]))


def inside(*command: str) -> tuple[str, list[str], dict[str, str]]:
    """What runs a command in the namespaces, as os.execvpe takes it."""
    _keeper, first = _known()
    return 'nsenter', ['nsenter', f'--target={first}', '--net', '--pid', '--mount', '--uts',
                       '--ipc', f'--wd={os.getcwd()}', *command], {**os.environ, INSIDE: '1'}


def started(pid: int) -> str:
    """When a process was started, in ticks since boot; empty if it has ended (proc(5))."""
    try:
        fields = pathlib.Path(f'/proc/{pid}/stat').read_text().rsplit(')', 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return ''
    return '' if fields[0] in 'ZX' else fields[19]


def _known() -> tuple[int, int]:
    """(the process that ends all others, the first one inside)."""
    try:
        keeper, start, first = _registry().read_text().split()
    except FileNotFoundError:
        raise NoCloud('no cloud is up; "tools/cloud up" starts one') from None
    if started(int(keeper)) != start:
        raise NoCloud(f'the cloud has ended: process {keeper} is gone; see {places.part("log")}')
    return int(keeper), int(first)


def _registry() -> pathlib.Path:
    return places.part('.') / 'keeper'


def _children(pid: int) -> list[int]:
    try:
        found = pathlib.Path(f'/proc/{pid}/task/{pid}/children').read_text().split()
    except FileNotFoundError:
        return []
    return [int(word) for word in found]


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
