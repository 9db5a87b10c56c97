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
"""Journals of the hosts: real ones, on SQLite in memory, used again for each schedule.

The statements are those of the journal. What makes it durable on a disk, what lets several
processes share a file, and a connection for each call cost a schedule more than all else, and
are left out: tests/functional is about them. What a host has read is kept until something is
written to its journal; nothing but this process writes to it.
"""

import functools

import sqlalchemy as sa
from sqlalchemy import pool

from migsafe.journal import api, errors, models, store
from migsafe.tests.search import sql

TABLES = tuple(reversed(models.Base.metadata.sorted_tables))


class MemoryStore(store.Store):
    """A store without a file; it is told when it is used."""

    def __init__(self, host):
        super().__init__(sa.URL.create('sqlite'), 0, f'journal of {host}')
        self.engine = sa.create_engine('sqlite://', poolclass=pool.StaticPool)
        models.Base.metadata.create_all(self.engine)
        self._open = self.engine.connect()
        # Between two calls there is no transaction in it.
        self._direct = self._open.connection.driver_connection
        self._quick = sql.Connection(self._open, self._direct)
        self.host, self.use, self.changed = host, lambda what: None, True
        self.synced = None
        self.touched, self.known = False, {}

    def write(self, what, work, synced=True):
        self.use('journal')
        self.written()
        self.touched = True
        if not synced and self.synced is None:
            self.synced = self._direct.serialize()
        with errors.translated(self.database, what):
            try:
                result = work(self._quick)
                self._quick.commit()
                self.synced = None if synced else self.synced
                return result
            except BaseException:
                self._quick.rollback()
                raise

    def read(self, what, work):
        self.use('')
        try:
            return work(self._quick)
        finally:
            self._quick.rollback()

    def power_cut(self):
        """What was written since the last write that waited for the disk is gone."""
        if self.synced is not None:
            self._direct.deserialize(self.synced)
            self.synced = None
            self.written()

    def written(self):
        """What is known of its content is not so any more."""
        self.changed = True
        self.known.clear()

    def check_file(self):
        self.use('')

    def sql(self, statement, values=()):
        """Behind the journal's back."""
        found = self._direct.execute(statement, values).fetchall()
        if not statement.startswith('SELECT'):
            self._direct.commit()
            self.written()
        return found


def _kept(name):
    """A query whose answer stands until something is written; its records are frozen."""
    query = getattr(api.Journal, name)

    @functools.wraps(query)
    def ask(self, *args, **kwargs):
        self._store.use('')  # also where nothing is asked of the store
        key = (name, *args, *sorted(kwargs.items()))
        if key not in self._store.known:
            self._store.known[key] = query(self, *args, **kwargs)
        found = self._store.known[key]
        return found.copy() if isinstance(found, (list, dict)) else found
    return ask


class Journal(api.Journal):
    """The journal, which does not ask its database twice for the same."""

    get, records, list, refresh, statuses = map(_kept, (
        'get', 'records', 'list', 'refresh', 'statuses'))
    unsettled_for_instance, _any_time = map(_kept, ('unsettled_for_instance', 'unsettled'))

    def unsettled(self, *, due_before=None, limit=100, **more):
        """That of any time is known; what is due of it is another question each time."""
        found = [tx for tx in self._any_time(limit=1000, **more)
                 if due_before is None or tx.next_attempt_at <= due_before]
        return found[:limit]


class Shelf:
    """The stores of a process."""

    def __init__(self):
        self._stores = {}

    def empty(self, host):
        """The store of a host, with nothing in it."""
        found = self._stores.setdefault(host, None) or MemoryStore(host)
        self._stores[host] = found
        for table in TABLES:
            found.sql(f'DELETE FROM {table.name}')
        found.sql('DELETE FROM sqlite_sequence')
        found.synced = None
        return found


SHELF = Shelf()


def journal(found, use):
    """A Journal of a process that has just started.

    :param use: called before each use with 'journal' for a write
    """
    found.use = use
    return Journal(found, found.host)


def snapshot(found):
    """All rows, as a backup has them."""
    return {table.name: found.sql(f'SELECT * FROM {table.name}') for table in TABLES}


def restore(found, rows):
    """What an operator does with a backup."""
    for table in TABLES:
        found.sql(f'DELETE FROM {table.name}')
    for table in reversed(TABLES):
        for row in rows[table.name]:
            marks = ','.join('?' * len(row))
            found.sql(f'INSERT INTO {table.name} VALUES ({marks})', row)


def unsettled(found, instance):
    """Transactions of an instance that are not settled: (uuid, role, verdict)."""
    return found.sql(f'SELECT uuid, role, verdict, reason FROM migsafe_transactions WHERE '
                     f'instance_uuid = ? AND {models.UNSETTLED}', (instance,))


def any_unsettled(found):
    """Whether recovery has something to do."""
    return bool(found.sql(
        f'SELECT 1 FROM migsafe_transactions WHERE {models.UNSETTLED} LIMIT 1'))


def any_due(found, now):
    """Whether it is time for some of that."""
    return bool(found.sql(
        f'SELECT 1 FROM migsafe_transactions WHERE {models.UNSETTLED} AND next_attempt_at <= ? '
        'LIMIT 1', (now.strftime(models.TIME_FORMAT),)))


def decided(found):
    """(uuid, role) -> the verdict, of what is decided.

    A host that has no part in a migration may have been told that it is over; that is no verdict
    of its own, unless it hides one that it has in another role.
    """
    rows = found.sql("SELECT uuid, role, verdict, source_host FROM migsafe_transactions "
                     "WHERE verdict IN ('COMMIT', 'ABORT')")
    own = {uuid for uuid, _, _, source in rows if source}
    return {(uuid, role): verdict for uuid, role, verdict, source in rows
            if source or uuid in own}


def named_a_directory(found):
    """Whether an operator was told of a directory that stays, for a migration of which this
    journal captured nothing: the host had not the plugin then, or has lost its journal since."""
    return bool(found.sql(
        "SELECT 1 FROM migsafe_records n WHERE n.kind = 'note' AND n.text LIKE '% stays on %' "
        "AND NOT EXISTS (SELECT 1 FROM migsafe_records c WHERE c.kind = 'capture' "
        "AND c.transaction_id = n.transaction_id)"))


def named_attachments(found):
    """Attachments that an operator was told of, because a later operation has brought the instance
    back to the host that they are of."""
    return {row[0] for row in found.sql(
        "SELECT key FROM migsafe_findings WHERE kind = 'R2-left'")}
