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
"""Instances in ``migrating`` that no live migration works on, and in ERROR after one that failed.
"""

from __future__ import annotations

import datetime
import itertools
from typing import Any

from nova.compute import vm_states
from nova.conf import CONF
from oslo_log import log as logging
from oslo_utils import timeutils, uuidutils

from migsafe.nova.clients import evidence, failed_moves, left_claims
from migsafe.nova.clients.orphans import Migrating, Orphans
from migsafe.nova.host.participant import SOURCE, Participant
from migsafe.resources import instance_record
from migsafe.text import masked
from migsafe.transaction import remains
from migsafe.transaction.evidence import NO_QEMU
from migsafe.transaction.move import FREED
from migsafe.transaction.verdict import Verdict

LOG = logging.getLogger(__name__)

#: Statuses that a migration has while the conductor still works on it.
CONDUCTORS = frozenset(('accepted', 'pre-migrating', None))


class Adoption:
    """Begins the transactions that were never begun on one host.

    :param participant: this host's participant
    :param manager: its ComputeManager
    """

    def __init__(self, participant: Participant, manager: Any) -> None:
        self._participant, self._manager = participant, manager
        self._records = Orphans(manager)
        self._failed = failed_moves.FailedMoves(manager)
        self._claims = left_claims.LeftClaims()
        self._started = timeutils.utcnow()
        #: instances in Nova's line without a future -> since when that was seen
        self._unsubmitted: dict[str, datetime.datetime] = {}
        #: (instance, when it was written to by a clock that is ahead) -> when that was first seen
        self._ahead: dict[tuple[str, datetime.datetime], datetime.datetime] = {}

    def adopt(self) -> int:
        """Take up the orphans there are now; how many could be."""
        host = self._participant.host
        found = itertools.chain(
            self._records.migrating(host, self._idle),
            self._failed.instances(host, self._unknown))
        return sum(self._try(one) for one in found if self._orphan(one))

    def give_back(self) -> None:
        """What only the source would have given back, of migrations that its journal has not.

        One that has failed is begun here, and settled by evidence as any other.
        """
        held, waits = self._participant.clients.allocations.held, False
        for one in self._claims.page(self._participant.host, self._unknown):
            if one.task and not self._old(one):
                waits = True
            elif self._idle(one.instance_uuid) and (
                    one.task or held(str(one.migration_uuid))):
                if one.migration_status in failed_moves.ENDED:
                    self._try(one)
                elif self._has_gone(one):
                    self._give_back_one(one)
        if not waits:
            self._claims.done()

    def _has_gone(self, found: Migrating) -> bool:
        """Whether this host's own libvirt has no guest, which comes before any record."""
        here = self._participant.clients.guests.evidence(found.instance_uuid)
        gone = here.guest in NO_QEMU and not here.job
        if not gone:
            LOG.warning('Instance %s is not on %s by the record of Nova, but its guest may be: '
                        '%s. What live migration %s has left is not touched; look where it runs '
                        '(virsh list --all)', found.instance_uuid, self._participant.host, here,
                        found.migration_uuid)
        return gone

    def _give_back_one(self, found: Migrating) -> None:
        LOG.warning('Live migration %s of instance %s has arrived on %s, this journal has nothing '
                    'of it, and it is %s with what it has claimed on %s: it is ended',
                    found.migration_uuid, found.instance_uuid, found.dest_host,
                    found.migration_status, self._participant.host)
        journal = self._participant.journal
        tx = journal.begin(str(found.migration_uuid), SOURCE, found.instance_uuid,
                           self._participant.host, found.dest_host,
                           source_boot_id=evidence.boot_id(), migration_id=found.migration_id)
        # The instance is its owner's since then.
        journal.note(tx, FREED)
        tx = journal.verdict(tx, Verdict.COMMIT.value, 'it has arrived by the record of Nova')
        remains.give_back(tx, [], self._participant.clients, journal)
        journal.finish(tx, 'its claim in Placement and its record were left')

    def _unknown(self, migration_uuid: str) -> bool:
        """Whether this host's journal has nothing of a migration from here."""
        return self._participant.journal.get(migration_uuid, SOURCE) is None

    def _try(self, found: Migrating) -> bool:
        """One that cannot be taken does not stop the others."""
        try:
            self._take(found)
        except Exception as error:
            LOG.error('Instance %s is not taken up by recovery and stays as it '
                      'is for now: %s', found.instance_uuid,
                      masked(error))
            return False
        return True

    def _idle(self, instance_uuid: str) -> bool:
        """Whether nothing in this process is about the instance."""
        participant = self._participant
        return not (
            participant.attempts.busy(instance_uuid)
            or self._waits(instance_uuid)
            or participant.journal.unsettled_for_instance(instance_uuid))

    def _waits(self, instance_uuid: str) -> bool:
        """Whether the instance's live migration stands in this process's line, or is at work.

        Nova takes an entry away only when pre_live_migration has succeeded; what is left of one
        that failed has a future that is done. One without a future is about to be submitted,
        or could not be.
        """
        waiting = self._manager._waiting_live_migrations.get(instance_uuid)
        if waiting is None:
            self._unsubmitted.pop(instance_uuid, None)
            return False
        future = waiting[1]
        if future is not None:
            return not future.done()
        since = self._unsubmitted.setdefault(instance_uuid, timeutils.utcnow())
        age = (timeutils.utcnow() - since).total_seconds()
        return bool(age < self._participant.conf.adopt_after)

    def _orphan(self, found: Migrating) -> bool:
        # Since the list was made, it may have begun. One that has come here is its source's, which
        # has made this host the instance's and is not done yet; this journal may be an older one.
        if found.dest_host == self._participant.host or not self._idle(found.instance_uuid):
            return False
        if not found.task:
            return self._unended(found)
        if found.migration_status not in CONDUCTORS:
            return True
        return self._old(found)

    def _unended(self, found: Migrating) -> bool:
        """Whether a migration is on record as going on, and this host neither is nor was at it.

        Its task is gone, so nothing but time tells it from one that is about to come here.
        """
        known = self._participant.journal.get(str(found.migration_uuid), SOURCE)
        return known is None and self._old(found)

    def _old(self, found: Migrating) -> bool:
        now = timeutils.utcnow()
        since = timeutils.normalize_time(found.updated_at) if found.updated_at else self._started
        # NOTE: a time that is to come is that of another clock; then it is counted from the first
        # look, which was not before it.
        age = now - (since if since <= now else self._ahead.setdefault(
            (found.instance_uuid, since), now))
        wait = self._participant.conf.adopt_after
        if not found.dest_host:
            # It is still choosing one, and asks one host after another.
            wait = max(wait, CONF.long_rpc_timeout)
        return bool(age.total_seconds() >= wait)

    def _take(self, found: Migrating) -> None:
        LOG.warning('Instance %s is %s with no live migration going on (migration %s is %s); '
                    'it is settled by evidence', found.instance_uuid,
                    _state(found), found.migration_uuid,
                    found.migration_status)
        captures: list[tuple[str, str, dict[str, Any]]] = [('instance_directory', '', {
            'exists': True, 'shared': self._records.directory_shared(
                found.instance_uuid, found.dest_host)})]
        if isinstance(found, failed_moves.Failed):
            captures.append(('instance_record', instance_record.ADOPTED, {
                'vm_state': vm_states.ACTIVE}))
        tx = self._participant.journal.begin(
            self._uuid(found), SOURCE, found.instance_uuid,
            self._participant.host, found.dest_host,
            source_boot_id=evidence.boot_id(),
            migration_id=found.migration_id,
            captures=captures)
        if not (found.task or isinstance(found, failed_moves.Failed)):
            # Its owner may attach or detach now, and what is new looks just like what is left.
            self._participant.journal.note(tx, FREED)

    def _uuid(self, found: Migrating) -> str:
        """The migration's uuid, unless that one is closed already: then
        only the instance is left, under a transaction of its own."""
        uuid = found.migration_uuid
        closed = uuid and self._participant.journal.get(uuid, SOURCE)
        return uuid if uuid and not closed else uuidutils.generate_uuid()


def _state(found: Migrating) -> str:
    if isinstance(found, failed_moves.Failed):
        return 'in ERROR while its guest runs'
    return 'in migrating' if found.task else 'at nothing'
