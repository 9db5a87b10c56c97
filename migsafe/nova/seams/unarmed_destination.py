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
"""What a source does for a destination without migsafe.

It has to know whether the destination has answered the request to prepare: then its part is
over, well or not, and it writes nothing more. It does not say that again.
"""

from __future__ import annotations

from typing import Any

from migsafe.nova.bus import peer
from migsafe.nova.host import attempt as host_attempt
from migsafe.nova.host.participant import BEFORE_DONE, Participant
from migsafe.resources import unarmed_loser
from migsafe.transaction.evidence import GuestState
from migsafe.transaction.verdict import Verdict


def pre_live_migration(wrapped: Any, api: Any, args: Any, kwargs: Any) -> Any:
    """A wrapt wrapper of the message."""
    attempt = host_attempt.current()
    try:
        result = wrapped(*args, **kwargs)
    except Exception as error:
        if attempt is not None:
            attempt.answered = peer.answered(error)
        raise
    if attempt is not None:
        attempt.answered = True
    return result


def note(participant: Participant, attempt: host_attempt.Attempt) -> None:
    """Write it down before it is needed, which is on the way back only.

    :raises JournalError: when it cannot be written
    """
    if attempt.answered and attempt.tx is not None:
        participant.journal.unsynced.note(attempt.tx, unarmed_loser.ANSWERED)
        attempt.answered = False


def clean_up(participant: Participant, manager: Any, attempt: host_attempt.Attempt,
             call: dict[str, Any]) -> str | None:
    """Send Nova's message that removes directory and bindings there, when Nova itself did not.

    Its way back was stopped before that (see :func:`source.rollback_volume_bdms`), and nobody else
    can remove them. It comes as late as Nova's own would, when the rows are right, and before the
    instance is given back: after that it could meet the next attempt. Recovery tries again what
    cannot be done now, as long as this process lives: a journal that cannot be written, or a bus
    that is down, is no answer.

    :returns: why the settlement has to wait for it; None if it need not
    :raises JournalError: when the journal cannot be read or written
    """
    assert attempt.tx is not None
    participant.unwritten.setdefault(
        attempt.uuid, lambda: clean_up(participant, manager, attempt, call))
    tx = participant.journal.get(attempt.tx.uuid, attempt.tx.role) or attempt.tx
    if tx.state == 'settled':
        participant.unwritten.pop(tx.uuid, None)
        return None
    attempt.flush()
    note(participant, attempt)
    if unarmed_loser.ANSWERED not in participant.engine.history(tx).notes \
            or not participant.clients.peer.unarmed(call['dest'], tx.uuid):
        return None
    outcome = participant.settle(tx, wait=participant.conf.quiesce_timeout, points=BEFORE_DONE)
    here = participant.clients.guests.evidence(tx.instance_uuid)
    if outcome is None or outcome.verdict is not Verdict.ABORT \
            or here.guest is not GuestState.HERE or here.job:
        return None
    if outcome.records_wrong:
        # They may be right the next time, and then the instance would be given back without it.
        return '; '.join(sorted(outcome.held.values()))
    instance, data = call['instance'], call['migrate_data']
    wanted, destroy_disks = manager._live_migration_cleanup_flags(
        data, migr_ctxt=instance.migration_context)
    if wanted:
        manager.compute_rpcapi.rollback_live_migration_at_destination(
            call['context'], instance, call['dest'], destroy_disks=destroy_disks,
            migrate_data=data)
    participant.unwritten.pop(tx.uuid, None)
    return None
