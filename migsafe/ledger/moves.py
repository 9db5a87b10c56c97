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
"""Moves rows of the ledger when a volume gets another id.

The row of a target stays where it is, and only what it says moves: others may be waiting for it,
since it is the lock of its volume.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from oslo_utils import timeutils

from migsafe.ledger import models

TABLE = models.EXPORTS
COLUMN = TABLE.c
#: What makes a row that row.
KEPT = frozenset(('id', 'backend', 'kind', 'resource', 'peer', 'created_at', 'updated_at'))


def swap(connection: sa.Connection, one: Any, other: Any, ids: tuple[str, str]) -> None:
    """Exchange the rows of two volumes.

    :param one: condition for the rows of one, all of which the caller has locked
    :param other: the same for the other one
    :param ids: of the two
    """
    targets = [_target(connection, rows) for rows in (one, other)]
    for row, says in zip(targets, reversed(targets), strict=True):
        _say(connection, row, says)
    # NOTE: both may have a row of the same peer; no id of a volume has this character in it.
    between = ids[0][:63] + '*'
    named = sa.and_(COLUMN.backend == targets[0].backend, COLUMN.kind == targets[0].kind,
                    COLUMN.resource == between)
    for rows, to in ((one, between), (other, ids[0]), (named, ids[1])):
        connection.execute(sa.update(TABLE).where(rows, COLUMN.peer != '').values(
            resource=to, updated_at=timeutils.utcnow()))


def adopt(connection: sa.Connection, one: Any, other: Any, name: str) -> None:
    """Give what is not gone of one volume to another one, which may have rows of its own.

    :param name: id of the other one
    """
    known = {row.peer: row for row in connection.execute(sa.select(TABLE).where(other))}
    moving = list(connection.execute(sa.select(TABLE).where(one, COLUMN.state != 'gone')))
    now = timeutils.utcnow()
    gone = {'state': 'gone', 'due_at': None, 'error': f'its volume is {name} now',
            'updated_at': now}
    for row in moving:
        there = known.get(row.peer)
        if row.peer and (there is None or there.state == 'gone'):
            if there is not None:
                connection.execute(sa.delete(TABLE).where(COLUMN.id == there.id))
            connection.execute(sa.update(TABLE).where(COLUMN.id == row.id).values(
                resource=name, updated_at=now))
            continue
        if there is not None and there.state == 'gone':
            _say(connection, there, row)
        # NOTE: what the other one has by itself is newer.
        connection.execute(sa.update(TABLE).where(COLUMN.id == row.id).values(gone))


def _target(connection: sa.Connection, rows: Any) -> Any:
    return connection.execute(sa.select(TABLE).where(rows, COLUMN.peer == '')).one()


def _say(connection: sa.Connection, row: Any, says: Any) -> None:
    changed = {name: value for name, value in says._mapping.items() if name not in KEPT}
    connection.execute(sa.update(TABLE).where(COLUMN.id == row.id).values(
        {**changed, 'updated_at': timeutils.utcnow()}))
