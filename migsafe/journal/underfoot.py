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
"""Whether the files of an open database are still those that SQLite has open, and whole.

SQLite trusts its index (``-shm``) as long as somebody has the file open. It writes on to a file
that no longer has a name, and behind the end of a log that was cut short: what it answers then is
lost with the process, without a word. Nor does it look whether somebody else writes to its files.

What is looked at is of bounded size, whatever the files hold. The database file is written to by
checkpoints alone, which say in the index that they begin before they write; if its time has
changed and the index has not, then it was somebody else. **Not noticed**: what is written into the
file and followed by a checkpoint of another process before the next look, or comes in the same
tick of the kernel's clock as one, or after one that was killed and before the next; what is
written into the middle of the log; all three files overwritten by those of before the last start.
"""

from __future__ import annotations

import dataclasses
import os

from migsafe import exceptions
from migsafe.journal import errors, files, logindex
from migsafe.text import shell

_PUT_BACK = 'Put it back if you have it, then restart the service.'
_MADE_ANEW = 'Nothing is lost: restart the service, which makes it anew.'
#: How often is looked again while somebody writes to the files. They have been looked at by then.
_TRIES = 50


@dataclasses.dataclass
class _Known:
    """What a file was when it was opened.

    :param inode: device and number, None if there was none
    :param size: the least that it has had since
    """

    inode: tuple[int, int] | None
    size: int


@dataclasses.dataclass(frozen=True)
class _Seen:
    """What the last look found.

    :param index: the log's
    :param written: when the database file was last written to, in ns; None if it may have been
        written to in that moment
    """

    index: logindex.Index
    written: int | None


class OpenFiles:
    """The files of one database that this process has open. They belong to it until a fork.

    :param path: of the database
    :param label: what messages call it
    :param advice: for its kind of database
    """

    def __init__(self, path: str, label: str, advice: errors.Advice = errors.JOURNAL) -> None:
        self._path, self._label, self._advice = path, label, advice
        self._known: dict[str, _Known] = {}
        self._index: int | None = None
        self._seen: _Seen | None = None
        self.know(path)

    def know(self, *names: str) -> None:
        """Remember which files these are."""
        self._known |= {name: _Known(*_look(name)) for name in names}

    def know_log(self) -> None:
        """Remember which log and which index they are; both are there by now."""
        self.know(*(self._path + suffix for suffix in files.LOG))
        self._seen = None

    def check(self, log_anew: bool) -> None:
        """Refuse to go on with what was removed, replaced, cut short or overwritten.

        :param log_anew: this process has closed the log, and makes another with the next write
        :raises JournalUnavailable: it was
        """
        for name, known in self._known.items():
            if name == self._path or not log_anew:
                self._check_name(name, known)
        if len(self._known) > 1 and not log_anew:
            self._check_content()

    def _check_name(self, name: str, known: _Known) -> None:
        # NOTE: other threads look, too; what they have seen since is larger.
        least = known.size
        inode, size = _look(name)
        if inode != known.inode:
            # What is only gone may be put back, or be mounted again.
            raise self._refusal(name, _PUT_BACK, 'was removed or replaced while it was in use',
                                kind=exceptions.JournalUnavailable if inode
                                else exceptions.JournalAway)
        # NOTE: nothing here ever makes the file smaller (VACUUM), and SQLite never the index.
        # A log may be emptied by anybody whose turn it is: the index says so.
        if not name.endswith('-wal') and size < least:
            raise self._refusal(
                name, self._advice.of(errors.CUT_SHORT) if name == self._path else _MADE_ANEW,
                'was cut short while it was in use')
        known.size = max(least, size)

    def _refusal(self, name: str, cure: str, reason: str,
                 kind: type[exceptions.JournalUnavailable] = exceptions.JournalUnavailable
                 ) -> exceptions.JournalUnavailable:
        return kind(
            database=self._label, reason=f'{"it" if name == self._path else name} {reason}',
            cure=cure)

    def _check_content(self) -> None:
        """Compare log and file with what the index says of them, and with the last look."""
        # NOTE: first. What other threads have seen since is later than what is read here.
        seen = self._seen
        before = seen.index if seen else None
        for _try in range(_TRIES):
            index = self._read_index()
            if self._index is None:
                return
            log = index and logindex.read_log(f'{self._path}-wal', index)
            written = os.lstat(self._path).st_mtime_ns
            if index is None or log is None or self._read_index() != index:
                # Somebody writes, or has begun the log anew in between.
                continue
            if not logindex.agree(index, log, before):
                raise self._refusal(
                    f'{self._path}-wal', self._advice.of(errors.CUT_SHORT),
                    'and its index (-shm) do not agree, or are of an earlier moment: one was cut '
                    'short or overwritten while it was in use')
            if seen and seen.index.checkpoint == index.checkpoint \
                    and written not in _times(seen.written, written):
                raise self._refusal(
                    self._path, self._advice.of(errors.OVERWRITTEN).replace(
                        'FILE', shell(self._label)),
                    'was overwritten while it was in use: it was written to, and not by SQLite')
            self._seen = _Seen(index, written if index.at_rest else None)
            return

    def _read_index(self) -> logindex.Index | None:
        """Read the index, by the descriptor of SQLite.

        To close another one of the same file would take away all locks that this process has
        on it (fcntl(2)).
        """
        name = f'{self._path}-shm'
        if self._index is None or _inode_of(self._index) != self._known[name].inode:
            self._index = _descriptor(self._known[name].inode)
        if self._index is None:
            return None
        return logindex.parse(os.pread(self._index, logindex.INDEX_BYTES, 0))


def _times(before: int | None, now: int) -> tuple[int, ...]:
    """What the time of a file may be that nobody has written to since, in ns.

    A program for backups that sets the time of the last read back sets that of the last write,
    too, some of them in whole microseconds or seconds.
    """
    if before is None:
        return (now,)
    return before, before // 10 ** 3 * 10 ** 3, before // 10 ** 9 * 10 ** 9


def _look(path: str) -> tuple[tuple[int, int] | None, int]:
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return None, 0
    return _inode(found), found.st_size


def _inode(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino


def _inode_of(descriptor: int) -> tuple[int, int] | None:
    try:
        return _inode(os.stat(descriptor))
    except OSError:
        return None


def _descriptor(inode: tuple[int, int] | None) -> int | None:
    """Find the one of this process that has a file open."""
    for name in os.listdir('/proc/self/fd'):
        if inode is not None and _inode_of(int(name)) == inode:
            return int(name)
    return None
