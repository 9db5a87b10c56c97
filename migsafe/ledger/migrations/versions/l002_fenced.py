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
"""Whose host is fenced: who said so, and when; empty: nobody."""

import sqlalchemy as sa
from alembic import op

revision = 'l002'
down_revision = 'l001'

TABLE, INDEX = 'migsafe_exports', 'migsafe_exports_fenced_idx'


def upgrade() -> None:
    """Add the column and its index, each only if it is missing."""
    inspector = sa.inspect(op.get_bind())
    if 'fenced' not in {column['name'] for column in inspector.get_columns(TABLE)}:
        op.add_column(TABLE, sa.Column('fenced', sa.String(255), nullable=False,
                                       server_default=''))
    if INDEX not in {index['name'] for index in inspector.get_indexes(TABLE)}:
        op.create_index(INDEX, TABLE, ['backend', 'fenced'])
