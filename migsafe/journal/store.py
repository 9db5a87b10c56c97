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
"""Runs a function in one database transaction: committed when it returns, else rolled back."""

import contextlib
import os
import threading
from collections.abc import Callable
from typing import TypeVar, cast

import sqlalchemy as sa

from migsafe import exceptions
from migsafe.journal import commits, engine, errors, files, tokens, underfoot, whole

T = TypeVar('T')
Work = Callable[[sa.Connection], T]
#: What SQLite says of a write where it could open the file for reading only.
READ_ONLY = 'readonly'


class Store:
    """One database, its engine, and the file behind it if there is one.

    Safe under native threads and green threads: a connection lives inside one call, and writers of
    this process to one SQLite file stand in line at a lock that green threads understand. They
    share one connection, which stays open: each new one would sync the directory too at its
    first commit (measured: twice the syncs), and the last one to close a WAL file has to copy it
    into the database and delete it.

    :param url: of the database
    :param owner: uid that must own a SQLite file
    :param name: what messages call it, if not by its path
    :param advice: for messages about its kind of database
    :param marks: of the writes to a server
    """

    def __init__(self, url: sa.URL, owner: int, name: str | None = None,
                 advice: errors.Advice = errors.JOURNAL,
                 marks: tokens.Tokens | None = None) -> None:
        self._marks = marks
        self.database = name or errors.label(url)
        self._advice = advice
        self.path = url.database if url.get_backend_name() == 'sqlite' else None
        self.engine = engine.create(url)
        self._owner = owner
        self._line = threading.Lock()
        self._writer: sa.Connection | None = None
        self._files: underfoot.OpenFiles | None = None
        # whether another log may be there than the one that was known
        self._anew = False
        self._pid = os.getpid()
        self._damage: exceptions.JournalFileCorrupt | None = None

    def open(self) -> None:
        """Check and open a SQLite file for good; nothing to do for a server.

        :raises JournalUnavailable: also JournalInsecure and JournalFileCorrupt
        """
        if self.path is None:
            return
        with errors.translated(self.database, 'opening', self._advice):
            files.check(self.path, self._owner)
            files.check_mount(self.path)
            self._files = underfoot.OpenFiles(self.path, self.database, self._advice)
            whole.look(self.path)
            engine.use_wal(self.engine, self.database, self._advice)
            self._writer = self.engine.connect().execution_options(**engine.WRITE)
            files.check(self.path, self._owner)
            self._files.know_log()
            # NOTE: SQLite believes an index that somebody has open.
            self._files.check(False)

    def write(self, what: str, work: Work[T], synced: bool = True) -> T:
        """Run ``work`` and commit; nothing of it is there if this raises, with one exception.

        :param what: the call, for messages
        :param synced: whether it survives a power cut when this returns; see
            :func:`engine.unsynced`. On a server every commit does
        :raises JournalWriteUnknown: it may be there, and the database does not say
        :raises JournalError: whatever went wrong in the database
        """
        with errors.translated(self.database, what, self._advice):
            self.check_identity()
            try:
                result = commits.patiently(lambda: self._in_line(work, synced))
            except commits.UnansweredError as lost:
                commits.find_out(self.database, self.engine, self._marks, what, lost,
                                 lambda: self._in_line(engine.write_something))
                result = cast(T, lost.result)
            self._check_kept(what)
            return result

    def _check_kept(self, what: str) -> None:
        """Look, after a commit, whether it has not gone to files that have no name any more.

        :raises JournalWriteUnknown: it may have, or a disk that fails does not let us look
        """
        try:
            self.check_identity()
        except exceptions.JournalUnavailable as exc:
            reason = str(exc.kwargs['reason'])
        except OSError as exc:
            reason = errors.first_line(exc)
        else:
            return
        raise exceptions.JournalWriteUnknown(database=self.database, what=what, reason=reason)

    def _in_line(self, work: Work[T], synced: bool = True) -> T:
        if self._writer is None:
            with self.engine.connect() as connection:
                return self._alone(connection.execution_options(**engine.WRITE), work)
        with self._line:
            # NOTE: what ends a green thread takes the connection with it. The last one to be
            # closed has removed the log, and the next one makes another.
            self._anew = self._anew or self._writer.invalidated
            try:
                result = self._by_writer(self._writer, work, synced)
            except errors.OUTSIDE as exc:
                if READ_ONLY not in errors.first_line(exc):
                    raise
                # NOTE: SQLite opens for reading what it once failed to open for writing, also by
                # chance, and stays with that. Nothing of the work was written.
                self._writer.invalidate()
                self._anew, result = True, self._by_writer(self._writer, work, synced)
            if self._anew and self._files is not None:
                self._files.know_log()
            self._anew = False
            return result

    def _by_writer(self, writer: sa.Connection, work: Work[T], synced: bool) -> T:
        with contextlib.nullcontext() if synced else engine.unsynced(writer):
            return self._alone(writer, work)

    def _alone(self, connection: sa.Connection, work: Work[T]) -> T:
        try:
            with connection.begin() as transaction:
                before = 0 if self.path is None else engine.changes(connection)
                result = work(connection)
                if self.path is not None and engine.changes(connection) == before:
                    # NOTE: it found what it wanted. That is so for good only when a write that
                    # failed, of this process or another, cannot come back from the log.
                    engine.write_something(connection)
                token = self._marks.put(connection) if self._marks else ''
                try:
                    transaction.commit()
                except errors.OUTSIDE as exc:
                    if errors.is_busy(exc):
                        raise
                    raise commits.UnansweredError(exc, token, result) from None
            if self._marks:
                self._marks.answered(token)
            return result
        finally:
            # NOTE: whatever ended the work, the next writer must find no transaction open.
            # One whose COMMIT failed is not active any more, and still there.
            connection.rollback()

    def read(self, what: str, work: Work[T]) -> T:
        """Run ``work``, which only reads.

        :raises JournalError: whatever went wrong in the database
        """
        def once() -> T:
            with self.engine.connect() as connection:
                return work(connection)
        with errors.translated(self.database, what, self._advice):
            self.check_identity()
            return commits.patiently(once)

    def check_answered(self) -> None:
        """Look whether a server has what it has answered; a file is looked at by each call.

        :raises JournalRewound: it does not, and what was read may be of an earlier time
        """
        if self._marks is not None:
            self.read('looking for the last write', self._marks.check_last)

    def check_identity(self) -> None:
        """Refuse to go on with files that were taken from under this process.

        :raises JournalUnavailable: see :mod:`migsafe.journal.underfoot`
        """
        if self._files is None:
            return
        if os.getpid() != self._pid:
            raise exceptions.JournalUnavailable(
                database=self.database, reason='it was opened by the parent of this process',
                cure='A process must open the journal itself: SQLite does not survive a fork.')
        self._files.check(
            self._anew or (self._writer is not None and self._writer.invalidated))

    def check_file(self) -> None:
        """Check owner and modes again, and that there is room for what a migration writes."""
        if self.path is None:
            return
        if self._damage is not None:
            raise self._damage
        with errors.translated(self.database, 'checking', self._advice):
            self.check_identity()
            files.check(self.path, self._owner)
            files.check_mount(self.path)
            free = files.free_bytes(self.path)
        if free < files.MIN_FREE_BYTES:
            raise exceptions.JournalAway(
                database=self.database,
                reason=f'its file system has {free // 1024} KiB left, '
                f'{files.MIN_FREE_BYTES // 1024} KiB are wanted',
                cure='Free space there; no migration starts until then, guests keep running.')

    def check_whole(self) -> None:
        """Read all of a SQLite file, and compare each index with its table.

        :raises JournalFileCorrupt: and :meth:`check_file` raises it from then on
        """
        if self.path is None:
            return
        with errors.translated(self.database, 'checking all of it', self._advice):
            self.check_identity()
            try:
                whole.check(self.path)
            except exceptions.JournalFileCorrupt as error:
                self._damage = error
                raise

    def truncate_log(self) -> bool:
        """Have nothing left in the write-ahead log of a SQLite file; a server has its own ways.

        It is put off, without an error, while somebody reads the file.

        :returns: whether something is left
        """
        def work() -> bool:
            assert self._writer is not None
            with self._line:
                return engine.empty_log(self._writer)
        if self._writer is None:
            return False
        with errors.translated(self.database, 'emptying the log', self._advice):
            self.check_identity()
            return commits.patiently(work)

    def close(self) -> None:
        """Let go of all connections."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()
        self.engine.dispose()
