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
"""Queries of the journal: each one paged and served by an index."""

import datetime
from typing import Any

import sqlalchemy as sa

from migsafe.journal import models, records, rows

TABLE, COLUMN = models.TRANSACTIONS, models.TRANSACTIONS.c
#: What is postponed by other rules than that of [migsafe] recovery_backoff_max is due before.
LONGEST = datetime.timedelta(minutes=10)
Transactions = list[records.Transaction]
# NOTE: built once, as every operation on an instance of this host asks it.
_OF_INSTANCE = sa.select(TABLE).where(
    sa.text(models.UNSETTLED), COLUMN.host == sa.bindparam('host'),
    COLUMN.instance_uuid == sa.bindparam('uuid')).order_by(COLUMN.id)


def _all(connection: sa.Connection, query: sa.Select[Any], database: str,
         values: dict[str, Any] | None = None) -> Transactions:
    return [rows.transaction(row, database) for row in connection.execute(query, values)]


def get(connection: sa.Connection, database: str, host: str | None, uuid: str,
        role: str | None) -> records.Transaction | None:
    """Return the newest transaction with this uuid, of one role if it is given."""
    query = sa.select(TABLE).where(COLUMN.uuid == uuid)
    if host is not None:
        query = query.where(COLUMN.host == host)
    if role is not None:
        query = query.where(COLUMN.role == role)
    found = _all(connection, query.order_by(COLUMN.id.desc()).limit(1), database)
    return found[0] if found else None


def by_id(connection: sa.Connection, database: str,
          transaction_id: int) -> records.Transaction | None:
    """Return one transaction; ids are never used again."""
    row = connection.execute(sa.select(TABLE).where(COLUMN.id == transaction_id)).one_or_none()
    return None if row is None else rows.transaction(row, database)


def unsettled(connection: sa.Connection, database: str, host: str | None,
              due_before: datetime.datetime | None, limit: int, after_id: int,
              longest: float | None = None) -> Transactions:
    """Return one page of what is not settled; a row of unknown state counts as unsettled.

    :param longest: see :meth:`migsafe.journal.reader.JournalReader.unsettled`
    """
    query = sa.select(TABLE).where(sa.text(models.UNSETTLED), COLUMN.id > after_id)
    if host is not None:
        query = query.where(COLUMN.host == host)
    if due_before is not None:
        # What was written in the future was so by a clock that has been set back since.
        due = [COLUMN.next_attempt_at <= due_before, COLUMN.updated_at > due_before]
        if longest is not None:
            due.append(COLUMN.next_attempt_at > due_before + max(
                datetime.timedelta(seconds=longest), LONGEST))
        query = query.where(sa.or_(*due))
    return _all(connection, query.order_by(COLUMN.id).limit(limit), database)


def unsettled_for_instance(connection: sa.Connection, database: str, host: str,
                           instance_uuid: str) -> Transactions:
    """Return what is not settled of one instance on one host."""
    return _all(connection, _OF_INSTANCE, database, {'host': host, 'uuid': instance_uuid})


def page(connection: sa.Connection, database: str, host: str | None,
         filters: dict[str, str | None], limit: int, after_id: int, newest: bool) -> Transactions:
    """Return one page of transactions, oldest first or newest first.

    :param filters: column to value; None means any
    :param after_id: last id of the page before, 0 for the first
    """
    query = sa.select(TABLE)
    if after_id:
        query = query.where(COLUMN.id < after_id if newest else COLUMN.id > after_id)
    for name, value in {'host': host, **filters}.items():
        if value is not None:
            query = query.where(COLUMN[name] == value)
    order = COLUMN.id.desc() if newest else COLUMN.id
    return _all(connection, query.order_by(order).limit(limit), database)


def log(connection: sa.Connection, database: str, transaction_id: int,
        kinds: tuple[str, ...] | None, limit: int | None, after_id: int) -> list[records.Record]:
    """Return the lines of a transaction's log in the order they were written."""
    line = models.RECORDS.c
    query = sa.select(models.RECORDS).where(
        line.transaction_id == transaction_id, line.id > after_id)
    if kinds is not None:
        query = query.where(line.kind.in_(kinds))
    query = query.order_by(line.id).limit(limit)
    return [rows.record(row, database) for row in connection.execute(query)]


def logs(connection: sa.Connection, database: str, ids: list[int],
         kinds: tuple[str, ...]) -> dict[int, list[records.Record]]:
    """Return the lines of some kinds of several transactions, by transaction."""
    line = models.RECORDS.c
    found: dict[int, list[records.Record]] = {one: [] for one in ids}
    for row in connection.execute(sa.select(models.RECORDS).where(
            line.transaction_id.in_(ids), line.kind.in_(kinds)).order_by(line.id)):
        found[row.transaction_id].append(rows.record(row, database))
    return found


def statuses(connection: sa.Connection, database: str,
             host: str | None) -> list[records.ServiceStatus]:
    """Return what the services said of themselves, by host."""
    query = sa.select(models.SERVICES).order_by(models.SERVICES.c.host)
    if host is not None:
        query = query.where(models.SERVICES.c.host == host)
    return [rows.service(row, database) for row in connection.execute(query)]


def hosts(connection: sa.Connection) -> list[str]:
    """Return the hosts that have transactions."""
    return list(connection.scalars(sa.select(COLUMN.host).distinct().order_by(COLUMN.host)))


def findings(connection: sa.Connection, database: str, host: str | None,
             kind: str | None, limit: int) -> list[records.Finding]:
    """Return what looks at the devices found, the oldest first.

    :param kind: all of one, whatever the limit
    """
    query = sa.select(models.FINDINGS).order_by(models.FINDINGS.c.id)
    query = query.limit(limit) if kind is None else query.where(models.FINDINGS.c.kind == kind)
    if host is not None:
        query = query.where(models.FINDINGS.c.host == host)
    return [rows.finding(row, database) for row in connection.execute(query)]


def count_unsettled(connection: sa.Connection) -> dict[str, tuple[int, int]]:
    """Return per host how many transactions are unsettled, and how many of them are held.

    Held is what an attempt could not settle, whatever its verdict.
    """
    held = sa.func.sum(sa.case(
        (sa.or_(COLUMN.verdict == 'HOLD', COLUMN.attempts > 0), 1), else_=0))
    query = sa.select(COLUMN.host, sa.func.count(), held).where(
        sa.text(models.UNSETTLED)).group_by(COLUMN.host)
    return {host: (int(total), int(hold)) for host, total, hold in connection.execute(query)}
