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
"""Which machine each host has said that it is, as long as it lived.

A host that has to be fenced does not say it any more. So whoever asks hosts whether they live
remembers it, for the fence that compares it with what the BMC says.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping

from oslo_serialization import jsonutils

from migsafe.fencing import bmc

NAME = 'machines.json'


class Machines:
    """A file: host -> the UUID of the machine by its own firmware.

    :param directory: [migsafe] state_path
    """

    def __init__(self, directory: str) -> None:
        self._path = os.path.join(directory, NAME)

    def of(self, host: str) -> uuid.UUID | None:
        """Which machine a host has said that it is; None if it was not heard to say that here."""
        try:
            return uuid.UUID(self._read()[host])
        except (LookupError, ValueError, TypeError, AttributeError):
            return None

    def heard(self) -> dict[str, uuid.UUID]:
        """All hosts that were heard -> which machine each has said that it is."""
        found = {host: self.of(host) for host in sorted(self._read())}
        return {host: said for host, said in found.items() if said}

    def learn(self, said: Mapping[str, str]) -> None:
        """Remember what hosts say now; other names that a machine had before are forgotten.

        :param said: host -> its UUID
        :raises OSError: it cannot be written
        """
        before = self._read()
        now = {host: one for host, one in before.items()
               if not any(_same(one, other) for other in said.values())} | dict(said)
        if now == before:
            return
        os.makedirs(os.path.dirname(self._path), mode=0o700, exist_ok=True)
        beside = f'{self._path}.{os.getpid()}'
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(handle, 'w', encoding='utf-8') as file:
            file.write(jsonutils.dumps(now, indent=1, sort_keys=True) + '\n')
        os.replace(beside, self._path)

    def _read(self) -> dict[str, str]:
        try:
            with open(self._path, encoding='utf-8') as file:
                found = jsonutils.loads(file.read())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}


def _same(one: object, other: object) -> bool:
    try:
        return bmc.same(uuid.UUID(str(one)), uuid.UUID(str(other)))
    except ValueError:
        return False
