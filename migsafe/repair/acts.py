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
"""Changes of rows: each is made only where the row still is what it was when it was judged."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa
from oslo_utils import timeutils

from migsafe.audit.readers.database import Snapshot, live
from migsafe.repair import writing


@dataclasses.dataclass(frozen=True)
class Act:
    """A change of one row of Nova's database.

    :ivar key: its primary key
    :ivar before: columns that were read and have to be so still
    :ivar after: what those that change become
    :ivar says: for people, in one sentence, without secrets
    """

    table: str
    key: int
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    says: str

    @property
    def changed(self) -> dict[str, Any]:
        """How the columns of ``before`` are afterwards."""
        return {**self.before, **self.after}


class State(enum.Enum):
    """How rows are, against a list of acts."""

    BEFORE = 'before'
    AFTER = 'after'
    OTHER = 'other'


def state(snapshot: Snapshot, acts: Iterable[Act]) -> State:
    """Whether all of these were made, none of them, or rows are otherwise."""
    wanted = list(acts)
    found = [_values(snapshot, one) for one in wanted]
    if all(now == one.changed for now, one in zip(found, wanted, strict=True)):
        return State.AFTER
    if all(now == dict(one.before) for now, one in zip(found, wanted, strict=True)):
        return State.BEFORE
    return State.OTHER


def carry_out(snapshot: Snapshot, acts: Iterable[Act]) -> State:
    """Make all changes, or none; the caller's transaction is committed after that.

    The rows are locked first. They are compared here and not by the database, which may take two
    texts for one that differ in case.
    """
    wanted = sorted(acts, key=lambda one: (one.table, one.key))
    for one in wanted:
        writing.lock(snapshot, snapshot.must(one.table), one.key)
    found = state(snapshot, wanted)
    if found is State.BEFORE:
        for one in filter(lambda act: act.after, wanted):
            table = snapshot.must(one.table)
            values = dict(one.after)
            now = 'deleted_at' if 'deleted' in values else 'updated_at'
            if now in table.c:
                values[now] = timeutils.utcnow()
            snapshot.connection.execute(
                sa.update(table).where(table.c.id == one.key).values(values))
    return found


def _values(snapshot: Snapshot, act: Act) -> dict[str, Any] | None:
    """The columns of a row now; None for a row that is deleted, unless that is one of them."""
    table = snapshot.must(act.table)
    there = sa.true() if 'deleted' in act.before else live(table)
    row = snapshot.connection.execute(
        sa.select(*(table.c[name] for name in act.before)).where(
            table.c.id == act.key, there)).mappings().one_or_none()
    return None if row is None else dict(row)
