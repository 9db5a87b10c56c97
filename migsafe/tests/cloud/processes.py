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
"""The processes of the control plane and the emulators: started, ended and looked for by name."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence

from migsafe.tests.cloud import places, space

#: Seconds that anything may take: all is emulated, and the processors may have other things to do.
SLOW = 3600.0


class Failed(Exception):
    """Something that the cloud needs did not work."""


def say(what: str) -> None:
    """Print progress, with the time."""
    print(f'{time.strftime("%H:%M:%S")} {what}', flush=True)


def start(name: str, command: Sequence[str], env: Mapping[str, str] | None = None,
          user: str | None = None) -> None:
    """Start a daemon; its output goes to log/NAME.log.

    :param env: what its environment has more than this one's
    :param user: whom it belongs to, root if None
    """
    if pid(name):
        return
    with (places.part('log') / f'{name}.log').open('ab') as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            env={**os.environ, **(env or {})}, user=user, group=user,
            extra_groups=None if user is None else ())
    _file(name).write_text(f'{process.pid} {space.started(process.pid)}')


def pid(name: str) -> int | None:
    """The process of a daemon, if it runs."""
    try:
        number, start_time = _file(name).read_text().split()
    except (FileNotFoundError, ValueError):
        return None
    return int(number) if space.started(int(number)) == start_time else None


def end(name: str, how: int = signal.SIGTERM, timeout: float = 60) -> None:
    """End a daemon with all that is in its session.

    :param timeout: seconds after which it is killed
    """
    number = pid(name)
    if number is None:
        return
    with contextlib.suppress(ProcessLookupError):
        os.killpg(number, how)
    try:
        until(lambda: pid(name) is None, timeout, f'{name} to end')
    except Failed:
        os.killpg(number, signal.SIGKILL)


def until(ready: Callable[[], object], timeout: float, what: str, pause: float = 0.3) -> None:
    """Wait for something.

    :param timeout: seconds
    :raises Failed: it did not come
    """
    limit = time.monotonic() + timeout
    while not ready():
        if time.monotonic() > limit:
            raise Failed(f'waited {timeout:.0f} s for {what}')
        time.sleep(pause)


def run(*command: str, env: Mapping[str, str] | None = None, log: str = 'commands',
        input: str | None = None) -> str:
    """Run a command to its end.

    :raises Failed: with its output
    """
    done = subprocess.run(command, env={**os.environ, **(env or {})}, text=True, input=input,
                          stdin=None if input is not None else subprocess.DEVNULL,
                          capture_output=True, check=False)
    with (places.part('log') / f'{log}.log').open('a') as stream:
        stream.write(f'$ {" ".join(command)}\n{done.stdout}{done.stderr}')
    if done.returncode:
        raise Failed(f'{" ".join(command)}: exit code {done.returncode}: '
                     f'{(done.stdout + done.stderr)[-2000:]}')
    return done.stdout


def _file(name: str) -> pathlib.Path:
    return places.part('run') / f'{name}.pid'
