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
lost with the process, without a word. Formats: sqlite.org/walformat.html.
"""

import dataclasses
import os
import struct

from migsafe import exceptions
from migsafe.journal import errors, files

_PUT_BACK = 'Put it back if you have it, then restart the service.'
_MADE_ANEW = 'Nothing is lost: restart the service, which makes it anew.'
#: Where the index has the size of a page, the number of frames and the salts of the log.
_INDEX = struct.Struct('=14xHI12x8s8x')
_LOG_SALTS = struct.Struct('16x8s8x')
_FRAME_HEADER = 24
#: How often the index is read again while somebody changes it. It has been looked at by then.
_TRIES = 50


@dataclasses.dataclass
class _Known:
    """What a file was when it was opened.

    :param inode: device and number, None if there was none
    :param size: the least that it has had since
    """

    inode: tuple[int, int] | None
    size: int


class OpenFiles:
    """The files of one database that this process has open. They belong to it until a fork.

    :param path: of the database
    :param label: what messages call it
    """

    def __init__(self, path: str, label: str) -> None:
        self._path, self._label = path, label
        self._known: dict[str, _Known] = {}
        self._index: int | None = None
        self.know(path)

    def know(self, *names: str) -> None:
        """Remember which files these are."""
        self._known |= {name: _Known(*_look(name)) for name in names}

    def know_log(self) -> None:
        """Remember which log and which index they are; both are there by now."""
        self.know(*(self._path + suffix for suffix in files.LOG))

    def check(self, log_anew: bool) -> None:
        """Refuse to go on with what was removed, replaced, cut short or overwritten.

        :param log_anew: this process has closed the log, and makes another with the next write
        :raises JournalUnavailable: it was
        """
        for name, known in self._known.items():
            # NOTE: other threads look, too; what they have seen since is larger.
            least = known.size
            inode, size = _look(name)
            if log_anew and name != self._path:
                continue
            if inode != known.inode:
                # What is only gone may be put back, or be mounted again.
                raise self._refusal(name, _PUT_BACK,
                                    'was removed or replaced while it was in use',
                                    kind=exceptions.JournalUnavailable if inode
                                    else exceptions.JournalAway)
            # NOTE: nothing here ever makes the file smaller (VACUUM), and SQLite never the index.
            # A log may be emptied by anybody whose turn it is: the index says so.
            if not name.endswith('-wal') and size < least:
                raise self._refusal(name, errors.CUT_SHORT if name == self._path else _MADE_ANEW,
                                    'was cut short while it was in use')
            known.size = max(least, size)
        if len(self._known) > 1 and not log_anew and not self._log_is_whole():
            raise self._refusal(
                f'{self._path}-wal', errors.CUT_SHORT, 'and its index (-shm) do not agree: one '
                'was cut short or overwritten while it was in use')

    def _refusal(self, name: str, cure: str, reason: str,
                 kind: type[exceptions.JournalUnavailable] = exceptions.JournalUnavailable
                 ) -> exceptions.JournalUnavailable:
        return kind(
            database=self._label, reason=f'{"it" if name == self._path else name} {reason}',
            cure=cure)

    def _log_is_whole(self) -> bool:
        """Compare the log with what the index says of it."""
        for _try in range(_TRIES):
            before = self._read_index()
            log = _read_log(f'{self._path}-wal')
            if before is None or log is None:
                return True
            page, frames, salts = _INDEX.unpack(before)
            size, found = log
            wanted = _LOG_SALTS.size + frames * (_FRAME_HEADER + page)
            if not frames or (size >= wanted and found == salts):
                return True
            # NOTE: it may have been begun anew in between.
            if self._read_index() == before:
                return False
        return True

    def _read_index(self) -> bytes | None:
        """Read one of the two copies of its header, which are the same unless one is written.

        It is read by the descriptor of SQLite: to close another one of the same file would take
        away all locks that this process has on it (fcntl(2)).
        """
        name = f'{self._path}-shm'
        if self._index is None or _inode_of(self._index) != self._known[name].inode:
            self._index = _descriptor(self._known[name].inode)
        if self._index is None:
            return None
        both = os.pread(self._index, 2 * _INDEX.size, 0)
        first, second = both[:_INDEX.size], both[_INDEX.size:]
        return first if first == second and len(first) == _INDEX.size else None


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


def _read_log(path: str) -> tuple[int, bytes] | None:
    """Size and salts. SQLite has no locks on a log, so that it may be closed again."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        header = os.pread(handle, _LOG_SALTS.size, 0).ljust(_LOG_SALTS.size, b'\0')
        salts, = _LOG_SALTS.unpack(header)
        return os.fstat(handle).st_size, salts
    finally:
        os.close(handle)
