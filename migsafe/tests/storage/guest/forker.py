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
"""Processes that begin with everything imported, as good as programs started by hand.

To start a Python program and import all of Cinder takes an emulated processor half a minute. A
forker has done it once. It opens nothing and starts no thread, and for each line that somebody
writes to its pipe it makes a process.

It is asked by shell scripts too, so it is a named pipe. posix, unlike os, is never patched by
eventlet, so that the forker has no event loop that its processes would share.
"""

from __future__ import annotations

import posix
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable

import places

MADE = 0o600


def run_forever(name: str, run: Callable[[list[str]], int]) -> None:
    """Be a forker.

    :param run: what a process of it does with the words of the line; gives its exit code
    """
    pipe = places.pipe(name)
    posix.mkfifo(pipe, MADE)
    # nobody waits for its processes
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    # for writing too: without a writer, to read would be to read the end again and again
    fd = posix.open(pipe, posix.O_RDWR)
    places.say(name, posix.getpid())
    left = b''
    while True:
        *lines, left = (left + posix.read(fd, 4096)).split(b'\n')
        for line in lines:
            if not posix.fork():
                _process(fd, run, line.decode().split())


def _process(fd: int, run: Callable[[list[str]], int], words: list[str]) -> None:
    """Never returns."""
    rc = 1
    try:
        posix.close(fd)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        rc = run(words)
    except SystemExit as ended:
        rc = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        posix._exit(rc)


def start(name: str, program: str) -> None:
    """Start a forker, and wait until it has imported what it needs.

    :param program: below the directory of the job
    """
    with open(places.log(name), 'ab') as log:
        child = subprocess.Popen((sys.executable, program), stdin=subprocess.DEVNULL, stdout=log,
                                 stderr=log, start_new_session=True)
    places.wait_for(lambda: places.said(name) or child.poll() is not None, 600)
    if child.poll() is not None:
        with open(places.log(name), encoding='utf-8') as log_again:
            raise RuntimeError(f'{program} has ended: {log_again.read()[-4000:]}')


def ask(name: str, *words: str) -> None:
    """Have a forker make a process."""
    with open(places.pipe(name), 'w', encoding='ascii') as pipe:
        pipe.write(' '.join(words) + '\n')
