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
"""Journals of the hosts: real ones, on SQLite in memory, used again for each schedule."""

import sqlalchemy as sa
from sqlalchemy import pool

from migsafe.journal import api, engine, models, store

TABLES = tuple(reversed(models.Base.metadata.sorted_tables))


class MemoryStore(store.Store):
    """A store without a file; it is told when it is used."""

    def __init__(self, host):
        super().__init__(sa.URL.create('sqlite'), 0, f'journal of {host}')
        self.engine = sa.create_engine('sqlite://', poolclass=pool.StaticPool)
        engine._listen_sqlite(self.engine)
        models.Base.metadata.create_all(self.engine)
        # The pool has one connection; between two calls there is no transaction in it.
        self._direct = self.engine.raw_connection().driver_connection
        self.host, self.use, self.changed = host, lambda what: None, True
        self.touched = False

    def write(self, what, work):
        self.use('journal')
        self.changed = self.touched = True
        return super().write(what, work)

    def read(self, what, work):
        self.use('')
        return super().read(what, work)

    def check_file(self):
        self.use('')

    def sql(self, statement, values=()):
        """Behind the journal's back."""
        found = self._direct.execute(statement, values).fetchall()
        if not statement.startswith('SELECT'):
            self._direct.commit()
        return found


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
        found.changed = True
        return found


SHELF = Shelf()


def journal(found, use):
    """A Journal of a process that has just started.

    :param use: called before each use with 'journal' for a write
    """
    found.use = use
    return api.Journal(found, found.host)


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
    found.changed = True


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
