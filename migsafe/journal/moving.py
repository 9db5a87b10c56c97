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
"""Copies what one host has in a journal on a server into a SQLite file, and puts it back.

With both, a journal moves from a file to a server and back: the copy is that of
:mod:`migsafe.journal.backups`, whichever of them it was made of.
"""

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from migsafe import exceptions
from migsafe.journal import backups, errors, files, models, schema, store, whole

#: How many transactions are read at a time.
PAGE = 100
#: One moment for all that is read (mariadb.com/kb, postgresql.org/docs: transaction isolation).
ONE_MOMENT = {'isolation_level': 'REPEATABLE READ'}
Row = dict[str, Any]


def backup(server: store.Store, host: str, copy: str) -> int:
    """Copy what is a host's into a new file; its service may run.

    :param server: that has the journal, opened
    :param copy: path of the file; nothing may be there
    :returns: how many transactions
    :raises JournalUnavailable: nothing of the copy is left
    """
    backups.must_be_free(copy)
    with errors.translated(server.database, f'the backup to {copy}'), \
            backups.prepared(copy) as new:
        with backups.opened(new, copy, schema.JOURNAL) as made, \
                server.engine.connect().execution_options(**ONE_MOMENT) as source:
            count = made.write('the copy', lambda target: _copy(source, target, host))
        backups.as_one_file(new)
        whole.check(new)
        files.publish(new, copy)
    return count


def restore(server: store.Store, host: str, copy: str, mark: backups.Mark) -> int:
    """Put a copy where a server has nothing of a host; it is marked as one of an earlier time.

    :param server: that has the journal, opened
    :param mark: see :func:`migsafe.journal.backups.restore`
    :returns: what ``mark`` does
    :raises JournalUnavailable: also JournalFileCorrupt; nothing is changed
    """
    backups.must_exist(copy)
    with errors.translated(server.database, f'the restoration from {copy}'):
        whole.check(copy)
        with backups.prepared(copy) as new:
            backups.copy_file(copy, new)
            with backups.opened(new, copy, schema.JOURNAL) as made:
                marked = mark(made)
                with made.engine.connect() as source:
                    _must_be_of(source, host, copy)
                    server.write('what is restored', lambda target: _into(
                        source, target, host, server.database))
    return marked


def _into(source: sa.Connection, target: sa.Connection, host: str, database: str) -> int:
    count = _count(target, host)
    if count:
        raise exceptions.JournalUnavailable(
            database=database,
            reason=f'it has {count} transactions of {host}, and nothing is overwritten',
            cure='Keep them with db backup, and delete them there while the service is stopped: '
            f'{_delete(target, host)}')
    return _copy(source, target, host)


def _delete(connection: sa.Connection, host: str) -> str:
    statement = sa.delete(models.TRANSACTIONS).where(models.TRANSACTIONS.c.host == host)
    return str(statement.compile(connection, compile_kwargs={'literal_binds': True}))


def _must_be_of(source: sa.Connection, host: str, copy: str) -> None:
    others = source.scalars(sa.select(models.TRANSACTIONS.c.host).where(
        models.TRANSACTIONS.c.host != host).distinct().limit(5)).all()
    if others:
        raise exceptions.JournalUnavailable(
            database=copy, reason=f'it is not of {host} alone, but of {", ".join(others)}',
            cure='Name the host as its nova-compute was called: migsafe-manage --host HOST db '
            'restore')


def _count(connection: sa.Connection, host: str) -> int:
    return connection.scalar(sa.select(sa.func.count()).select_from(
        models.TRANSACTIONS).where(models.TRANSACTIONS.c.host == host)) or 0


def _copy(source: sa.Connection, target: sa.Connection, host: str) -> int:
    """Copy transactions, their logs and findings; ids are those that the target gives.

    What a service says of itself is not copied: it says so again when it starts.
    """
    count, which = 0, models.FINDINGS.c.host == host
    for row in _pages(source, models.TRANSACTIONS, models.TRANSACTIONS.c.host == host):
        new_id = _insert(target, models.TRANSACTIONS, row)
        _copy_log(source, target, row['id'], new_id)
        count += 1
    known = {_finding(row) for row in _pages(target, models.FINDINGS, which)}
    for row in _pages(source, models.FINDINGS, which):
        if _finding(row) not in known:
            _insert(target, models.FINDINGS, row)
    return count


def _finding(row: Row) -> tuple[str, str, str]:
    return row['kind'], row['instance_uuid'], row['key']


def _copy_log(source: sa.Connection, target: sa.Connection, old: int, new: int) -> None:
    ids: dict[int | None, int] = {}
    for line in _pages(source, models.RECORDS, models.RECORDS.c.transaction_id == old):
        # NOTE: an outcome names its intent, which is an earlier line of the same log.
        ids[line['id']] = _insert(target, models.RECORDS, {
            **line, 'transaction_id': new, 'ref': ids.get(line['ref'])})


def _pages(source: sa.Connection, table: sa.Table,
           which: sa.ColumnElement[bool]) -> Iterator[Row]:
    last = 0
    while page := source.execute(sa.select(table).where(which, table.c.id > last).order_by(
            table.c.id).limit(PAGE)).mappings().all():
        for row in page:
            yield dict(row)
        last = page[-1]['id']


def _insert(target: sa.Connection, table: sa.Table, row: Row) -> int:
    """Insert a row but for its id, and return the one that it has got."""
    made = target.execute(sa.insert(table).values(
        {name: value for name, value in row.items() if name != 'id'})).inserted_primary_key
    if made is None:
        raise TypeError(f'{target.dialect.name} gives no key')
    return int(made[0])
