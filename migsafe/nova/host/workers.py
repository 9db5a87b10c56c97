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
"""The worker threads of recovery: one that hangs blocks neither others nor Nova."""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable, Hashable

#: Seconds after which a worker that has not come back no longer counts against the number of
#: workers: it waits for a device, a file system or a libvirtd that may never answer.
HUNG = 300.0


class Crew:
    """Does each piece of work in a thread that ends with the process, none of them twice at once.

    :param workers: how many are at work at the same time, those that hang not counted
    :param limit: the same with those that hang
    """

    def __init__(self, workers: int, limit: int) -> None:
        self._workers, self._limit = workers, max(workers, limit)
        self._changed = threading.Condition()
        self._at: dict[Hashable, float] = {}

    def take(self, key: Hashable, work: Callable[[], None], wait: bool = False) -> bool:
        """Have some work done; nothing more is done if it is being done already.

        :param key: what names the work
        :param wait: for a worker, if none is free
        :returns: whether anybody does it now
        """
        with self._changed:
            while key not in self._at and not self._room():
                if not wait:
                    return False
                self._changed.wait(1)
            if key in self._at:
                return True
            self._at[key] = time.monotonic()
        try:
            threading.Thread(
                target=contextvars.copy_context().run, args=(self._do, key, work),
                name=f'migsafe-recovery-{key}', daemon=True).start()
        except BaseException:
            self._done(key)
            raise
        return True

    def _room(self) -> bool:
        return len(self._at) < self._limit and \
            len(self._at) - len(self.hanging()) < self._workers

    def _do(self, key: Hashable, work: Callable[[], None]) -> None:
        try:
            work()
        finally:
            self._done(key)

    def _done(self, key: Hashable) -> None:
        with self._changed:
            del self._at[key]
            self._changed.notify_all()

    def busy(self, key: Hashable) -> bool:
        """Whether a worker is on it."""
        return key in self._at

    def hanging(self) -> list[Hashable]:
        """What has been worked on for so long that it may never end."""
        now = time.monotonic()
        return [key for key, since in list(self._at.items()) if now - since > HUNG]

    def wait(self) -> None:
        """Wait until nobody is at work."""
        with self._changed:
            self._changed.wait_for(lambda: not self._at)
