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
"""What each mutating call of the journal does inside its one database transaction."""

import datetime
from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa
from oslo_utils import timeutils

from migsafe import exceptions
from migsafe.journal import models, records

LINE = models.RECORDS
TABLE, COLUMN = models.TRANSACTIONS, models.TRANSACTIONS.c
# NOTE: built once. To build a statement takes SQLAlchemy longer than to run it.
_INSERT = sa.insert(LINE)
_LOCK = sa.select(TABLE).where(
    COLUMN.id == sa.bindparam('id'), COLUMN.uuid == sa.bindparam('uuid')).with_for_update()
_SAME = sa.select(TABLE).where(*(
    COLUMN[name] == sa.bindparam(name) for name in ('host', 'uuid', 'role')))
_SAVE = sa.update(TABLE).where(COLUMN.id == sa.bindparam('its_id'))
_INTENTS = sa.select(LINE.c.id, LINE.c.resource, LINE.c.key, LINE.c.effect).where(
    LINE.c.id.in_(sa.bindparam('ids', expanding=True)),
    LINE.c.transaction_id == sa.bindparam('transaction_id'), LINE.c.kind == 'intent')
_OLD = sa.select(COLUMN.id, COLUMN.settled_at).where(
    COLUMN.host == sa.bindparam('its_host'), COLUMN.state == 'settled',
    COLUMN.settled_at >= sa.bindparam('since'), COLUMN.settled_at < sa.bindparam('until')
).order_by(COLUMN.settled_at).limit(sa.bindparam('count'))
#: Verdicts that are final: one of them is never exchanged for the other.
DECIDED = ('COMMIT', 'ABORT')
# (resource, key, payload as JSON text)
Capture = tuple[str, str, str | None]
# (intent id, status, payload as JSON text)
Outcome = tuple[int, str, str | None]


