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
"""The log of what was fenced from this machine, which is also what it is limited by.

One fences at a time here; a fault that makes many hosts look dead must not switch all of them off.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from typing import Any

from oslo_serialization import jsonutils

from migsafe import exceptions

#: Seconds in which no more hosts than [migsafe] fence_limit are fenced.
CYCLE = 3600.0
NAME = 'fences.jsonl'


class TooMany(exceptions.MigsafeError):
    """Something is wrong with more than a few hosts."""

    message = ('Host %(host)s is not fenced: %(count)d other host(s) were fenced from here within '
               'the last hour (%(others)s), and [migsafe] fence_limit allows %(limit)d in all. If '
               'they are really dead, raise it, or switch the host off by hand.')


class Busy(exceptions.MigsafeError):
    """Somebody else is at it."""

    message = ('Host %(host)s is not fenced: another command is fencing a host with the log '
               '%(path)s. Try again when that has ended.')


class FenceLog:
    """A file of lines that are only added to.

    :param directory: [migsafe] state_path
    :param limit: hosts that may be fenced within ``CYCLE``
    """

    def __init__(self, directory: str, limit: int) -> None:
        self._path, self._limit = os.path.join(directory, NAME), limit

    @contextlib.contextmanager
    def turn(self, host: str, user: str) -> Iterator[FenceLog]:
        """While this host is fenced.

        :raises Busy: another process is at it
        :raises TooMany: no more hosts may be fenced now
        """
        handle = self._open()
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Busy(host=host, path=self._path) from None
            others = self._lately('intent') - {host}
            if len(others) >= self._limit:
                raise TooMany(host=host, count=len(others), others=', '.join(sorted(others)),
                              limit=self._limit)
            self.add(host, 'intent', by=user)
            yield self
        finally:
            os.close(handle)

    def has(self, host: str, what: str) -> bool:
        """Whether a host has such a line of within a cycle."""
        return host in self._lately(what)

    def add(self, host: str, what: str, **more: Any) -> None:
        """Add a line, and do not go on before it is on the disk."""
        line = jsonutils.dumps({'at': time.time(), 'host': host, 'what': what, **more})
        handle = self._open()
        try:
            os.write(handle, f'{line}\n'.encode())
            os.fsync(handle)
        finally:
            os.close(handle)

    def was_cut(self, host: str, machine: str) -> bool:
        """Whether the BMC of its machine was told to cut the power after it had said, within a
        cycle, that it had some, and has not said so since.

        What is dated later than now proves nothing; that it had power speaks against a cut before
        that all the same.

        :param machine: its UUID; what was done to another one of that name proves nothing
        """
        on = cut = False
        for said, timely in self._lines():
            if (said['host'], said['machine']) != (host, machine):
                continue
            if said['what'] == 'on':
                on, cut = timely, False
            elif said['what'] == 'cut':
                cut = on and timely
        return cut

    def _open(self) -> int:
        os.makedirs(os.path.dirname(self._path), mode=0o700, exist_ok=True)
        return os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)

    def _lately(self, what: str) -> set[str]:
        """Hosts that have such a line of within a cycle; a clock that was ahead counts, too."""
        return {said['host'] for said, timely in self._lines()
                if said['what'] == what and (timely or said['at'] > time.time())}

    def _lines(self) -> Iterator[tuple[dict[str, Any], bool]]:
        """Each line that can be read, in the order in which they were written; and whether it is
        of within a cycle, and not of later than now."""
        if not os.path.exists(self._path):
            return
        with open(self._path, encoding='utf-8', errors='replace') as handle:
            for line in handle:
                with contextlib.suppress(ValueError, TypeError, KeyError):
                    said = jsonutils.loads(line)
                    at, now = float(said['at']), time.time()
                    yield ({'what': str(said['what']), 'host': str(said['host']), 'at': at,
                            'machine': str(said.get('machine', ''))}, now - CYCLE < at <= now)
