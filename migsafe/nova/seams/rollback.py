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
"""Whether Nova's rollback of a live migration may go on at its destination.

It destroys the domain, disconnects its volumes and removes its directory,
whatever is there. The message is a cast: it comes when it comes, and may meet
the guest itself, the next attempt, or an evacuation to this host.
"""

from __future__ import annotations

from typing import Any

from oslo_log import log as logging

from migsafe import exceptions
from migsafe.journal.records import Transaction
from migsafe.nova.host.participant import DESTINATION, Participant
from migsafe.text import masked
from migsafe.transaction.evidence import NO_QEMU, GuestState, HostEvidence
from migsafe.transaction.verdict import DECIDED, Verdict

LOG = logging.getLogger(__name__)
G = GuestState
OPEN, NO_JOURNAL = 'no verdict', 'no journal'
ABORT = Verdict.ABORT.value

#: (the guest here, what this host's journal says of that migration) for which
#: it may go on. Before the verdict only a copy that is still coming in: where
#: there is no domain, what was connected and made here is in the journal, and
#: the settlement takes it away. Without a journal, which comes before all else,
#: nothing of it is here but what the conductor has made, the port binding.
ALLOWED = frozenset({
    (G.ABSENT, ABORT),
    (G.ABSENT, NO_JOURNAL),
    (G.IN_TRANSFER, ABORT),
    (G.IN_TRANSFER, OPEN),
})
#: With ``[migsafe] enforce = false`` a migration may come in without a journal,
#: and then nobody else cleans up.
UNPROTECTED = frozenset({
    (G.IN_TRANSFER, NO_JOURNAL),
})


def refusal(participant: Participant, instance_uuid: str,
            migration: Any) -> str | None:
    """Why it must not go on, in words for an operator; None if it may.

    :param migration: the migration that is rolled back; None for one whose
        source does not say which
    """
    here = participant.clients.guests.evidence(instance_uuid)
    own = None
    try:
        own = _own(participant, instance_uuid, migration)
        uuid = migration.uuid if migration else (own.uuid if own else '')
        other = _another(participant, instance_uuid, uuid)
        if other:
            return other
    except exceptions.JournalError as error:
        return _unjournalled(participant, here, error)
    try:
        return _not_allowed(participant, here, _heard(participant, here, own))
    except exceptions.JournalError as error:
        return None if own is not None and on_its_own(participant, own) \
            else _unjournalled(participant, here, error)


def _unjournalled(participant: Participant, here: HostEvidence,
                  error: exceptions.JournalError) -> str | None:
    if participant.conf.enforce or here.guest not in (G.ABSENT, G.IN_TRANSFER):
        return f'{masked(error)} [{here}]'
    return None


def on_its_own(participant: Participant, tx: Transaction) -> bool:
    """Whether a source without migsafe goes back, for a journal that cannot be written.

    Then it takes the exports away whatever this host does, and nobody cleans up later. What Nova
    does is no worse than what it leaves else: no guest is here, and the guard of os-brick still
    removes nothing that is in use or not its volume.

    :param tx: this host's transaction, as it was begun
    """
    if not tx.source_host or tx.verdict == Verdict.COMMIT.value:
        return False
    here = participant.clients.guests.evidence(tx.instance_uuid)
    return here.guest in NO_QEMU and not here.job \
        and participant.clients.peer.unarmed(tx.source_host, tx.uuid)


def ended(participant: Participant, instance_uuid: str, migration: Any) -> None:
    """Write down what the message says of the end, once Nova has destroyed a copy that was there.

    What cannot be done now is left to recovery.
    """
    try:
        _heard(participant, participant.clients.guests.evidence(instance_uuid),
               _own(participant, instance_uuid, migration))
    except Exception as error:
        LOG.warning('That the live migration of instance %s to %s was rolled back is not '
                    'journalled, and left to recovery: %s', instance_uuid, participant.host,
                    masked(error))


def given_up(participant: Participant, tx: Transaction, request_id: str) -> bool:
    """Whether a source without migsafe has given up a migration whose copy is still here.

    It deletes the exports next, from under what has them open, whatever this host does; Nova
    detaches the volumes from the copy first, and destroys that at the end. A message of an
    earlier attempt, which is late, is of another request, and its source may be sending.

    :param tx: this host's transaction
    :param request_id: of the request to which the message belongs
    """
    if tx.state == 'settled' or tx.verdict == Verdict.COMMIT.value or not tx.source_host:
        return False
    here = participant.clients.guests.evidence(tx.instance_uuid)
    own = participant.engine.history(tx).capture('instance_record').get('request_id')
    return here.guest is G.IN_TRANSFER and bool(own) and own == request_id \
        and participant.clients.peer.unarmed(tx.source_host, tx.uuid)


def writable(participant: Participant) -> str | None:
    """Why the journal cannot be written; None if it can be."""
    try:
        # What only a sync would tell, the begin of a migration is told, and nothing is done.
        participant.journal.unsynced.check_writable()
    except (exceptions.JournalError, OSError) as error:
        return masked(error)
    return None


def _own(participant: Participant, instance_uuid: str,
         migration: Any) -> Transaction | None:
    """This host's transaction of the migration."""
    journal = participant.journal
    if migration:
        found: Transaction | None = journal.get(migration.uuid,
                                                   DESTINATION)
        return found
    newest = journal.list(instance_uuid=instance_uuid, newest=True)
    return max((tx for tx in newest if tx.role == DESTINATION),
               key=lambda tx: tx.id, default=None)


def _heard(participant: Participant, here: HostEvidence,
           own: Transaction | None) -> Transaction | None:
    """This host's transaction, after what the message says of its end.

    A source without migsafe says it in no other way when pre_live_migration has failed, or its
    answer was lost. It comes after all else that Nova does to go back, so that what was made here
    is nobody's any more. A source with migsafe leads, and says it in its own way.
    """
    if own is None or own.verdict in DECIDED or here.guest is not G.ABSENT:
        return own
    source = participant.clients.peer.describe(own.source_host, own.uuid)
    if source is not None and source['known']:
        return own
    participant.release(own.uuid, own.instance_uuid, Verdict.ABORT, novas=True, alone=True)
    now: Transaction | None = participant.journal.get(own.uuid, DESTINATION)
    return now


def _not_allowed(participant: Participant, here: HostEvidence,
                 own: Transaction | None) -> str | None:
    said = NO_JOURNAL if own is None else (
        own.verdict if own.verdict in DECIDED else OPEN)
    allowed = ALLOWED if participant.conf.enforce else ALLOWED | UNPROTECTED
    if (here.guest, said) in allowed:
        return None
    return f'{here}; the journal of {participant.host} has {said} for it'


def _another(participant: Participant, instance_uuid: str,
             uuid: str) -> str | None:
    """What else on this host the instance may have a part in."""
    if participant.attempts.busy(instance_uuid):
        return f'{participant.host} is at a live migration of it just now'
    for tx in participant.journal.unsettled_for_instance(instance_uuid):
        if tx.uuid != uuid:
            return f'its live migration {tx.uuid} is not settled'
    records = participant.clients.records
    now = records.instance(instance_uuid)
    if now is not None and now.host == participant.host:
        return f'{participant.host} is the host of the instance'
    other = records.moving_to(instance_uuid, participant.host, uuid)
    return other and f'migration {other} brings it to {participant.host}'
