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
"""Files of state as somebody would leave them who wants more than is theirs."""

import os
import random
import sqlite3
import struct

# sqlite.org/fileformat2.html, 3: the rollback journal; its trailer names the super-journal
MAGIC = bytes.fromhex('d9d505f920a163d7')
SECTOR = 512
LOCK_BYTE = 0x40000000
PAGE = 4096


def hot_journal(database: str, super_journal: str) -> bytes:
    """A journal that is played back when ``database`` is opened, and then its super-journal, any
    path at all, is unlinked."""
    name = super_journal.encode()
    pages = os.path.getsize(database) // PAGE
    header = struct.pack('>8sIIIII', MAGIC, 0, 1, pages, SECTOR, PAGE).ljust(SECTOR, b'\0')
    total = sum(byte - 256 if byte > 127 else byte for byte in name) & 0xffffffff
    return header + struct.pack(
        f'>I{len(name)}sII8s', LOCK_BYTE // PAGE + 1, name, len(name), total, MAGIC)


def plant(database: str, super_journal: str) -> None:
    """Put such a journal beside a database."""
    with open(f'{database}-journal', 'wb') as handle:
        handle.write(hot_journal(database, super_journal))
    os.chmod(f'{database}-journal', 0o600)


def bite(database: str) -> None:
    """Open a database as a program does that takes no care."""
    connection = sqlite3.connect(database)
    connection.execute('SELECT count(*) FROM sqlite_master').fetchall()
    connection.close()


def noise(size: int) -> bytes:
    """Bytes that mean nothing, the same each time."""
    return random.Random(4711).randbytes(size)
