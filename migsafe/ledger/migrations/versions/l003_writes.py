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

from migsafe.journal.migrations.versions import r004_writes

revision = 'l003'
down_revision = 'l002'


def upgrade() -> None:
    """Create the table and its index, each only if it is missing."""
    r004_writes.create('migsafe_ledger_writes')
