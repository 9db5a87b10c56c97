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
"""A row for each write, by which a lost answer to a COMMIT is found out."""

import sqlalchemy as sa
from alembic import op

from migsafe.journal.migrations.versions.r001_initial import TABLE, TIME

revision = '004'
down_revision = '003'


def upgrade() -> None:
    """Create the table and its index, each only if it is missing (see r001)."""
    create('migsafe_writes')


def create(name: str) -> None:
    """Create such a table; the ledger has one, too."""
    inspector = sa.inspect(op.get_bind())
    index, there = f'{name}_host_idx', name in inspector.get_table_names()
    if not there:
        op.create_table(
            name,
            sa.Column('token', sa.String(32), primary_key=True),
            sa.Column('host', sa.String(255), nullable=False),
            sa.Column('written_at', TIME, nullable=False), **TABLE)
    has = {found['name'] for found in inspector.get_indexes(name)} if there else ()
    if index not in has:
        op.create_index(index, name, ['host', 'written_at'])
