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
"""Recovery: at start of nova-compute, and then periodically."""

from __future__ import annotations

import concurrent.futures
import contextvars
import datetime
import functools
import random
import threading
from collections.abc import Callable
from typing import Any

from nova.conf import CONF
from oslo_log import log as logging
from oslo_utils import timeutils, uuidutils

from migsafe.journal import records as jr
from migsafe.nova import evidence as nova_evidence
from migsafe.nova import participant as pt
from migsafe.nova.clients import records as nova_records
from migsafe.text import masked

LOG = logging.getLogger(__name__)

#: Statuses that a migration has while the conductor still works on it.
CONDUCTORS = frozenset(('accepted', 'pre-migrating', None))
#: Seconds between two looks at the journal while something is unsettled.
POLL = 2.0
PURGE_INTERVAL = datetime.timedelta(hours=24)


class Recovery:
    """Takes up everything unsettled of one host, a bounded amount at a time.

    :param participant: this host's participant
    :param manager: its ComputeManager
    :param heartbeat: called once a round, to say that this host is alive
    """

    def __init__(self, participant: pt.Participant, manager: Any,
                 heartbeat: Callable[[], None]) -> None:
        self._participant, self._manager = participant, manager
        self._heartbeat = heartbeat
        self._records = nova_records.Records(manager)
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._one_at_a_time = threading.Lock()
        self._purged: datetime.datetime | None = None
        self._started = timeutils.utcnow()

    def start(self) -> None:
        """Begin, in a thread that ends with the process."""
        context = contextvars.copy_context()
        self._thread = threading.Thread(
            target=context.run, args=(self._run,), name='migsafe-recovery',
            daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End after what is being settled now."""
        self._stop.set()
        self._wake.set()

    def join(self, timeout: float) -> None:
        """Wait up to ``timeout`` seconds for the end after :meth:`stop`."""
        if self._thread is not None:
            self._thread.join(timeout)

    def nudge(self) -> None:
        """Something was just left unsettled: do not sleep the interval out.
        """
        self._wake.set()

    def _run(self) -> None:
        while not self._stop.is_set():
            full = False
            try:
                full = self.round(timeutils.utcnow)
            except Exception as error:
                LOG.error('Recovery of live migrations on %s failed and is '
                          'tried again: %s', self._participant.host,
                          masked(error))
            self._wake.wait(0.1 if full else self._pause())
            self._wake.clear()

    def _pause(self) -> float:
        """Seconds to the next round, with jitter: short while something is
        unsettled, whose own backoff says when it is due."""
        interval = float(self._participant.conf.recovery_interval)
        try:
            if self._participant.journal.unsettled(limit=1):
                interval = min(interval, POLL)
        except Exception as error:
            LOG.error('Journal of %s cannot be read: %s',
                      self._participant.host, masked(error))
        return interval * random.uniform(0.8, 1.2)

    def once(self) -> None:
        """One pass over everything unsettled, whether due or not."""
        self.round(None)

    def round(self, now: Callable[[], datetime.datetime] | None) -> bool:
        """One round.

        :param now: settle only what is due; None settles everything
        :returns: whether more is due than one round takes up
        """
        with self._one_at_a_time:
            for step in (self._heartbeat, self._adopt, self._kept, self._purge):
                self._try(step)
            return self._settle(now() if now else None)

    def _try(self, step: Callable[[], None]) -> None:
        """What is in the journal is settled whatever else fails."""
        try:
            step()
        except Exception as error:
            LOG.error('Recovery of live migrations on %s goes on without '
                      'this: %s', self._participant.host, masked(error))

    def _settle(self, due: datetime.datetime | None) -> bool:
        """In pages, so that memory is bounded whatever has piled up."""
        journal, conf = self._participant.journal, self._participant.conf
        after_id = 0
        with concurrent.futures.ThreadPoolExecutor(
                conf.recovery_workers,
                thread_name_prefix='migsafe-recovery') as pool:
            while True:
                page = journal.unsettled(
                    due_before=due, limit=conf.recovery_batch,
                    after_id=after_id)
                concurrent.futures.wait([
                    pool.submit(contextvars.copy_context().run, self._one, tx)
                    for tx in page])
                full: bool = len(page) == conf.recovery_batch
                if due is not None or not full:
                    return full
                after_id = page[-1].id

    def _one(self, tx: jr.Transaction) -> None:
        """One transaction that cannot be settled does not stop the others."""
        try:
            if not self._participant.attempts.live(tx.uuid):
                self._participant.settle(tx)
        except Exception as error:
            LOG.error('Transaction %s of host %s is held: %s', tx.id,
                      self._participant.host, masked(error))
            self._hold(tx, masked(error))

    def _hold(self, tx: jr.Transaction, reason: str) -> None:
        try:
            self._participant.journal.postpone(
                tx, self._participant.conf.recovery_backoff_max, reason)
        except Exception as error:
            LOG.error('Transaction %s could not be postponed: %s', tx.id,
                      masked(error))

    def _kept(self) -> None:
        """Devices of no migration that had to stay, with their exports."""
        if self._participant.kept is not None:
            self._participant.kept.settle()

    def _adopt(self) -> None:
        """Instances in ``migrating`` that nobody works on."""
        for found in self._records.migrating(self._participant.host):
            if self._orphan(found):
                self._try(functools.partial(self._take, found))

    def _orphan(self, found: nova_records.Migrating) -> bool:
        participant = self._participant
        if participant.attempts.busy(found.instance_uuid):
            return False
        if found.instance_uuid in self._manager._waiting_live_migrations:
            return False
        if participant.journal.unsettled_for_instance(found.instance_uuid):
            return False
        if found.migration_status not in CONDUCTORS:
            return True
        age = timeutils.utcnow() - (
            timeutils.normalize_time(found.updated_at) if found.updated_at
            else self._started)
        wait = participant.conf.adopt_after
        if not found.dest_host:
            # It is still choosing one, and asks one host after another.
            wait = max(wait, CONF.long_rpc_timeout)
        return bool(age.total_seconds() >= wait)

    def _take(self, found: nova_records.Migrating) -> None:
        LOG.warning('Instance %s is in migrating with no live migration '
                    'going on (migration %s is %s); it is settled by '
                    'evidence', found.instance_uuid, found.migration_uuid,
                    found.migration_status)
        self._participant.journal.begin(
            self._uuid(found), pt.SOURCE, found.instance_uuid,
            self._participant.host, found.dest_host,
            source_boot_id=nova_evidence.boot_id(),
            migration_id=found.migration_id,
            captures=[('instance_directory', '', {
                'exists': True,
                'shared': self._records.directory_shared(
                    found.instance_uuid, found.dest_host)})])

    def _uuid(self, found: nova_records.Migrating) -> str:
        """The migration's uuid, unless that one is closed already: then
        only the instance is left, under a transaction of its own."""
        uuid = found.migration_uuid
        closed = uuid and self._participant.journal.get(uuid, pt.SOURCE)
        return uuid if uuid and not closed else uuidutils.generate_uuid()

    def _purge(self) -> None:
        days = self._participant.conf.retention_days
        now = timeutils.utcnow()
        if not days or (self._purged and now - self._purged < PURGE_INTERVAL):
            return
        self._purged = now
        self._participant.journal.purge(now - datetime.timedelta(days=days))
