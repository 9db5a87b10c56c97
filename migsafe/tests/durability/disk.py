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
"""A file system in memory that knows what would be left of it after a kill and a power cut.

What POSIX promises and no more: a file's content is durable once it was synced, and a name once
its directory was. Until then each write may be there or not, whatever came after it, each of its
sectors may be, the file may have its new length without the data, and each name may be as it is
or as it was at any moment since its directory was synced last.
"""

import dataclasses
import os
import random

from migsafe.tests.durability import library

SECTOR = 512


class File:
    """Content, and what of it is not durable."""

    def __init__(self) -> None:
        self.now = bytearray()
        self.durable = b''
        #: (offset, data), or (length, None) for a change of the length.
        self.pending: list[tuple[int, bytes | None]] = []

    def change(self, where: int, data: bytes | None) -> None:
        """Write, or change the length."""
        _apply(self.now, where, data)
        self.pending.append((where, data))

    def sync(self) -> None:
        """Make it durable."""
        self.durable = bytes(self.now)
        self.pending = []

    def after_power_cut(self, dice: random.Random, share: float) -> bytes:
        """What may be found then.

        :param share: of what is not durable that is there all the same; 0 is none, 1 is all
        """
        found = bytearray(self.durable)
        for where, data in self.pending:
            if share < 1 and dice.random() >= share:
                if data and share and dice.random() < 0.5:
                    # the length without the data
                    _apply(found, max(len(found), where + len(data)), None)
            elif data is None or share == 1 or dice.random() < 0.5:
                _apply(found, where, data)
            else:
                _torn(found, where, data, dice)
        return bytes(found)


def _apply(content: bytearray, where: int, data: bytes | None) -> None:
    if data is None:
        del content[where:]
        content.extend(bytes(where - len(content)))
        return
    content.extend(bytes(max(0, where - len(content))))
    content[where:where + len(data)] = data


def _torn(content: bytearray, where: int, data: bytes, dice: random.Random) -> None:
    """Some sectors of a write."""
    at = 0
    while at < len(data):
        end = min(len(data), at + SECTOR - (where + at) % SECTOR)
        if dice.random() < 0.5:
            _apply(content, where + at, data[at:end])
        at = end


@dataclasses.dataclass
class Name:
    """What a name stood for since its directory was synced last: a file, a directory or nothing.

    The last one is what it stands for now.
    """

    stood: list[File | str | None]


class Disk:
    """The file system.

    :param top: a directory that is there from the start
    """

    def __init__(self, top: str) -> None:
        self.top = top
        self.names: dict[str, Name] = {}
        self.open: dict[int, File | str] = {}

    def _now(self, path: str) -> File | str | None:
        return self.names[path].stood[-1] if path in self.names else None

    def _name(self, path: str, new: File | str | None) -> None:
        self.names.setdefault(path, Name([None])).stood.append(new)

    def do(self, event: library.Event) -> None:
        """Carry an operation out."""
        if event.error or event.what in (library.MARK, library.CHMOD):
            return
        if event.what in (library.CREATE, library.OPEN_TO_WRITE, library.OPEN_TO_READ):
            self._open(event)
        elif event.what in (library.UNLINK, library.MKDIR, library.LINK, library.RENAME):
            self._rename(event)
        elif event.what == library.CLOSE:
            self.open.pop(event.file, None)
        elif event.what == library.SYNC:
            self._sync(self.open[event.file])
        else:
            file = self.open[event.file]
            assert isinstance(file, File)
            file.change(event.where, event.data if event.what == library.WRITE else None)

    def _open(self, event: library.Event) -> None:
        path, = event.paths
        found: File | str | None = self._now(path)
        if found is None and event.what == library.CREATE:
            found = File()
            self._name(path, found)
        if event.where & os.O_TRUNC and isinstance(found, File):
            found.change(0, None)
        self.open[event.file] = path if found is None else found

    def _rename(self, event: library.Event) -> None:
        path, *to = event.paths
        if event.what == library.MKDIR:
            self._name(path, path)
        for other in to:
            self._name(other, self._now(path))
        if event.what in (library.UNLINK, library.RENAME):
            self._name(path, None)

    def _sync(self, what: File | str) -> None:
        if isinstance(what, File):
            what.sync()
            return
        for path, name in self.names.items():
            if os.path.dirname(path) == what:
                del name.stood[:-1]

    def after_kill(self) -> dict[str, bytes | None]:
        """What is there when the process is killed: path -> content, None for a directory."""
        return self._reachable({path: name.stood[-1] for path, name in self.names.items()},
                               lambda file: bytes(file.now))

    def after_power_cut(self, dice: random.Random, share: float) -> dict[str, bytes | None]:
        """What may be there after a power cut; see :meth:`File.after_power_cut`."""
        found = {}
        for path, name in self.names.items():
            if share == 1:
                found[path] = name.stood[-1]
            elif share == 0:
                found[path] = name.stood[0]
            else:
                found[path] = dice.choice(name.stood)
        return self._reachable(found, lambda file: file.after_power_cut(dice, share))

    def _reachable(self, found, content):
        """What can be reached by names alone."""
        there = {}
        for path in sorted(found):
            what = found[path]
            above = os.path.dirname(path)
            if what is not None and (above == self.top or above in there):
                there[path] = content(what) if isinstance(what, File) else None
        return there
