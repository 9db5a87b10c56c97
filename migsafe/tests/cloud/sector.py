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
"""The guest's disk: guest/sector.s at its beginning, a name and a counter in one of its blocks."""

from __future__ import annotations

import dataclasses
import pathlib
import struct
import tempfile

from migsafe.tests import servers
from migsafe.tests.cloud import processes

SOURCE = pathlib.Path(__file__).parent / 'guest' / 'sector.s'
#: The block of the name and the counter, as guest/sector.s has it.
BLOCK = 2048
SIZE = 512
_MAGIC = b'migsafe:'
_FORMAT = struct.Struct('<8s24sI')


@dataclasses.dataclass(frozen=True)
class Written:
    """What a guest, or the test before it, has written.

    :param name: what the test wrote
    :param count: how often the guest has written since
    """

    name: str
    count: int


def program() -> bytes:
    """The boot sector."""
    with tempfile.TemporaryDirectory() as name:
        made = pathlib.Path(name)
        processes.run(servers.find('as', 'binutils'), '--32', '-o', str(made / 'o'), str(SOURCE))
        processes.run(servers.find('ld', 'binutils'), '-m', 'elf_i386', '--oformat', 'binary',
                      '-Ttext', '0x7c00', '-o', str(made / 'bin'), str(made / 'o'))
        return (made / 'bin').read_bytes()


def block(name: str) -> bytes:
    """The block of a disk that no guest has written to yet.

    :param name: of at most 24 characters
    """
    return _FORMAT.pack(_MAGIC, name.encode(), 0).ljust(SIZE, b'\0')


def read(found: bytes) -> Written | None:
    """What is in a block; None if it is none of ours."""
    magic, name, count = _FORMAT.unpack_from(found)
    return Written(name.rstrip(b'\0').decode(), count) if magic == _MAGIC else None
