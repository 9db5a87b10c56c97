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
"""Locks an instance against its owner, as ``nova-manage volume_attachment refresh`` does.

See ComputeAPI.lock() of nova/compute/api.py, without the notification: locked, locked_by, and the
reason in system_metadata. The reason names the transaction, by which a lock is known to be one's
own; one that somebody else has made stays.
"""

from __future__ import annotations

import sqlalchemy as sa
from oslo_utils import timeutils

from migsafe.audit.readers.database import Snapshot, live
from migsafe.repair.hosts import Undecided

REASON = 'locked_reason'
METADATA = 'instance_system_metadata'


def reason(uuid: str) -> str:
    """What a lock of a transaction says of itself."""
    return f'migsafe repair {uuid}'


def take(snapshot: Snapshot, instance: str, uuid: str) -> None:
    """Lock an instance, unless it is locked.

    :raises Undecided: it is gone, or an operation has begun on it
    """
    row = _row(snapshot, instance)
    if row is None or row.task_state not in (None, '', 'migrating'):
        raise Undecided(f'Instance {instance} is {row.task_state if row else "gone"} by now. '
                        'Plan again later.')
    if row.locked:
        return
    table, kept = snapshot.must('instances'), snapshot.must(METADATA)
    snapshot.connection.execute(sa.update(table).where(table.c.id == row.id).values(
        locked=True, locked_by='admin'))
    values = {'instance_uuid': instance, 'key': REASON, 'value': reason(uuid), 'deleted': 0,
              'created_at': timeutils.utcnow()}
    snapshot.connection.execute(sa.insert(kept).values(
        {name: value for name, value in values.items() if name in kept.c}))


def give_back(snapshot: Snapshot, instance: str, uuid: str) -> None:
    """Unlock an instance that this transaction has locked, and has locked still."""
    row, kept = _row(snapshot, instance), snapshot.table(METADATA)
    if row is None or kept is None:
        return
    mine = sa.and_(kept.c.instance_uuid == instance, kept.c.key == REASON,
                   kept.c.value == reason(uuid))
    if snapshot.connection.execute(sa.select(kept.c.id).where(mine, live(kept))).first() is None:
        return
    table = snapshot.must('instances')
    snapshot.connection.execute(sa.update(table).where(table.c.id == row.id).values(
        locked=False, locked_by=None))
    snapshot.connection.execute(sa.delete(kept).where(mine))


def _row(snapshot: Snapshot, instance: str) -> sa.Row[tuple[object, ...]] | None:
    """:raises Undecided: instances cannot be locked in this database"""
    table = snapshot.must('instances')
    if 'locked' not in table.c or snapshot.table(METADATA) is None:
        raise Undecided(f'{snapshot.label} has not all by which Nova locks an instance: '
                        f'instances.locked and {METADATA}. Name the whole database of the cell.')
    found = snapshot.connection.execute(sa.select(
        table.c.id, table.c.task_state, table.c.locked).where(
            # NOTE: what was read before the row is one's own may not be so any more.
            table.c.uuid == instance, live(table)).with_for_update()).first()
    return found
