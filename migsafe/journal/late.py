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
"""A journal that cannot be opened yet, because of what may heal while its service runs.

A full or read-only disk, a directory that cannot be written, or a server that does not answer is
no reason to take a whole host from its operators. Every use tries to open it; until that works
nothing is written, and what is there is read where it can be read without writing.
"""

import os
import threading
import time
import urllib.parse
from collections.abc import Callable
from typing import Any, TypeVar

import sqlalchemy as sa

from migsafe import exceptions
from migsafe.journal import engine, errors, files, opening, rights, schema, store

T = TypeVar('T')
#: An attempt that kept a caller waiting for so many seconds is not made again before so many times
#: as long has passed: a server whose packets are lost would else take its time-out from each
#: instance of a start.
LONG, REST = 2.0, 10


class LateStore(store.Store):
    """A store that is opened as soon as that can be done.

    :param url: of the database
    :param host: that its writes carry
    """

    def __init__(self, url: sa.URL, host: str) -> None:
        super().__init__(url, os.geteuid(), marks=opening.marks(url, host, schema.JOURNAL))
        #: called once it is open
        self.then: Callable[[], None] = lambda: None
        self._trying = threading.Lock()
        self._why: exceptions.JournalError | None = None
        self._not_before = 0.0
        self._ready = False

    def attempt(self) -> None:
        """Open it, if it is not.

        One caller tries, and not again at once; the others are told why the last attempt failed,
        and do not wait. But for the first attempt all wait.

        :raises JournalUnavailable: it cannot be opened; JournalAway where that may heal
        """
        if self._ready:
            return
        why = self._why
        if why is not None and time.monotonic() < self._not_before:
            raise why
        if not self._trying.acquire(blocking=why is None):
            assert why is not None
            raise why
        begun = time.monotonic()
        try:
            if self._ready:
                return
            try:
                opening.ready(self, True, schema.JOURNAL)
            except exceptions.JournalError as error:
                self._files, self._why = None, error
                now = time.monotonic()
                if now - begun >= LONG and self.path is None:
                    self._not_before = now + REST * (now - begun)
                raise
            self._ready = True
        finally:
            self._trying.release()
        self.then()

    def write(self, what: str, work: store.Work[T], synced: bool = True) -> T:
        """See :meth:`migsafe.journal.store.Store.write`."""
        self.attempt()
        return super().write(what, work, synced)

    def read(self, what: str, work: store.Work[T]) -> T:
        """Run ``work``, which only reads, also in a file that cannot be written now."""
        try:
            self.attempt()
        except exceptions.JournalAway as error:
            return self._read_only(what, work, error)
        return super().read(what, work)

    def check_file(self) -> None:
        """See :meth:`migsafe.journal.store.Store.check_file`."""
        self.attempt()
        super().check_file()

    def check_whole(self) -> None:
        """See :meth:`migsafe.journal.store.Store.check_whole`."""
        self.attempt()
        super().check_whole()

    def _read_only(self, what: str, work: store.Work[T], why: exceptions.JournalAway) -> T:
        if self.path is None or not os.path.lexists(self.path):
            raise why
        with errors.translated(self.path, what):
            rights.require(self.path)
            files.check(self.path, os.geteuid())
            alone = _no_log(self.path)
            reader = _reader(self.path, alone)
            try:
                schema.check(reader)
                with reader.connect() as connection:
                    result = work(connection)
            finally:
                reader.dispose()
        if alone and not _no_log(self.path):
            raise why
        return result


def _no_log(path: str) -> bool:
    """Whether everything is in the file itself, so that it is all there is to be read."""
    log = path + '-wal'
    return not (os.path.lexists(log) and os.lstat(log).st_size)


def _reader(path: str, alone: bool) -> sa.Engine:
    """An engine that changes nothing, and makes no file beside the database.

    SQLite needs an index of the log beside it, unless it is told that nobody writes.
    """
    made = sa.create_engine(
        f'sqlite:///file:{urllib.parse.quote(path)}?mode=ro&uri=true'
        + ('&immutable=1' if alone else ''), poolclass=sa.NullPool, hide_parameters=True)

    @sa.event.listens_for(made, 'connect')
    def prepare(connection: Any, _record: Any) -> None:
        engine.prepare_sqlite(connection)
    return made
