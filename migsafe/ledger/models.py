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
"""The tables of the ledger."""

import datetime

import sqlalchemy as sa
from sqlalchemy import orm

from migsafe.journal.models import (
    MYSQL_ARGS,
    TABLE_ARGS,
    BigInt,
    LongText,
    UtcDateTime,
    WriteColumns,
)


class Base(orm.DeclarativeBase):
    """Declarative base; its metadata is what the alembic migrations must produce."""


class Export(Base):
    """One mapping of one volume or snapshot to one peer, or its target.

    The row of the target, with no peer, is the first of its volume: whoever changes the rows of
    a volume locks it.
    """

    __tablename__ = 'migsafe_exports'

    id: orm.Mapped[int] = orm.mapped_column(BigInt, primary_key=True, autoincrement=True)
    backend: orm.Mapped[str] = orm.mapped_column(sa.String(255))
    kind: orm.Mapped[str] = orm.mapped_column(sa.String(16))
    resource: orm.Mapped[str] = orm.mapped_column(sa.String(64))
    peer: orm.Mapped[str] = orm.mapped_column(sa.String(64))
    host: orm.Mapped[str] = orm.mapped_column(sa.String(255))
    initiators: orm.Mapped[str] = orm.mapped_column(sa.Text())
    connector: orm.Mapped[str | None] = orm.mapped_column(LongText)
    attachment: orm.Mapped[str] = orm.mapped_column(sa.String(64))
    state: orm.Mapped[str] = orm.mapped_column(sa.String(16))
    before: orm.Mapped[str] = orm.mapped_column(sa.String(16))
    target: orm.Mapped[str] = orm.mapped_column(sa.Text())
    lun: orm.Mapped[str] = orm.mapped_column(sa.String(64))
    identity: orm.Mapped[str] = orm.mapped_column(sa.Text())
    service: orm.Mapped[str] = orm.mapped_column(sa.String(255))
    incarnation: orm.Mapped[str] = orm.mapped_column(sa.String(64))
    error: orm.Mapped[str] = orm.mapped_column(sa.Text())
    attempts: orm.Mapped[int] = orm.mapped_column(sa.Integer)
    due_at: orm.Mapped[datetime.datetime | None] = orm.mapped_column(UtcDateTime)
    created_at: orm.Mapped[datetime.datetime] = orm.mapped_column(UtcDateTime)
    updated_at: orm.Mapped[datetime.datetime] = orm.mapped_column(UtcDateTime)
    fenced: orm.Mapped[str] = orm.mapped_column(sa.String(255), server_default='')

    __table_args__ = (
        sa.UniqueConstraint('backend', 'kind', 'resource', 'peer',
                            name='uniq_migsafe_exports0backend0kind0resource0peer'),
        sa.Index('migsafe_exports_due_idx', 'backend', 'due_at'),
        sa.Index('migsafe_exports_state_idx', 'backend', 'state', 'id'),
        sa.Index('migsafe_exports_fenced_idx', 'backend', 'fenced'),
        TABLE_ARGS,
    )


class Write(WriteColumns, Base):
    """The writes of each service whose answer may still be asked for."""

    __tablename__ = 'migsafe_ledger_writes'
    __table_args__ = (sa.Index('migsafe_ledger_writes_host_idx', 'host', 'written_at'),
                      MYSQL_ARGS)


EXPORTS = Base.metadata.tables[Export.__tablename__]
