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
"""Programs that ask a host or its BMC, and may not come back."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence

#: Seconds between two looks whether a program has ended.
PAUSE = 0.02
#: Seconds that one which was ended has to be gone. A disk that hangs keeps it in the kernel for
#: longer, and then it is left behind.
GONE = 1.0
_LEFT: dict[tuple[str, ...], subprocess.Popen[bytes]] = {}


@dataclasses.dataclass(frozen=True)
class Ended:
    """How one has ended.

    :param code: its exit code; None if it was ended because the time was over
    """

    code: int | None
    out: str
    err: str


def run(arguments: Sequence[str], environment: Mapping[str, str], seconds: float) -> Ended:
    """Run one, and end it and all that it has started when the time is over.

    It is not started again while an earlier one, with the same arguments, cannot be ended.

    :raises OSError: it cannot be started
    """
    left = _LEFT.get(tuple(arguments))
    if left is not None and left.poll() is None:
        return Ended(None, '', '')
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = subprocess.Popen(arguments, env=environment, stdin=subprocess.DEVNULL, stdout=out,
                                 stderr=err, start_new_session=True)
        code = None
        try:
            code = _waited(child, seconds)
        finally:
            if child.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child.pid, signal.SIGKILL)
                if _waited(child, GONE) is None:
                    _LEFT[tuple(arguments)] = child
        out.seek(0)
        err.seek(0)
        return Ended(code, *(one.read().decode(errors='replace') for one in (out, err)))


def _waited(child: subprocess.Popen[bytes], seconds: float) -> int | None:
    """Its exit code; None if it goes on."""
    # NOTE: the time-out of Popen is another class with eventlet than without it.
    end = time.monotonic() + seconds
    while (code := child.poll()) is None and time.monotonic() < end:
        time.sleep(PAUSE)
    return code
