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
"""Relates a call of the driver to the call of the manager, and tracks calls in progress."""

from __future__ import annotations

import collections
import contextlib
import contextvars
import dataclasses
import threading
from collections.abc import Callable, Iterator
from typing import Any

from oslo_log import log as logging

from migsafe import exceptions
from migsafe.ledger.records import Thing
from migsafe.text import masked

LOG = logging.getLogger(__name__)

#: Seconds that a call waits for another one on the same volume.
LINE_SECONDS = 60.0

#: For whoever has told the array something that may not be true any more.
OVERTAKEN = ('An export of %s %s was unmapped, but another call has taken it up meanwhile: its '
             'row in the ledger is left to that one. Compare with "migsafe export verify".')

_CALL: contextvars.ContextVar[Call | None] = contextvars.ContextVar('migsafe_call', default=None)
_LEAVING: contextvars.ContextVar[str] = contextvars.ContextVar('migsafe_leaving', default='')
_COPYING: contextvars.ContextVar[bool] = contextvars.ContextVar('migsafe_copying', default=False)
_INSIDE: contextvars.ContextVar[bool] = contextvars.ContextVar('migsafe_inside', default=False)


class VolumeBusy(exceptions.MigsafeError):
    """Another call on the same volume has not ended."""

    message = ('Another call on %(kind)s %(id)s has been running for more than %(seconds)d '
               'seconds; it waits for the array, most likely. Try again when it has ended.')


@dataclasses.dataclass
class Call:
    """An attachment that the manager is just making.

    :param begun: thing and keys of peers of every intent
    :param outcomes: thing, keys of peers and facts, to be recorded once Cinder has recorded the
        attachment
    """

    attachment: str
    begun: list[tuple[Thing, list[str]]] = dataclasses.field(default_factory=list)
    outcomes: list[tuple[Thing, list[str], dict[str, Any]]] = dataclasses.field(
        default_factory=list)


def current() -> Call | None:
    """The attachment that this thread works on, None if it works on none."""
    return _CALL.get()


@contextlib.contextmanager
def attaching(attachment: str) -> Iterator[Call]:
    """Say which attachment the calls of the driver below are for."""
    call = Call(attachment)
    token = _CALL.set(call)
    try:
        yield call
    finally:
        _CALL.reset(token)


def leaving() -> str:
    """The attachment that the manager is just deleting; empty if it deletes none."""
    return _LEAVING.get()


@contextlib.contextmanager
def detaching(attachment: str) -> Iterator[None]:
    """Say which attachment the manager deletes when the calls below have succeeded."""
    token = _LEAVING.set(attachment)
    try:
        yield
    finally:
        _LEAVING.reset(token)


def copying() -> bool:
    """Whether this is Cinder's own copying of data, on this very host."""
    return _COPYING.get()


@contextlib.contextmanager
def copy() -> Iterator[None]:
    """Say that the calls below are those of Cinder's own copying."""
    token = _COPYING.set(True)
    try:
        yield
    finally:
        _COPYING.reset(token)


def inside() -> bool:
    """Whether this is a call that a driver makes of itself while it is in a guarded one."""
    return _INSIDE.get()


@contextlib.contextmanager
def entering() -> Iterator[None]:
    """Go into the driver: what it calls of itself now is part of the same step."""
    token = _INSIDE.set(True)
    try:
        yield
    finally:
        _INSIDE.reset(token)


@contextlib.contextmanager
def repeating(seconds: float, action: Callable[[], object]) -> Iterator[None]:
    """Do something again and again beside what goes on here; nothing, if it ends sooner."""
    ended = threading.Event()

    def run() -> None:
        while not ended.wait(seconds):
            try:
                action()
            except Exception as error:
                LOG.warning('What is done every %d seconds has failed: %s', seconds,
                            masked(error))
    threading.Thread(target=run, name='migsafe-repeating', daemon=True).start()
    try:
        yield
    finally:
        ended.set()


class Lines:
    """One call at a time for each volume, in the order in which they came."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lines: dict[Thing, threading.Lock] = {}
        self._users: collections.Counter[Thing] = collections.Counter()
        self._kept: collections.Counter[Thing] = collections.Counter()

    @contextlib.contextmanager
    def waiting(self, thing: Thing, seconds: float = LINE_SECONDS) -> Iterator[None]:
        """Be the only one at a volume.

        :raises VolumeBusy: somebody else was there all the time
        """
        with self._lock:
            line = self._lines.setdefault(thing, threading.Lock())
            self._users[thing] += 1
        try:
            if not line.acquire(timeout=seconds):
                raise VolumeBusy(kind=thing.kind, id=thing.id, seconds=int(seconds))
            try:
                yield
            finally:
                line.release()
        finally:
            with self._lock:
                self._users[thing] -= 1
                if not self._users[thing]:
                    del self._users[thing], self._lines[thing]

    @contextlib.contextmanager
    def keeping(self, thing: Thing) -> Iterator[None]:
        """Say that a call of the manager on a volume goes on, between the driver's calls too."""
        with self._lock:
            self._kept[thing] += 1
        try:
            yield
        finally:
            with self._lock:
                self._kept[thing] -= 1
                if not self._kept[thing]:
                    del self._kept[thing]

    def kept(self, thing: Thing) -> bool:
        """Whether a call of the manager on it goes on."""
        with self._lock:
            return self._kept[thing] > 0
