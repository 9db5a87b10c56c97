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
"""Whether an export is seen to be gone: not because somebody says so, and not in one look."""

from __future__ import annotations

import enum
import threading
import time
from collections.abc import Iterable
from typing import Any

from migsafe.cinder.facts import mappings
from migsafe.ledger import records
from migsafe.ledger.records import Thing

#: Stands for what others have, where else the key of an export stands.
OTHERS = '(others)'


class Seen(enum.Enum):
    """What the array says of an export."""

    THERE = 'the array still has it'
    ONCE = 'the array does not have it, and may be late: it is looked at once more'
    GONE = 'the array does not have it'
    UNKNOWN = 'the array cannot tell'


class Looks:
    """Looks at exports, and remembers when one was first not there.

    :param guard: of the backend
    """

    def __init__(self, guard: Any) -> None:
        self._guard = guard
        self._lock = threading.Lock()
        self._first: dict[tuple[Thing, str], float] = {}

    def at(self, thing: Thing, subject: Any, export: records.Export | records.Peer, *,
           told: bool = False) -> Seen:
        """Look whether it is there; GONE only if two looks, as far apart as the array may lag,
        did not see it.

        :param export: or a peer; of the target, if it has no key
        :param told: the driver has said that it is gone, so that one look is the second word,
            unless the array may be late
        :raises Exception: whatever the inspector raises; nothing is known then
        """
        key = thing, _key(export)
        answer = self._ask(subject, export)
        if answer is not False:
            with self._lock:
                self._first.pop(key, None)
            return Seen.THERE if answer else Seen.UNKNOWN
        lag = self._guard.inspector.lag
        with self._lock:
            first = self._first.setdefault(key, time.monotonic())
        if lag and time.monotonic() - first < lag:
            return Seen.ONCE
        answer = False if lag or told else self._ask(subject, export)
        with self._lock:
            self._first.pop(key, None)
        return Seen.GONE if answer is False else Seen.THERE if answer else Seen.UNKNOWN

    def again(self, thing: Thing) -> bool:
        """Whether nothing else was seen through the target of a volume, in a look that is as
        long ago as the array may lag, and now; the first such look is remembered."""
        lag, key = self._guard.inspector.lag, (thing, OTHERS)
        if not lag:
            return True
        with self._lock:
            first = self._first.setdefault(key, time.monotonic())
            if time.monotonic() - first < lag:
                return False
            del self._first[key]
        return True

    def forget(self, thing: Thing) -> None:
        """Something else was seen there."""
        with self._lock:
            self._first.pop((thing, OTHERS), None)

    def anew(self, thing: Thing, keys: Iterable[str]) -> None:
        """Exports are about to be made or taken away: no look from before that says what became
        of it."""
        with self._lock:
            for key in keys:
                self._first.pop((thing, key), None)

    def _ask(self, subject: Any, export: records.Export | records.Peer) -> bool | None:
        """Whether the array has it now; None if it cannot tell."""
        inspector = self._guard.inspector
        found = inspector.list_exports(subject)
        if found is None:
            return None
        return mappings.any_is_to(inspector, found, export) if _key(export) else bool(found)


def _key(export: records.Export | records.Peer) -> str:
    return export.key if isinstance(export, records.Peer) else export.peer
