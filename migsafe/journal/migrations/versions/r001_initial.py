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
"""Transactions, their log, the services' own reports, and the probe of writability."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = '001'
down_revision = None

BIG = sa.BigInteger().with_variant(sa.Integer(), 'sqlite')
LONG = sa.Text().with_variant(mysql.MEDIUMTEXT(), 'mysql', 'mariadb')
TIME = sa.DateTime().with_variant(sa.String(26), 'sqlite').with_variant(
    mysql.DATETIME(fsp=6), 'mysql', 'mariadb')
UNSETTLED = sa.text("state <> 'settled'")
TABLE: dict[str, Any] = {
    'mysql_engine': 'InnoDB', 'mysql_charset': 'utf8mb4', 'mysql_collate': 'utf8mb4_bin'}


INDEXES = (
    ('migsafe_transactions_host_state_idx', 'migsafe_transactions', ['host', 'state', 'id']),
    ('migsafe_transactions_instance_idx', 'migsafe_transactions',
     ['host', 'instance_uuid', 'state']),
    ('migsafe_transactions_settled_at_idx', 'migsafe_transactions', ['host', 'settled_at']),
    ('migsafe_transactions_unsettled_idx', 'migsafe_transactions', ['host', 'id']),
    ('migsafe_records_transaction_idx', 'migsafe_records', ['transaction_id', 'id']),
)
PARTIAL: dict[str, dict[str, Any]] = {'migsafe_transactions_unsettled_idx': {
    'sqlite_where': UNSETTLED, 'postgresql_where': UNSETTLED}}


# NOTE: MariaDB commits each CREATE by itself. After a kill in the middle the next run finds some
# of them, so that each is created only if it is missing.
def upgrade() -> None:
    """Create the tables and their indexes."""
    inspector = sa.inspect(op.get_bind())
    there = set(inspector.get_table_names())
    for name, create in (('migsafe_transactions', _transactions), ('migsafe_records', _records),
                         ('migsafe_services', _services), ('migsafe_probes', _probes)):
        if name not in there:
            create(name)
    for name, table, columns in INDEXES:
        has = {index['name'] for index in inspector.get_indexes(table)} if table in there else ()
        if name not in has:
            op.create_index(name, table, columns, **PARTIAL.get(name, {}))


def _column(name: str, kind: sa.types.TypeEngine[Any], *, null: bool = False) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=null)


def _transactions(name: str) -> None:
    op.create_table(
        name,
        sa.Column('id', BIG, primary_key=True, autoincrement=True),
        _column('uuid', sa.String(64)),
        _column('host', sa.String(255)),
        _column('role', sa.String(16)),
        _column('instance_uuid', sa.String(64)),
        _column('source_host', sa.String(255)),
        _column('dest_host', sa.String(255)),
        _column('source_boot_id', sa.String(64), null=True),
        _column('dest_boot_id', sa.String(64), null=True),
        _column('migration_id', BIG, null=True),
        _column('state', sa.String(16)),
        _column('verdict', sa.String(16), null=True),
        _column('reason', sa.Text()),
        _column('attempts', sa.Integer()),
        _column('next_attempt_at', TIME),
        _column('created_at', TIME),
        _column('updated_at', TIME),
        _column('settled_at', TIME, null=True),
        sa.UniqueConstraint('host', 'uuid', 'role',
                            name='uniq_migsafe_transactions0host0uuid0role'),
        sqlite_autoincrement=True, **TABLE)


def _records(name: str) -> None:
    op.create_table(
        name,
        sa.Column('id', BIG, primary_key=True, autoincrement=True),
        sa.Column('transaction_id', BIG,
                  sa.ForeignKey('migsafe_transactions.id', ondelete='CASCADE'), nullable=False),
        _column('host', sa.String(255)),
        _column('kind', sa.String(16)),
        _column('resource', sa.String(64)),
        _column('key', sa.String(255)),
        _column('effect', sa.String(255)),
        _column('status', sa.String(16)),
        _column('text', sa.Text()),
        _column('payload', LONG, null=True),
        _column('ref', BIG, null=True),
        _column('created_at', TIME),
        sqlite_autoincrement=True, **TABLE)


def _services(name: str) -> None:
    op.create_table(
        name,
        sa.Column('host', sa.String(255), primary_key=True),
        _column('armed', sa.Integer()),
        _column('pid', BIG),
        _column('boot_id', sa.String(64)),
        _column('plugin_version', sa.String(64)),
        _column('nova_version', sa.String(64)),
        _column('concurrency', sa.String(32)),
        _column('seams', LONG),
        _column('detail', sa.Text()),
        _column('updated_at', TIME),
        **TABLE)


def _probes(name: str) -> None:
    op.create_table(
        name,
        sa.Column('host', sa.String(255), primary_key=True),
        _column('checked_at', TIME),
        **TABLE)
