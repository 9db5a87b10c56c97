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
"""End a test process that hangs, and say where it hung.

Nova's own limit of time is an alarm, which raises in whatever runs when it rings. On eventlet
that may be the hub, which prints the exception and waits on: a test that waits for what never
comes then waits for ever, and takes the whole run with it.
"""

import functools
import gc
import os
import pathlib
import signal
import sys
import threading
import time
import traceback
from types import FrameType, ModuleType
from typing import Any

import wrapt

#: for this long after it was asked where it hangs, a process may write the answer down
LAST_WORDS = 5.0
PAUSE = 2.0
AT, STACKS = "at", "stacks"


def report(state_dir: pathlib.Path, module: ModuleType) -> None:
    """In the test process: note each test that begins, and be ready to be asked.

    :param state_dir: where the notes go
    :param module: nova.test
    """
    note = state_dir / f"{AT}.{os.getpid()}"

    def set_up(wrapped: Any, test: Any, args: Any, kwargs: Any) -> Any:
        note.write_text(test.id(), encoding="utf-8")
        return wrapped(*args, **kwargs)

    wrapt.wrap_function_wrapper(module, "TestCase.setUp", set_up)
    signal.signal(signal.SIGUSR2, functools.partial(_dump, state_dir))


def _dump(state_dir: pathlib.Path, _number: int, _frame: FrameType | None) -> None:
    """Write down where every thread and every greenlet of this process is."""
    with open(state_dir / f"{STACKS}.{os.getpid()}", "w", encoding="utf-8") as out:
        for frame in [*sys._current_frames().values(), *_greenlets()]:
            traceback.print_stack(frame, file=out)
            print(file=out)


def _greenlets() -> list[FrameType]:
    # Nova on eventlet has loaded it; on native threads there are none
    module = sys.modules.get("greenlet")
    if module is None:
        return []
    found = [thing for thing in gc.get_objects() if isinstance(thing, module.greenlet)]
    return [thing.gr_frame for thing in found if thing.gr_frame is not None]


class Watch:
    """In the runner: a context during which test processes that hang are ended.

    :param state_dir: where they note their tests
    :param limit: seconds that one test may take
    """

    def __init__(self, state_dir: pathlib.Path, limit: float) -> None:
        self._state_dir, self._limit = state_dir, limit
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.hung: dict[str, str] = {}

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(PAUSE):
            for note in self._state_dir.glob(f"{AT}.*"):
                if time.time() - note.stat().st_mtime > self._limit:
                    self._end(note)

    def _end(self, note: pathlib.Path) -> None:
        test, pid = note.read_text("utf-8"), int(note.suffix[1:])
        note.unlink()
        if not _runs_tests(pid):
            return  # it has ended by itself after its last test
        os.kill(pid, signal.SIGUSR2)
        time.sleep(LAST_WORDS)
        stacks = self._state_dir / f"{STACKS}.{pid}"
        self.hung[test] = stacks.read_text("utf-8") if stacks.exists() else "it gave no answer"
        os.kill(pid, signal.SIGKILL)


def _runs_tests(pid: int) -> bool:
    """Whether a process is one of stestr's still, and not another of the same number."""
    try:
        return b"subunit" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False
