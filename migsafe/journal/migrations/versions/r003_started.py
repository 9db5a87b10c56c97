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
"""When the process of a service's report began, as a process id is used again."""

import sqlalchemy as sa
from alembic import op

revision = '003'
down_revision = '002'

NAME, COLUMN = 'migsafe_services', 'started'


def upgrade() -> None:
    """Add the column if it is missing (see r001)."""
    there = {column['name'] for column in sa.inspect(op.get_bind()).get_columns(NAME)}
    if COLUMN not in there:
        op.add_column(NAME, sa.Column(COLUMN, sa.BigInteger(), nullable=True))
