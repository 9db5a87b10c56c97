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
"""Everything that a run has started, so that nothing outlives it."""

import os
import pathlib
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from typing import IO

_STARTED: set[subprocess.Popen[bytes]] = set()
_LOCK = threading.Lock()
#: Seconds in which a process may end by itself when it is asked to.
MANNERS = 60


def start(
    command: Sequence[str],
    top: pathlib.Path,
    log: IO[bytes],
    environ: Mapping[str, str],
    piped: bool = False,
) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own, so that what it starts can be ended with it.

    :param log: for what it prints.
    :param environ: added to the environment.
    :param piped: its input and its output are pipes, and only its errors go to the log.
    """
    process = subprocess.Popen(
        command,
        cwd=top,
        env={**os.environ, **environ},
        stdin=subprocess.PIPE if piped else subprocess.DEVNULL,
        stdout=subprocess.PIPE if piped else log,
        stderr=log,
        start_new_session=True,
    )
    with _LOCK:
        _STARTED.add(process)
    return process


def end(process: subprocess.Popen[bytes], number: int = signal.SIGTERM) -> None:
    """End a process and all that it has started, if it still runs."""
    if process.poll() is None:
        os.killpg(process.pid, number)


def ended(process: subprocess.Popen[bytes]) -> None:
    """Wait for one that is to end, and be less polite if it does not."""
    try:
        process.wait(MANNERS)
    except subprocess.TimeoutExpired:
        end(process, signal.SIGKILL)
        process.wait()
    with _LOCK:
        _STARTED.discard(process)


def end_all(number: int = signal.SIGTERM) -> None:
    """All that run."""
    with _LOCK:
        running = list(_STARTED)
    for process in running:
        end(process, number)


def processor_seconds(process: subprocess.Popen[bytes]) -> float:
    """What a process and all of its session have used of processors until now.

    That of a process that has ended is with the one that waited for it.
    """
    ticks = 0
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text("utf-8").rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        # proc(5): 6 is the session, 14 to 17 the times; the first two were cut off
        if int(fields[3]) == process.pid:
            ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")
