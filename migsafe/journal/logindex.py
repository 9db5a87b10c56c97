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
"""What the log of an open SQLite file (``-wal``) and its index (``-shm``) say of each other.

Formats: sqlite.org/fileformat2.html, 4, and sqlite.org/walformat.html.
"""

from __future__ import annotations

import os
import struct
from typing import NamedTuple

#: One of the two copies of the index's header: commits, page size, frames, checksum of the last
#: one, salts. After both: frames that were copied into the file, and those that were to be.
_INDEX = struct.Struct('=8xI2xHI4xII8s8x')
_COPIED = struct.Struct('=I28xI')
INDEX_BYTES = 2 * _INDEX.size + _COPIED.size
_SALTS = struct.Struct('16x8s8x')
_FRAME_HEADER = 24
#: Salts and checksum, which are the last of it.
_PROOF = struct.Struct('>8s8s')
_CHECKSUM = struct.Struct('>II')
#: Each time that a log is begun anew the first salt grows by one, and more often than this
#: nobody begins it without writing to it.
_ANEW = 1000


class Index(NamedTuple):
    """What it says.

    :param commits: counted since somebody has the file open
    :param page: bytes of a page
    :param frames: that the log has for good; none once it may be begun anew
    :param checksum: of the last of them, which covers all before it
    :param salts: of the log that it is of
    :param copied: frames that are in the database file by now
    :param copying: frames that somebody has begun to bring there
    """

    commits: int
    page: int
    frames: int
    checksum: bytes
    salts: bytes
    copied: int
    copying: int

    @property
    def at_rest(self) -> bool:
        """Whether nobody is writing to the database file, or has ended in the middle of that."""
        return self.copied == self.copying

    @property
    def checkpoint(self) -> tuple[bytes, int, int]:
        """What is another one after each write to the database file."""
        return self.salts, self.copied, self.copying


class Log(NamedTuple):
    """What the log has.

    :param size: in bytes
    :param salts: of its header
    :param proof: salts and checksum of the frame that is the last one by the index
    """

    size: int
    salts: bytes
    proof: tuple[bytes, bytes]


def parse(raw: bytes) -> Index | None:
    """Read the first ``INDEX_BYTES`` of an index; None if it is just being changed."""
    first, second = raw[:_INDEX.size], raw[_INDEX.size:2 * _INDEX.size]
    if first != second or len(raw) < INDEX_BYTES:
        return None
    commits, page, frames, *checksum, salts = _INDEX.unpack(first)
    return Index(commits, page, frames, _CHECKSUM.pack(*checksum), salts,
                 *_COPIED.unpack(raw[2 * _INDEX.size:INDEX_BYTES]))


def read_log(path: str, index: Index) -> Log | None:
    """Read of a log what the index speaks of; None if there is none.

    SQLite has no locks on a log, so that it may be closed again.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        salts, = _SALTS.unpack(_read(handle, _SALTS.size, 0))
        proof = _read(handle, _PROOF.size, _end(index) - index.page - _PROOF.size)
        return Log(os.fstat(handle).st_size, salts, _PROOF.unpack(proof))
    finally:
        os.close(handle)


def _read(handle: int, size: int, offset: int) -> bytes:
    return os.pread(handle, size, max(offset, 0)).ljust(size, b'\0')


def _end(index: Index) -> int:
    return _SALTS.size + index.frames * (_FRAME_HEADER + index.page)


def agree(index: Index, log: Log, before: Index | None) -> bool:
    """Whether both are of one file, and of no earlier moment than what was seen before.

    The index is asked first, then the log, and the index has not changed since.
    """
    if before is not None and index.commits < before.commits:
        return False
    if index.frames:
        return log.size >= _end(index) and log.salts == index.salts \
            and log.proof == (index.salts, index.checksum)
    # NOTE: nothing of the log counts. Its header is as yet the old one, or that of the next log,
    # which may have any salts until the first commit to it.
    return not log.size or before is None or log.salts != before.salts or not before.frames \
        or 0 < _first(index.salts) - _first(before.salts) < _ANEW


def _first(salts: bytes) -> int:
    return int.from_bytes(salts[:4], 'big')
