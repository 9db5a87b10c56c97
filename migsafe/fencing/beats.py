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
"""The heartbeat of a host on storage that is shared: a small file of each, replaced as a whole.

Whoever can write there can forge one, and so what is read counts against an evacuation or a fence,
and never for it.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import uuid
from typing import Any
from urllib.parse import quote

from migsafe.fencing import beat_reader, programs
from migsafe.masking import mask


class NotABeat(Exception):
    """What is there is no heartbeat of this host; the text says why."""


@dataclasses.dataclass(frozen=True)
class Beat:
    """What a host has written.

    :param machine: its UUID by its own firmware; None if it did not know
    :param sequence: counted up with each one
    """

    boot_id: str
    sequence: int
    machine: uuid.UUID | None = None

    def after(self, other: Beat) -> bool:
        """Whether the host has lived since it wrote another one."""
        return self.boot_id != other.boot_id or self.sequence > other.sequence


def path_of(directory: str, host: str) -> str:
    """The file of a host, whatever it is called."""
    return os.path.join(directory, f'{quote(host, safe="")}.beat')


def read(directory: str, host: str, seconds: float, watched: float = 0) -> list[Beat]:
    """The last one of a host, and the next one if that comes while it is watched.

    It is read by a process of its own, which is ended when the time is over.

    :param seconds: for all of it
    :param watched: seconds for which it is watched
    :raises NotABeat: there is something else, or nothing that can be read in time
    """
    done = programs.run([sys.executable, '-I', beat_reader.__file__, path_of(directory, host),
                         str(watched)], {}, seconds)
    if done.code is None:
        raise NotABeat('no answer of the storage in time')
    try:
        said = [json.loads(line) for line in done.out.splitlines()]
    except ValueError:
        said = []
    if done.code or not said:
        raise NotABeat(f'it could not be read ({mask(done.err)[-200:].strip()})')
    failed = next((one['error'] for one in said if 'error' in one), None)
    if failed:
        raise NotABeat(failed)
    return [_parsed(one['text'], host) for one in said]


def _parsed(text: str, host: str) -> Beat:
    if len(text) > beat_reader.LONGEST:
        raise NotABeat('it is too long')
    try:
        said = json.loads(text.encode('latin-1'))
    except (ValueError, RecursionError):
        raise NotABeat('it is not to be understood') from None
    return _beat(said, host)


def _beat(said: Any, host: str) -> Beat:
    if not isinstance(said, dict) or said.get('host') != host:
        raise NotABeat('it is not of this host')
    sequence = said.get('sequence')
    if type(sequence) is not int or not 0 <= sequence < 1 << 63:
        raise NotABeat('its sequence is no number')
    try:
        machine = said.get('machine')
        return Beat(str(uuid.UUID(said.get('boot_id'))), sequence,
                    uuid.UUID(machine) if machine else None)
    except (ValueError, TypeError, AttributeError):
        raise NotABeat('it has an id that is none') from None


def machine_of(directory: str, host: str, seconds: float) -> uuid.UUID | None:
    """Which machine a host has said that it is; None if that cannot be read in time."""
    if not directory:
        return None
    try:
        return read(directory, host, seconds)[-1].machine
    except Exception:
        return None
