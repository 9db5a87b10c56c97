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
"""Tables of the journal.

Names carry the prefix ``migsafe_`` because the tables may live in a database that others use.
"""

import datetime
import re
from typing import Any

import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.dialects import mysql

TIME_FORMAT = '%Y-%m-%d %H:%M:%S.%f'
_WRITTEN = re.compile(r'[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}')
BigInt = sa.BigInteger().with_variant(sa.Integer(), 'sqlite')
# NOTE: MariaDB's TEXT ends at 64 KiB, MEDIUMTEXT at 16 MiB.
LongText = sa.Text().with_variant(mysql.MEDIUMTEXT(), 'mysql', 'mariadb')
# NOTE: SQLite and PostgreSQL index only the unsettled rows; MariaDB has no partial index and uses
# (host, state, id) instead. The condition must stand in the query word for word.
UNSETTLED = "state <> 'settled'"
TABLE_ARGS = {
    'mysql_engine': 'InnoDB',
    'mysql_charset': 'utf8mb4',
    # NOTE: 'Node1' and 'node1' are two hosts.
    'mysql_collate': 'utf8mb4_bin',
    # NOTE: an id is never used again, so that a stale one cannot hit another transaction.
    'sqlite_autoincrement': True,
}
MYSQL_ARGS = {name: value for name, value in TABLE_ARGS.items() if name.startswith('mysql_')}


class UtcDateTime(sa.types.TypeDecorator[datetime.datetime]):
    """A naive UTC time with microseconds, the same on all three databases.

    SQLite has no type for it. What SQLAlchemy's own type cannot parse raises while rows are
    fetched and hides all of them; this one hands the text on, to be refused row by row.
    """

    impl = sa.DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        """Choose the column type of the database."""
        kinds: dict[str, sa.types.TypeEngine[Any]] = {
            'sqlite': sa.String(26), 'mysql': mysql.DATETIME(fsp=6),
            'mariadb': mysql.DATETIME(fsp=6)}
        return dialect.type_descriptor(kinds.get(dialect.name, sa.DateTime()))

    def process_bind_param(self, value: datetime.datetime | None, dialect: sa.Dialect) -> Any:
        """Write the time; on SQLite as text that sorts like the time.

        Text that was read and is none is handed on here, too.
        """
        if value is None or isinstance(value, str) or dialect.name != 'sqlite':
            return value
        return value.strftime(TIME_FORMAT)

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> Any:
        """Read the time; text that is none is returned as it is."""
        if not isinstance(value, str) or not _WRITTEN.fullmatch(value):
            return value
        try:
            # NOTE: several times as fast as strptime, of which a list of thousands has many.
            return datetime.datetime.fromisoformat(value)
        except ValueError:
            return value


class Base(orm.DeclarativeBase):
    """Declarative base; its metadata is what the alembic migrations must produce."""


class Transaction(Base):
    """One row per participant and migration."""

    __tablename__ = 'migsafe_transactions'

    id: orm.Mapped[int] = orm.mapped_column(BigInt, primary_key=True, autoincrement=True)
    uuid: orm.Mapped[str] = orm.mapped_column(sa.String(64))
    host: orm.Mapped[str] = orm.mapped_column(sa.String(255))
    role: orm.Mapped[str] = orm.mapped_column(sa.String(16))
    instance_uuid: orm.Mapped[str] = orm.mapped_column(sa.String(64))
    source_host: orm.Mapped[str] = orm.mapped_column(sa.String(255))
    dest_host: orm.Mapped[str] = orm.mapped_column(sa.String(255))
    source_boot_id: orm.Mapped[str | None] = orm.mapped_column(sa.String(64))
    dest_boot_id: orm.Mapped[str | None] = orm.mapped_column(sa.String(64))
    migration_id: orm.Mapped[int | None] = orm.mapped_column(BigInt)
    state: orm.Mapped[str] = orm.mapped_column(sa.String(16))
    verdict: orm.Mapped[str | None] = orm.mapped_column(sa.String(16))
    reason: orm.Mapped[str] = orm.mapped_column(sa.Text())
    attempts: orm.Mapped[int] = orm.mapped_column(sa.Integer)
    next_attempt_at: orm.Mapped[datetime.datetime] = orm.mapped_column(UtcDateTime)
    created_at: orm.Mapped[datetime.datetime] = orm.mapped_column(UtcDateTime)
    updated_at: orm.Mapped[datetime.datetime] = orm.mapped_column(UtcDateTime)
    settled_at: orm.Mapped[datetime.datetime | None] = orm.mapped_column(UtcDateTime)

    __table_args__ = (
        sa.UniqueConstraint(
            'host', 'uuid', 'role', name='uniq_migsafe_transactions0host0uuid0role'),
        sa.Index('migsafe_transactions_host_state_idx', 'host', 'state', 'id'),
        sa.Index('migsafe_transactions_instance_idx', 'host', 'instance_uuid', 'state'),
        sa.Index('migsafe_transactions_settled_at_idx', 'host', 'settled_at'),
        sa.Index('migsafe_transactions_unsettled_idx', 'host', 'id',
                 sqlite_where=sa.text(UNSETTLED), postgresql_where=sa.text(UNSETTLED)),
        TABLE_ARGS,
    )


