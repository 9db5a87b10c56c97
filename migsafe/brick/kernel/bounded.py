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
"""Questions that may never be answered, asked in a thread that is left behind then.

A command to a disk whose array is gone waits in the kernel until the transport gives up, 120
seconds for iSCSI as it comes, and nothing ends it. So whoever asks waits as long as he wants to.
Nothing is asked a second time while the first question is open.

Where eventlet has made the threads green, that bounds only what yields: what may wait in the
kernel is asked by a process of its own there (:mod:`migsafe.fencing.programs`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from typing import Any


class Silent(Exception):
    """No answer came in time."""


class _Question:
    """One question and, once it is there, its answer."""

    def __init__(self, function: Callable[[], Any], unwanted: Callable[[Any], object]) -> None:
        self._function, self._unwanted = function, unwanted
        self._lock, self.ended, self._left = threading.Lock(), threading.Event(), False
        self.began = time.monotonic()
        self._answer: Any = None
        self._error: BaseException | None = None

    def run(self) -> None:
        """In the thread."""
        try:
            answer = self._function()
        except BaseException as error:
            self.fail(error)
            return
        with self._lock:
            self._answer = answer
            self.ended.set()
            left = self._left
        if left:
            self._unwanted(answer)

    def age(self) -> float:
        """Seconds since it was asked."""
        return time.monotonic() - self.began

    def fail(self, error: BaseException) -> None:
        """It ends with this instead of an answer."""
        self._error = error
        self.ended.set()

    def answer(self, seconds: float) -> Any:
        """Wait for it."""
        if not self.ended.wait(max(seconds, 0)):
            with self._lock:
                if not self.ended.is_set():
                    self._left = True
                    raise Silent
        if self._error is not None:
            raise self._error
        return self._answer


_OPEN: dict[Hashable, _Question] = {}
_LOCK = threading.Lock()


def ask(questions: dict[Hashable, Callable[[], Any]], seconds: float,
        unwanted: Callable[[Any], object] = lambda answer: None,
        join: bool = False) -> dict[Hashable, Any]:
    """Ask all at once.

    :param questions: what is asked of whom -> what does it
    :param seconds: for all together
    :param join: whether to wait for what somebody else asks already, if that is not open for so
        long; else it is Silent at once
    :param unwanted: gets an answer that comes too late, to close what is open for instance
    :returns: the answers; an exception that was raised, Silent where none came, stands for one
    """
    asked: dict[Hashable, _Question | None] = {}
    for key, function in questions.items():
        with _LOCK:
            before = _OPEN.get(key)
            if before is not None and not before.ended.is_set():
                asked[key] = before if join and before.age() < seconds else None
                continue
            asked[key] = _OPEN[key] = question = _Question(function, unwanted)
        try:
            threading.Thread(target=question.run, daemon=True, name=f'ask {key}').start()
        except RuntimeError as error:  # the limit of threads; nobody would ever end it
            question.fail(error)
    end, found = time.monotonic() + seconds, {}
    for key, waiting in asked.items():
        try:
            if waiting is None:
                raise Silent
            found[key] = waiting.answer(end - time.monotonic())
        except Exception as error:
            found[key] = error
    with _LOCK:
        for key, question_ in list(_OPEN.items()):
            if question_.ended.is_set():
                del _OPEN[key]
    return found


def one(key: Hashable, function: Callable[[], Any], seconds: float,
        unwanted: Callable[[Any], object] = lambda answer: None, join: bool = False) -> Any:
    """Ask one; see ask().

    :raises Silent: if no answer comes in time
    """
    answer = ask({key: function}, seconds, unwanted, join)[key]
    if isinstance(answer, Exception):
        raise answer
    return answer
