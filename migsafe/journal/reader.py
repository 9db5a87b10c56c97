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
"""The half of the journal that only reads."""

import datetime

from migsafe.journal import places, reads, separation
from migsafe.journal.records import Finding, Record, ServiceStatus, Transaction
from migsafe.journal.store import Store

Transactions = list[Transaction]


class JournalReader:
    """Queries of a journal; lists are paged, pass the last id as ``after_id`` to go on.

    A row that cannot be read is part of every list it belongs to; JournalCorrupt is raised only
    when one of its unreadable fields is looked at.

    :param store: an opened store whose schema was checked
    :param host: as in nova.conf
    """

    def __init__(self, store: Store, host: str) -> None:
        self.host = host
        self._store = store

    @property
    def database(self) -> str:
        """Path of the file, or URL without the password."""
        return self._store.database

    def _scope(self, all_hosts: bool) -> str | None:
        return None if all_hosts else self.host

    def get(self, uuid: str, role: str | None = None, *,
            all_hosts: bool = False) -> Transaction | None:
        """Return the transaction with this migration uuid, None if there is none."""
        return self._store.read('reading a transaction', lambda connection: reads.get(
            connection, self.database, self._scope(all_hosts), uuid, role))

    def refresh(self, tx: Transaction) -> Transaction | None:
        """Return ``tx`` as it is now, of whatever host; None if it was purged."""
        return self._store.read('reading a transaction', lambda connection: reads.by_id(
            connection, self.database, tx.id))

    def unsettled(self, *, due_before: datetime.datetime | None = None, limit: int = 100,
                  after_id: int = 0, all_hosts: bool = False,
                  longest: float | None = None) -> Transactions:
        """Return a page of what is not settled, oldest first.

        :param due_before: naive UTC; only what is due by then
        :param longest: seconds that anything is ever postponed for; what is not due until after
            that was written by a clock that was ahead, and is due, too
        """
        return self._store.read('reading what is unsettled', lambda connection: reads.unsettled(
            connection, self.database, self._scope(all_hosts), due_before, limit, after_id,
            longest))

    def unsettled_for_instance(self, instance_uuid: str) -> Transactions:
        """Return what is not settled of one instance on this host."""
        return self._store.read(
            'reading what is unsettled', lambda connection: reads.unsettled_for_instance(
                connection, self.database, self.host, instance_uuid))

    def records(self, tx: Transaction, *, kinds: tuple[str, ...] | None = None,
                limit: int | None = None, after_id: int = 0) -> list[Record]:
        """Return the log of a transaction in the order it was written.

        :param kinds: only these kinds of lines
        """
        return self._store.read('reading a log', lambda connection: reads.log(
            connection, self.database, tx.id, kinds, limit, after_id))

    def logs(self, transactions: Transactions,
             kinds: tuple[str, ...]) -> dict[int, list[Record]]:
        """Return the lines of these kinds of a page of transactions, by the id of each."""
        return self._store.read('reading logs', lambda connection: reads.logs(
            connection, self.database, [tx.id for tx in transactions], kinds))

    def statuses(self, all_hosts: bool = False) -> list[ServiceStatus]:
        """Return what nova-compute said of itself, here or on every host of this database."""
        return self._store.read('reading the status', lambda connection: reads.statuses(
            connection, self.database, self._scope(all_hosts)))

    def count_unsettled(self) -> dict[str, tuple[int, int]]:
        """Return per host of this database how many are unsettled, and how many of them held."""
        return self._store.read('counting', reads.count_unsettled)

    def findings(self, *, kind: str | None = None, all_hosts: bool = False,
                 limit: int = 1000) -> list[Finding]:
        """Return what the last looks at the devices found, here or on every host.

        :param kind: all of one, for who writes them back: what he does not read is deleted then
        """
        return self._store.read('reading what was found', lambda connection: reads.findings(
            connection, self.database, self._scope(all_hosts), kind, limit))

    def reach(self) -> str | None:
        """Return what the account of this journal can get at that is another host's.

        None is for nothing, as with a file, which is one host's alone.
        """
        if self._store.path is not None:
            return None
        return self._store.read('looking at what its account can reach', lambda connection:
                                separation.reach(connection, self.host))

    def oddities(self) -> list[str]:
        """Return what is odd about where the journal is, and who else writes to it."""
        return places.oddities(self._store.path, self.statuses())

    def check_answered(self) -> None:
        """Look, after reading, whether it was the journal that this process has written.

        To be called before another host is told of it.

        :raises JournalRewound: a server is at an earlier time
        """
        self._store.check_answered()

    def check_readable(self) -> None:
        """Check owner, modes and room of a SQLite file, and read from the database.

        :raises JournalUnavailable: it cannot be read, or must not be trusted
        """
        self._store.check_file()
        self.statuses()

    def close(self) -> None:
        """Let go of the database."""
        self._store.close()

    # NOTE: the last method, because below it the name means this method to type checkers.
    def list(self, state: str | None = None, instance_uuid: str | None = None, limit: int = 100,
             after_id: int = 0, all_hosts: bool = False,
             newest: bool = False) -> Transactions:
        """Return a page of all transactions, oldest first unless ``newest`` is set."""
        filters = {'state': state, 'instance_uuid': instance_uuid}
        return self._store.read('listing', lambda connection: reads.page(
            connection, self.database, self._scope(all_hosts), filters, limit, after_id, newest))
