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
"""The exports."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = 'l001'
down_revision = None

BIG = sa.BigInteger().with_variant(sa.Integer(), 'sqlite')
LONG = sa.Text().with_variant(mysql.MEDIUMTEXT(), 'mysql', 'mariadb')
TIME = sa.DateTime().with_variant(sa.String(26), 'sqlite').with_variant(
    mysql.DATETIME(fsp=6), 'mysql', 'mariadb')
TABLE = 'migsafe_exports'
COLUMNS: tuple[tuple[str, sa.types.TypeEngine[Any], bool], ...] = (
    ('backend', sa.String(255), False),
    ('kind', sa.String(16), False),
    ('resource', sa.String(64), False),
    ('peer', sa.String(64), False),
    ('host', sa.String(255), False),
    ('initiators', sa.Text(), False),
    ('connector', LONG, True),
    ('attachment', sa.String(64), False),
    ('state', sa.String(16), False),
    ('before', sa.String(16), False),
    ('target', sa.Text(), False),
    ('lun', sa.String(64), False),
    ('identity', sa.Text(), False),
    ('service', sa.String(255), False),
    ('incarnation', sa.String(64), False),
    ('error', sa.Text(), False),
    ('attempts', sa.Integer(), False),
    ('due_at', TIME, True),
    ('created_at', TIME, False),
    ('updated_at', TIME, False),
)


def upgrade() -> None:
    """Create the table and its indexes."""
    inspector = sa.inspect(op.get_bind())
    if not inspector.has_table(TABLE):
        op.create_table(
            TABLE,
            sa.Column('id', BIG, primary_key=True, autoincrement=True),
            *(sa.Column(name, kind, nullable=null) for name, kind, null in COLUMNS),
            sa.UniqueConstraint('backend', 'kind', 'resource', 'peer',
                                name='uniq_migsafe_exports0backend0kind0resource0peer'),
            mysql_engine='InnoDB', mysql_charset='utf8mb4', mysql_collate='utf8mb4_bin',
            sqlite_autoincrement=True)
    has = {index['name'] for index in sa.inspect(op.get_bind()).get_indexes(TABLE)}
    for name, columns in (('migsafe_exports_due_idx', ['backend', 'due_at']),
                          ('migsafe_exports_state_idx', ['backend', 'state', 'id'])):
        if name not in has:
            op.create_index(name, TABLE, columns)
