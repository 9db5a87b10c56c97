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
"""Files that are written whole or not at all, down to the disk."""

from __future__ import annotations

import contextlib
import itertools
import os
import pathlib
import time
from collections.abc import Iterator

#: (mode, uid, gid); None is whoever writes
Mode = tuple[int, int | None, int | None]


def beside(path: pathlib.Path) -> pathlib.Path:
    """A name for a copy of a file that no other copy has."""
    stem = f'{path.name}.migsafe-{time.strftime("%Y%m%dT%H%M%S")}'
    names = (path.with_name(f'{stem}-{number}') for number in itertools.count(1))
    return next(name for name in names if not os.path.lexists(name))


def mode_of(path: pathlib.Path) -> Mode:
    """Mode and owner of a file, and those of one that is not there yet."""
    if not path.exists():
        return 0o644, None, None
    found = path.stat()
    return found.st_mode & 0o7777, found.st_uid, found.st_gid


def write(path: pathlib.Path, data: bytes, mode: Mode) -> None:
    """A whole file or none, with its mode and owner, down to the disk."""
    new = path.with_name(f'.{path.name}.migsafe-tmp')
    with contextlib.suppress(FileNotFoundError):
        new.unlink()
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with open(fd, 'wb') as stream:
        stream.write(data)
        stream.flush()
        if mode[1] is not None and mode[2] is not None:
            os.fchown(fd, mode[1], mode[2])
        os.fchmod(fd, mode[0])
        os.fsync(fd)
    rename(new, path)


def rename(old: pathlib.Path, new: pathlib.Path) -> None:
    """Put a file into the place of another in the same directory."""
    with _synced(new.parent):
        old.rename(new)


def remove(path: pathlib.Path) -> None:
    """Take a file away, if it is there."""
    if path.exists():
        with _synced(path.parent):
            path.unlink()


@contextlib.contextmanager
def _synced(directory: pathlib.Path) -> Iterator[None]:
    """What is done to names in a directory is on the disk at the end."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield
        os.fsync(fd)
    finally:
        os.close(fd)