class Record(Base):
    """The log of a transaction, one row per line."""

    __tablename__ = 'migsafe_records'

    id: orm.Mapped[int] = orm.mapped_column(BigInt, primary_key=True, autoincrement=True)
    transaction_id: orm.Mapped[int] = orm.mapped_column(
        BigInt, sa.ForeignKey('migsafe_transactions.id', ondelete='CASCADE'))
    host: orm.Mapped[str] = orm.mapped_column(sa.String(255))
    kind: orm.Mapped[str] = orm.mapped_column(sa.String(16))
    resource: orm.Mapped[str] = orm.mapped_column(sa.String(64))
    key: orm.Mapped[str] = orm.mapped_column(sa.String(255))
    effect: orm.Mapped[str] = orm.mapped_column(sa.String(255))
    status: orm.Mapped[str] = orm.mapped_column(sa.String(16))
    text: orm.Mapped[str] = orm.mapped_column(sa.Text())
    payload: orm.Mapped[str | None] = orm.mapped_column(LongText)
    ref: orm.Mapped[int | None] = orm.mapped_column(BigInt)
    created_at: orm.Mapped[datetime.datetime] = orm.mapped_column(UtcDateTime)

    __table_args__ = (
        sa.Index('migsafe_records_transaction_idx', 'transaction_id', 'id'),
        TABLE_ARGS,
    )


class Service(Base):
    """What each nova-compute says of itself."""

    __tablename__ = 'migsafe_services'

    host: orm.Mapped[str] = orm.mapped_column(sa.String(255), primary_key=True)
    armed: orm.Mapped[int] = orm.mapped_column(sa.Integer)
    pid: orm.Mapped[int] = orm.mapped_column(BigInt)
    started: orm.Mapped[int | None] = orm.mapped_column(sa.BigInteger())
    boot_id: orm.Mapped[str] = orm.mapped_column(sa.String(64))
    plugin_version: orm.Mapped[str] = orm.mapped_column(sa.String(64))
    nova_version: orm.Mapped[str] = orm.mapped_column(sa.String(64))
    concurrency: orm.Mapped[str] = orm.mapped_column(sa.String(32))
    seams: orm.Mapped[str] = orm.mapped_column(LongText)
    detail: orm.Mapped[str] = orm.mapped_column(sa.Text())
    updated_at: orm.Mapped[datetime.datetime] = orm.mapped_column(UtcDateTime)

    __table_args__ = (MYSQL_ARGS,)


class Probe(Base):
    """One row per host, rewritten to find out whether the journal can be written."""

    __tablename__ = 'migsafe_probes'

    host: orm.Mapped[str] = orm.mapped_column(sa.String(255), primary_key=True)
    checked_at: orm.Mapped[datetime.datetime] = orm.mapped_column(UtcDateTime)

    __table_args__ = (MYSQL_ARGS,)


class Finding(Base):
    """What a look at the devices of a host found, without a transaction that it belongs to."""

    __tablename__ = 'migsafe_findings'

    id: orm.Mapped[int] = orm.mapped_column(BigInt, primary_key=True, autoincrement=True)
    host: orm.Mapped[str] = orm.mapped_column(sa.String(255))
    kind: orm.Mapped[str] = orm.mapped_column(sa.String(16))
    instance_uuid: orm.Mapped[str] = orm.mapped_column(sa.String(64))
    key: orm.Mapped[str] = orm.mapped_column(sa.String(255))
    text: orm.Mapped[str] = orm.mapped_column(sa.Text())
    created_at: orm.Mapped[datetime.datetime] = orm.mapped_column(UtcDateTime)
    updated_at: orm.Mapped[datetime.datetime] = orm.mapped_column(UtcDateTime)

    __table_args__ = (
        sa.Index('migsafe_findings_host_idx', 'host', 'kind'),
        TABLE_ARGS,
    )


class WriteColumns:
    """Marks a write to a server, see :mod:`migsafe.journal.tokens`."""

    token: orm.Mapped[str] = orm.mapped_column(sa.String(32), primary_key=True)
    host: orm.Mapped[str] = orm.mapped_column(sa.String(255))
    written_at: orm.Mapped[datetime.datetime] = orm.mapped_column(UtcDateTime)


class Write(WriteColumns, Base):
    """The writes of each host whose answer may still be asked for."""

    __tablename__ = 'migsafe_writes'
    __table_args__ = (sa.Index('migsafe_writes_host_idx', 'host', 'written_at'), MYSQL_ARGS)


# NOTE: statements go past the unit of work of the ORM, which costs a migration that waits for its
# journal more than the database does; the classes above are what the migrations must produce.
TRANSACTIONS = Base.metadata.tables[Transaction.__tablename__]
RECORDS = Base.metadata.tables[Record.__tablename__]
SERVICES = Base.metadata.tables[Service.__tablename__]
PROBES = Base.metadata.tables[Probe.__tablename__]
FINDINGS = Base.metadata.tables[Finding.__tablename__]
WRITES = Base.metadata.tables[Write.__tablename__]
