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
"""The parts of a journal beside its transactions, such as the services' reports."""

import copy
import datetime
import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Self, TypeVar

import sqlalchemy as sa
from oslo_utils import timeutils

from migsafe.journal import blanking, models, reader, reads, values, writes

T = TypeVar('T')
PURGE_BATCH = 100
#: No clock says what is earlier.
NEVER = datetime.datetime(1970, 1, 1)


class Upkeep(reader.JournalReader):
    """The writing that belongs to a host and not to a transaction; see :class:`.api.Journal`."""

    _synced = True

    @property
    def unsynced(self) -> Self:
        """The same journal, whose calls do not wait for the disk.

        What it writes is seen by all and survives a kill. It is durable with the next call of
        the journal itself, and until then a power cut takes it away; see
        :func:`migsafe.journal.engine.unsynced`. It is for what is not missed then.
        """
        other = copy.copy(self)
        other._synced = False
        return other

    def _commit(self, label: str, work: Callable[[sa.Connection], T]) -> T:
        """Run ``work`` in one commit; every mutation goes through here."""
        return self._store.write(label, work, self._synced)

    def set_status(self, *, armed: bool, pid: int, boot_id: str, plugin_version: str,
                   nova_version: str, concurrency: str, seams: Iterable[Any] = (),
                   detail: str = '', started: int | None = None) -> None:
        """Say for ``migsafe status`` whether this nova-compute is armed, and what it is.

        :param started: when the process began, in clock ticks since boot
        :param seams: anything JSON can hold, one entry per seam
        """
        what = 'the status'
        fields = {
            'armed': int(armed), 'pid': pid, 'started': started,
            'boot_id': values.prose(boot_id)[:64],
            'plugin_version': values.prose(plugin_version)[:64],
            'nova_version': values.prose(nova_version)[:64],
            'concurrency': values.prose(concurrency)[:32],
            'seams': values.dump(what, list(seams)), 'detail': values.prose(detail),
            'updated_at': timeutils.utcnow()}
        self._commit(what, lambda connection: writes.upsert(
            connection, models.SERVICES, self.host, fields))

    def check_writable(self) -> None:
        """Commit a line for no other purpose than to know that it can be done.

        :raises JournalUnavailable: it cannot, or there is too little room, or the file has
            become insecure; the message names the file
        """
        self._store.check_file()
        self._commit('a test of writing', lambda connection: writes.upsert(
            connection, models.PROBES, self.host, {'checked_at': timeutils.utcnow()}))

    def check_whole(self) -> None:
        """Read all of the file; see :meth:`migsafe.journal.store.Store.check_whole`.

        :raises JournalFileCorrupt: no migration is begun from then on
        """
        self._store.check_whole()

    def purge(self, older_than: datetime.datetime, *, all_hosts: bool = False) -> int:
        """Delete transactions settled before ``older_than``; unsettled ones are never touched.

        :param older_than: naive UTC
        :returns: how many; deleted in batches, so that no other writer has to wait long
        """
        total = sum(self._purge(host, older_than) for host in (
            self._store.read('reading the hosts', reads.hosts) if all_hosts else [self.host]))
        self._store.truncate_log()
        return total

    def _purge(self, host: str, older_than: datetime.datetime) -> int:
        since: datetime.datetime | None = NEVER
        total = 0
        while since is not None:
            count, since = self._commit('purging', functools.partial(
                writes.purge, host=host, since=since, until=older_than, limit=PURGE_BATCH))
            total += count
        return total

    def blank(self, older_than: datetime.datetime, *, since: datetime.datetime = NEVER) -> None:
        """Take connections and secrets out of what this host settled before ``older_than``.

        Nothing of a settled transaction is undone or repeated, and its log still says what was
        done to which volume.

        :param since: naive UTC; what was settled earlier has been done
        """
        blanking.blank(self._store, self.host, since, older_than)
        self._store.truncate_log()

    def set_findings(self, kind: str, found: Mapping[tuple[str, str], str]) -> None:
        """Say what a look at the devices of this host has found; what it did not find is gone.

        :param kind: a residue kind, such as R9
        :param found: (instance uuid, key such as a volume id) -> what was found
        """
        clean = {(values.prose(instance)[:64], values.prose(key)[:255]): values.prose(text)
                 for (instance, key), text in found.items()}
        self._commit('findings', lambda connection: writes.replace_findings(
            connection, self.host, values.prose(kind)[:16], clean, timeutils.utcnow()))