class Row:
    """The row of a transaction, and what is to be changed in it.

    :param values: by column
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = dict(values)
        self._changed: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        try:
            return self._values[name]
        except KeyError:
            raise AttributeError(name) from None

    def set(self, **values: Any) -> None:
        """Change columns; save() writes them."""
        self._values.update(values)
        self._changed |= values.keys()

    def save(self, connection: sa.Connection) -> None:
        """Write what was changed, in one statement."""
        if self._changed:
            connection.execute(_SAVE, {
                'its_id': self.id, **{name: self._values[name] for name in self._changed}})
        self._changed.clear()


def locked(connection: sa.Connection, tx: records.Transaction, database: str) -> Row:
    """Return the row of ``tx``, locked until the commit so that decisions on it hold.

    :raises JournalNotFound: it was purged, or is of another journal
    """
    found = connection.execute(_LOCK, {'id': tx.id, 'uuid': tx.uuid}).one_or_none()
    if found is None:
        raise exceptions.JournalNotFound(database=database, uuid=tx.uuid)
    return Row(found._asdict())


def must_be_open(row: Row, what: str) -> None:
    """Refuse a step that comes after the transaction is over.

    :raises JournalTransactionSettled: for a late pre_live_migration and its like
    """
    if row.state == 'settled':
        raise exceptions.JournalTransactionSettled(
            uuid=row.uuid, host=row.host, verdict=row.verdict, what=what)


def add(connection: sa.Connection, row: Row, kind: str, **fields: Any) -> int:
    """Append a line to the log of ``row`` and return its id."""
    return _id(connection.execute(_INSERT, _line(row, kind, fields)))


def _id(result: sa.CursorResult[Any]) -> int:
    key = result.inserted_primary_key
    assert key is not None
    return int(key[0])


def _add_all(connection: sa.Connection, row: Row, kind: str,
             lines: list[dict[str, Any]]) -> None:
    if lines:
        connection.execute(_INSERT, [_line(row, kind, fields) for fields in lines])


def _line(row: Row, kind: str, fields: dict[str, Any]) -> dict[str, Any]:
    row.set(updated_at=timeutils.utcnow())
    return {'transaction_id': row.id, 'host': row.host, 'kind': kind,
            'created_at': row.updated_at, 'payload': None, 'ref': None,
            **dict.fromkeys(('resource', 'key', 'effect', 'status', 'text'), ''), **fields}


def begin(connection: sa.Connection, values: dict[str, Any],
          captures: Iterable[Capture]) -> Row:
    """Insert the transaction with its captures, or return the one that is there."""
    same = connection.execute(_SAME, {
        name: values[name] for name in ('host', 'uuid', 'role')}).one_or_none()
    if same is not None:
        return Row(same._asdict())
    now = timeutils.utcnow()
    new = {**values, 'state': 'open', 'verdict': None, 'reason': '', 'attempts': 0,
           'next_attempt_at': now, 'created_at': now, 'updated_at': now, 'settled_at': None}
    new['id'] = _id(connection.execute(sa.insert(TABLE), new))
    _add_all(connection, Row(new), 'capture', [
        {'resource': resource, 'key': key, 'payload': payload}
        for resource, key, payload in captures])
    return Row(new)


def decide(connection: sa.Connection, row: Row, verdict: str) -> bool:
    """Set the verdict, unless the row has the other of COMMIT and ABORT by now.

    The condition is part of the statement: on a server whose isolation was set to less than
    what row locks need, the row may not be the one that was read.

    :returns: whether the row has this verdict now
    """
    free = sa.or_(COLUMN.verdict.is_(None), COLUMN.verdict.not_in(DECIDED),
                  COLUMN.verdict == verdict)
    changed = connection.execute(
        sa.update(TABLE).where(COLUMN.id == row.id, free), {'verdict': verdict})
    if changed.rowcount:
        row.set(verdict=verdict)
    return bool(changed.rowcount)


def last(connection: sa.Connection, row: Row, kinds: tuple[str, ...], **fields: str) -> Any:
    """Return the newest line of these kinds with these fields, or None."""
    return connection.execute(
        sa.select(LINE)
        .where(LINE.c.transaction_id == row.id, LINE.c.kind.in_(kinds),
               *(LINE.c[name] == value for name, value in fields.items()))
        .order_by(LINE.c.id.desc()).limit(1)).one_or_none()


def outcomes(connection: sa.Connection, row: Row, given: Iterable[Outcome]) -> None:
    """Append what became of intents.

    :raises JournalBadValue: one of them is of no intent of this transaction
    """
    given = list(given)
    if not given:
        return
    found = {line.id: line for line in connection.execute(_INTENTS, {
        'ids': [intent_id for intent_id, _status, _payload in given],
        'transaction_id': row.id})}
    for intent_id, _status, _payload in given:
        if intent_id not in found:
            raise exceptions.JournalBadValue(
                what='an outcome', reason=f'transaction {row.uuid} has no intent {intent_id!r}')
    _add_all(connection, row, 'outcome', [
        {'resource': found[intent_id].resource, 'key': found[intent_id].key,
         'effect': found[intent_id].effect, 'status': status, 'payload': payload,
         'ref': intent_id}
        for intent_id, status, payload in given])


def upsert(connection: sa.Connection, table: sa.Table, host: str,
           values: dict[str, Any]) -> None:
    """Write the one row that ``host`` has in ``table``."""
    changed = connection.execute(sa.update(table).where(
        table.c.host == sa.bindparam('its_host')), {'its_host': host, **values})
    if not changed.rowcount:
        connection.execute(sa.insert(table), {'host': host, **values})


def replace_findings(connection: sa.Connection, host: str, kind: str,
                     found: Mapping[tuple[str, str], str], now: datetime.datetime) -> None:
    """Make the findings of one kind of a host what they are now.

    :param found: (instance uuid, key) -> text; one that was there keeps its first time
    """
    table = models.FINDINGS
    known = {(row.instance_uuid, row.key): row.id for row in connection.execute(
        sa.select(table).where(table.c.host == host, table.c.kind == kind))}
    gone = [number for thing, number in known.items() if thing not in found]
    if gone:
        connection.execute(sa.delete(table).where(table.c.id.in_(gone)))
    for (instance, key), text in found.items():
        if number := known.get((instance, key)):
            connection.execute(sa.update(table).where(table.c.id == number),
                               {'text': text, 'updated_at': now})
        else:
            connection.execute(sa.insert(table), {
                'host': host, 'kind': kind, 'instance_uuid': instance, 'key': key, 'text': text,
                'created_at': now, 'updated_at': now})


def purge(connection: sa.Connection, host: str, since: datetime.datetime,
          until: datetime.datetime, limit: int) -> tuple[int, datetime.datetime | None]:
    """Delete one batch of the transactions of a host that were settled, with their logs.

    :param since: naive UTC; where the batch before has ended. A server keeps what was deleted in
        its index for a while, and would read it again with each batch
    :param until: naive UTC
    :returns: how many, and where the next batch begins; None: there is no other
    """
    found = connection.execute(_OLD, {
        'its_host': host, 'since': since, 'until': until, 'count': limit}).all()
    ids = [number for number, _settled_at in found]
    if ids:
        connection.execute(sa.delete(LINE).where(LINE.c.transaction_id.in_(ids)))
        connection.execute(sa.delete(TABLE).where(COLUMN.id.in_(ids), COLUMN.state == 'settled'))
    return len(ids), found[-1].settled_at if len(ids) == limit else None
