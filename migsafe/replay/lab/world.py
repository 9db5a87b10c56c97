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
"""The acting host, and the one function through which every external effect passes."""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
import threading
from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeVar

T = TypeVar('T')

#: The host name under which the API, the conductor and the scheduler act.
CONTROL = 'control'


class Killed(BaseException):
    """Raised in every thread of a nova-compute that was killed.

    It derives from BaseException so that no ``except Exception`` of the killed process, which
    would not run in reality either, can go on.
    """


@dataclasses.dataclass(eq=False)
class Process:
    """One life of one service: a restarted nova-compute is a new Process.

    :param host: the host it runs on.
    :param alive: False once it was killed; from then on nothing it attempts has an effect.
    :param silent: True for the laboratory's own look at things: never traced, never faulted.
    """

    host: str
    alive: bool = True
    silent: bool = False


@dataclasses.dataclass(frozen=True)
class Effect:
    """One external effect as the trace keeps it.

    :param nth: 1 for the first effect of this (host, kind, name) in the trace, and so on.
    :param volume: which volume of the guest it is about (0 is the root disk), or None.
    """

    index: int
    host: str
    kind: str
    name: str
    nth: int
    volume: int | None = None

    def __str__(self) -> str:
        disk = '' if self.volume is None else f' volume {self.volume}'
        return f'{self.host} {self.kind} {self.name}#{self.nth}{disk}'


@dataclasses.dataclass(frozen=True)
class Harm:
    """Damage done for real, noticed when it happened: ``kind`` is one of HARMS."""

    kind: str
    host: str
    detail: str


#: kind of harm -> what it means.
HARMS = {
    'foreign_connect': "a host connected another tenant's LUN",
    'foreign_open': "a guest was started on another tenant's disk",
    'foreign_yank': "another tenant's disk was removed under its guest",
    'guest_yank': "a device was removed under the guest that runs on it",
    'held_yank': 'paths were removed under a device that something still holds',
    'export_yank': 'an export was taken away under a live device',
    'guest_export_lost': 'the export that the running guest uses was deleted',
    'double_run': 'a second copy of a running guest was started',
    'guest_destroyed': 'the only running copy of a guest was destroyed',
}


class Rule(Protocol):
    """What a fault plan looks like from here."""

    def around(self, effect: Effect, call: Callable[[], Any],
               later: Callable[[], Any] | None) -> Any:
        """Perform ``call``, break it, or put it off with ``later`` if that is possible."""


class World:
    """Attribution of calls to hosts, the ordered trace, and the count of running work."""

    def __init__(self) -> None:
        self._current: contextvars.ContextVar[Process | None] = contextvars.ContextVar(
            'process', default=None)
        self._changed = threading.Condition()
        self._seen: dict[tuple[str, str, str], int] = {}
        self.trace: list[Effect] = []
        self.harms: list[Harm] = []
        self.volumes: list[str] = []
        self.rule: Rule | None = None
        self.busy = 0

    def reset(self) -> None:
        """Forget the trace, the harm and the faults of the case before."""
        with self._changed:
            self.trace, self.harms, self._seen = [], [], {}
            self.rule = None

    # -- who acts -------------------------------------------------------------------------

    def current(self) -> Process | None:
        """The process that runs this code, or None for the control plane."""
        return self._current.get()

    def host(self) -> str | None:
        """The host that runs this code, or None for the control plane."""
        process = self._current.get()
        return None if process is None or process.silent else process.host

    @contextlib.contextmanager
    def entered(self, process: Process | None) -> Iterator[None]:
        """Everything inside is done by ``process``."""
        token = self._current.set(process)
        try:
            yield
        finally:
            self._current.reset(token)

    def looking(self) -> contextlib.AbstractContextManager[None]:
        """Everything inside is the laboratory looking: not traced and never faulted."""
        return self.entered(Process('laboratory', silent=True))

    def carry(self, func: Callable[..., T]) -> Callable[..., T]:
        """Let ``func`` run on another thread in the name of the process that hands it over."""
        process = self.current()

        def carried(*args: Any, **kwargs: Any) -> T:
            with self.entered(process):
                return func(*args, **kwargs)

        return carried

    def check(self) -> None:
        """:raises Killed: if the process that runs this code is dead."""
        process = self.current()
        if process is not None and not process.alive:
            raise Killed(process.host)

    # -- what is done ---------------------------------------------------------------------

    def effect(self, kind: str, name: str, key: str | None, call: Callable[[], T],
               later: Callable[[], Any] | None = None) -> T:
        """Perform one external effect, or whatever the fault plan makes of it.

        :param key: the volume id where the effect is about a volume.
        :param later: puts the effect off, for a reply that comes too late.
        :raises Killed: if the process is dead, before or because of this effect.
        """
        process = self.current()
        if process is not None and process.silent:
            return call()
        self.check()
        effect = self._record(process.host if process else CONTROL, kind, name, key)
        rule = self.rule
        result: T = call() if rule is None else rule.around(effect, call, later)
        self.check()
        return result

    def _record(self, host: str, kind: str, name: str, key: str | None) -> Effect:
        volume = self.volumes.index(key) if key in self.volumes else None
        with self._changed:
            nth = self._seen[host, kind, name] = self._seen.get((host, kind, name), 0) + 1
            effect = Effect(len(self.trace), host, kind, name, nth, volume)
            self.trace.append(effect)
        return effect

    def harm(self, kind: str, host: str, detail: str) -> None:
        """Note that damage was done."""
        if kind not in HARMS:
            raise ValueError(f'{kind} is not a kind of harm; known are {", ".join(HARMS)}')
        self.harms.append(Harm(kind, host, detail))

    # -- what still runs ------------------------------------------------------------------

    def work_begins(self) -> None:
        """Count one piece of work on another thread."""
        with self._changed:
            self.busy += 1

    def work_ends(self, *_: Any) -> None:
        """The counterpart of work_begins; takes a future, so that it can be its callback."""
        with self._changed:
            self.busy -= 1
            self._changed.notify_all()

    def wait_idle(self, waiting: Callable[[], int], release: Callable[[], None],
                  timeout: float) -> bool:
        """Wait until no work is left on other threads.

        :param waiting: how many of the running pieces of work wait for ``release``.
        :param release: called when all work that is left waits: the hypervisor then goes on by
            itself, as it does when the nova-compute that watched it is gone.
        :param timeout: seconds without any end of work after which to give up.
        :returns: False if something is stuck.
        """
        while True:
            with self._changed:
                if not self.busy:
                    return True
                if self.busy > waiting() and not self._changed.wait(timeout):
                    if self.busy > waiting():
                        return False
                stuck = 0 < self.busy <= waiting()
            if stuck:
                release()
