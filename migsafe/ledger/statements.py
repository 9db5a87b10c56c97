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
"""What every call asks of a volume's rows, built once.

To build a statement and to find it in SQLAlchemy's cache costs cinder-volume more than to send it
to a server and read the answer: 200 attachments at once are some 5,000 of them.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from migsafe.ledger import models
from migsafe.ledger.records import Thing

TABLE = models.EXPORTS
COLUMN = TABLE.c

_VOLUME = sa.and_(COLUMN.backend == sa.bindparam('of_backend'),
                  COLUMN.kind == sa.bindparam('of_kind'),
                  COLUMN.resource == sa.bindparam('of_resource'))
_TARGET = sa.and_(_VOLUME, COLUMN.peer == '')

#: All rows of a volume, the target's first.
ALL = sa.select(TABLE).where(_VOLUME).order_by(COLUMN.peer)
#: The lock of a volume: the row of its target.
LOCK = sa.select(COLUMN.id).where(_TARGET).with_for_update()
#: Change the row of a peer, ``of_peer``.
CHANGE = sa.update(TABLE).where(_VOLUME, COLUMN.peer == sa.bindparam('of_peer'))
INSERT = sa.insert(TABLE)
#: Have the target looked at, at ``due``. Conditions here, and not in WHERE, leave a database
#: without statistics no other index than that of the volume (PostgreSQL read all that is not due).
LOOK = sa.update(TABLE).where(_TARGET).values(due_at=sa.case(
    (sa.and_(COLUMN.state != 'gone', COLUMN.due_at.is_(None)),
     sa.bindparam('due', type_=COLUMN.due_at.type)), else_=COLUMN.due_at))
#: Who is fenced.
FENCED = sa.select(COLUMN.host, COLUMN.initiators, COLUMN.fenced).where(
    COLUMN.backend == sa.bindparam('of_backend'), COLUMN.fenced > '',
    COLUMN.state != 'gone').distinct()
_MYSQL = sa.text('SELECT UTC_TIMESTAMP(6)')
#: The time of a server. The services of a cluster believe one clock: one that is ahead would
#: otherwise keep a volume after its death, and one behind would be overtaken while it works.
CLOCKS = {'mysql': _MYSQL, 'mariadb': _MYSQL,
          'postgresql': sa.text("SELECT clock_timestamp() AT TIME ZONE 'UTC'")}


def of(backend: str, thing: Thing, **more: Any) -> dict[str, Any]:
    """Parameters that name a volume, and those that a statement needs besides."""
    return {'of_backend': backend, 'of_kind': thing.kind, 'of_resource': thing.id, **more}
