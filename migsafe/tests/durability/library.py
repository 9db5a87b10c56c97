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
"""The C library of ``recorder.c``: to build it, and to steer it from within a process that has it.

What is recorded are the operations that change files, in order and with the data. Reads are not,
nor is what is written through a mapping: SQLite maps its index (``-shm``) alone, which the first
one to open a file after a crash makes anew.
"""

import ctypes
import dataclasses
import errno
import os
import pathlib
import struct
import subprocess
from collections.abc import Iterator

SOURCE = pathlib.Path(__file__).with_name('recorder.c')
_HEADER = struct.Struct('@ciiqq')

#: Kinds of operations that can fail.
CREATE, OPEN_TO_WRITE, OPEN_TO_READ, WRITE, READ = 'o', 'W', 'R', 'w', 'p'
TRUNCATE, SYNC, MAP, UNLINK, MKDIR, CHMOD, LINK, RENAME = 't', 's', 'M', 'u', 'm', 'h', 'l', 'r'
#: And what is recorded beside them.
CLOSE, MARK = 'c', 'k'


def build(directory: str) -> str:
    """Compile it; return its path."""
    made = os.path.join(directory, 'recorder.so')
    subprocess.run(['gcc', '-Wall', '-Wextra', '-Werror', '-O1', '-shared', '-fPIC', '-o', made,
                    str(SOURCE), '-ldl'], check=True)
    return made


@dataclasses.dataclass(frozen=True)
class Event:
    """One line of the record.

    :param what: one of the kinds above
    :param file: descriptor, if it has one
    :param error: errno, if it failed
    :param where: offset of a write, new length of a file, flags of an open
    :param data: of a write; else one path, or two with a zero between
    """

    what: str
    file: int
    error: int
    where: int
    data: bytes

    @property
    def paths(self) -> list[str]:
        """Those that it names."""
        return [os.fsdecode(path) for path in self.data.split(b'\0')]


def read(record: bytes) -> Iterator[Event]:
    """Parse a record."""
    at = 0
    while at < len(record):
        what, file, error, where, size = _HEADER.unpack_from(record, at)
        at += _HEADER.size
        yield Event(what.decode(), file, error, where, record[at:at + size])
        at += size


@dataclasses.dataclass(frozen=True)
class Fault:
    """The n-th operation of some kinds fails.

    :param kinds: see above
    :param number: from one
    :param error: errno
    :param for_good: all that come after it fail too
    :param half: if it is a write, half of it is done before, as when a disk becomes full
    """

    kinds: str
    number: int
    error: int
    for_good: bool
    half: bool = False

    def __str__(self) -> str:
        """As ``ENOSPC-7-for-good``."""
        name = errno.errorcode[self.error]
        return (f'{name}-{self.number}{"-for-good" if self.for_good else ""}'
                f'{"-half" if self.half else ""}')


class Recorder:
    """The library of this process, which was started with it."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(None)

    def start(self, directory: str, record: int = -1) -> None:
        """Look at what is done below ``directory`` from now on.

        :param record: descriptor of a file to write it to
        """
        self._library.recorder_start(os.fsencode(directory), record)

    def fault(self, fault: Fault | None) -> None:
        """Have an operation fail; None: nothing fails any more."""
        if fault is None:
            self._library.recorder_fault(b'', 0, 0, 0, 0)
        else:
            self._library.recorder_fault(fault.kinds.encode(), fault.number, fault.error,
                                         int(fault.for_good), int(fault.half))

    @property
    def struck(self) -> int:
        """How many operations have failed so."""
        return int(self._library.recorder_struck())

    @property
    def met(self) -> int:
        """How many there were of the kinds that can fail."""
        return int(self._library.recorder_met())

    def mark(self, text: str) -> None:
        """Write a line of one's own into the record."""
        self._library.recorder_mark(text.encode())

    def sync_nothing(self) -> None:
        """Do without fsync in this process: what it looks at is thrown away."""
        self._library.recorder_no_syncs(1)
