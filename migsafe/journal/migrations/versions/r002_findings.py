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
"""Findings of the checks of a host's devices."""

import sqlalchemy as sa
from alembic import op

from migsafe.journal.migrations.versions.r001_initial import BIG, TABLE, TIME

revision = '002'
down_revision = '001'

NAME, INDEX = 'migsafe_findings', 'migsafe_findings_host_idx'


def upgrade() -> None:
    """Create the table and its index, each only if it is missing (see r001)."""
    inspector = sa.inspect(op.get_bind())
    there = NAME in inspector.get_table_names()
    if not there:
        op.create_table(
            NAME,
            sa.Column('id', BIG, primary_key=True, autoincrement=True),
            sa.Column('host', sa.String(255), nullable=False),
            sa.Column('kind', sa.String(16), nullable=False),
            sa.Column('instance_uuid', sa.String(64), nullable=False),
            sa.Column('key', sa.String(255), nullable=False),
            sa.Column('text', sa.Text(), nullable=False),
            sa.Column('created_at', TIME, nullable=False),
            sa.Column('updated_at', TIME, nullable=False),
            sqlite_autoincrement=True, **TABLE)
    has = {index['name'] for index in inspector.get_indexes(NAME)} if there else ()
    if INDEX not in has:
        op.create_index(INDEX, NAME, ['host', 'kind'])
