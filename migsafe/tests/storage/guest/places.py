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
"""What the programs of the Cinder in the guest tell each other: files in one directory."""

from __future__ import annotations

import pathlib
import time
from collections.abc import Callable

RUN = pathlib.Path('/run/cinder')
STATE = pathlib.Path('/var/lib/cinder')
CONF = pathlib.Path('/etc/cinder/cinder.conf')
DATABASE = STATE / 'cinder.sqlite'
#: Number of the point at which cinder-volume has to die; -1 for none. There while points count.
KILL_AT = RUN / 'kill-at'
#: The points that it has come to, a line each.
POINTS = RUN / 'points'
#: There while cinder-rtstool dies, and Cinder with it, between an ACL and its LUN.
HALF_MADE = RUN / 'half-made'
#: A subcommand of cinder-rtstool that does nothing, once, and the exit code that it says.
FAULT = RUN / 'fault'
#: The point at which cinder-volume stops, as a process that hangs; it is told to go on.
STOP_AT = RUN / 'stop-at'
#: Words of the command migsafe that is to be run where the bus is; its exit code and output.
COMMAND, OUTCOME = RUN / 'command', RUN / 'outcome'
#: Where the name of a process and its number stand once it is ready.
STACK = 'stack'
#: The port of an API whose process is started beside another one.
BESIDE = 8777


def pipe(name: str) -> str:
    """Of a forker."""
    return str(RUN / f'{name}.pipe')


def log(name: str) -> str:
    """What a program prints."""
    return str(RUN / f'{name}.log')


def say(name: str, pid: int) -> None:
    """That a process is ready."""
    made = RUN / f'{name}.new'
    made.write_text(str(pid))
    made.rename(RUN / f'{name}.pid')


def said(name: str) -> int:
    """The number of a process that is ready; 0 if it is not."""
    try:
        return int((RUN / f'{name}.pid').read_text())
    except FileNotFoundError:
        return 0


def forget(name: str) -> None:
    """That a process was ready."""
    (RUN / f'{name}.pid').unlink(missing_ok=True)


def wait_for(seen: Callable[[], object], seconds: float) -> bool:
    """Until something is so, or the time is over; whether it is."""
    end = time.monotonic() + seconds
    while not seen():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True
