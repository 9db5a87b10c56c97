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
"""Writes a file beside its place, and puts it there when it is whole."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tempfile
from collections.abc import Iterator
from typing import IO


@contextlib.contextmanager
def replaced(path: str) -> Iterator[IO[str]]:
    """A stream whose text becomes the file at ``path``, readable by its owner only.

    Its name until then is nobody else's, and no link is followed.

    :raises OSError: it cannot be written, or is no plain file; nothing is left of it
    """
    if os.path.lexists(path) and not stat.S_ISREG(os.lstat(path).st_mode):
        raise FileExistsError(errno.EEXIST, 'It is no plain file')
    handle, name = tempfile.mkstemp(prefix=f'{os.path.basename(path)}.',
                                    dir=os.path.dirname(path) or '.')
    with contextlib.ExitStack() as undone:
        undone.callback(os.unlink, name)
        with open(handle, 'w', encoding='utf-8') as stream:
            yield stream
        os.replace(name, path)
        undone.pop_all()
