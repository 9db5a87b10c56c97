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
"""Rows by table, and what a seed decides in them."""

import collections
import datetime
import random
import uuid
from typing import Any

#: The newest heartbeat.
NOW = datetime.datetime(2024, 7, 1, 12, 0, 0)


class Rows:
    """Collects rows by table."""

    def __init__(self, seed: str) -> None:
        self.random = random.Random(seed)
        self.rows: dict[str, list[dict[str, Any]]] = collections.defaultdict(list)
        self._numbers: collections.Counter[str] = collections.Counter()

    def uuid(self) -> str:
        """One that the seed decides."""
        return str(uuid.UUID(int=self.random.getrandbits(128), version=4))

    def add(self, table: str, **values: Any) -> int:
        """Make a row and return its number."""
        self._numbers[table] += 1
        number = self._numbers[table]
        row = dict(values)
        if table not in ("volumes", "volume_attachment"):
            row.setdefault("id", number)
        if table not in ("resource_providers", "allocations"):
            row.setdefault("deleted", 0 if "id" in row and isinstance(row["id"], int) else False)
        self.rows[table].append(row)
        return number

    def ago(self, least: float = 2, most: float = 900) -> datetime.datetime:
        """A time some days before now."""
        return NOW - datetime.timedelta(days=self.random.uniform(least, most))

    def just_now(self) -> datetime.datetime:
        """A time within the last minutes."""
        return NOW - datetime.timedelta(seconds=self.random.uniform(0, 600))
