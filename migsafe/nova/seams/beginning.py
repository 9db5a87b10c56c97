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
"""How a source begins the transaction of a live migration."""

from __future__ import annotations

from typing import Any

from nova import exception
from nova.compute import task_states
from oslo_utils import uuidutils

from migsafe.journal.records import Transaction
from migsafe.nova.clients import evidence as clients_evidence
from migsafe.nova.clients import records
from migsafe.nova.host import attempt as host_attempt
from migsafe.nova.host import lease
from migsafe.nova.host.participant import SOURCE, Participant
from migsafe.text import shell
from migsafe.transaction.move import FREED
from migsafe.transaction.subject import Subject


def begin(participant: Participant, attempt: host_attempt.Attempt,
          call: dict[str, Any], bdms: Any) -> None:
    """Journal what is true now.

    :raises nova.exception.MigrationError: recovery has taken it up before
        it came here, and settles it or has settled it
    """
    instance = call['instance']
    data = call.get('migrate_data')
    why = _moved(participant, call, attempt.uuid) if lease.waited(instance) else ''
    subject = Subject(
        instance=records.instance_row(instance),
        # If it was moved, the rows are those of another host.
        volumes=[records.volume_row(b) for b in bdms
                 if b.is_volume and b.volume_id and not why],
        directory_exists=True, directory_shared=shared_path(data),
        request_id=request_id(call))
    tx = _journalled(participant, call, attempt.uuid,
                     participant.engine.captures(subject))
    # Recovery captures nothing of the instance: it comes after the fact.
    if tx.verdict is not None or tx.state == 'settled' \
            or not participant.engine.history(tx).capture('instance_record'):
        raise exception.MigrationError(reason=(
            f'live migration {tx.uuid} of instance {instance.uuid} to '
            f'{call["dest"]} came to {participant.host} after it had been '
            'settled or taken up by recovery there, and was not begun; '
            f'start a new one (see `migsafe journal show {shell(tx.uuid)}`)'))
    attempt.tx = tx
    if why:
        raise exception.MigrationError(reason=(
            f'live migration {tx.uuid} of instance {instance.uuid} to {call["dest"]} came to '
            f'{participant.host} too late and was not begun: {why}'))


def _moved(participant: Participant, call: dict[str, Any], uuid: str) -> str:
    """Why it must not begin any more, asked after the rows were read; empty if it may."""
    return lease.moved(participant.clients, Transaction(
        0, uuid, participant.host, SOURCE, call['instance'].uuid, participant.host,
        call['dest'], migration_id=call['migration'].id))


def request_id(call: dict[str, Any]) -> str:
    """What the API has noted the request for a migration by; empty if Nova does not say."""
    return str(getattr(call['context'], 'request_id', None) or '')


def _journalled(participant: Participant, call: dict[str, Any], uuid: str,
                captures: list[Any]) -> Transaction:
    tx: Transaction = participant.journal.begin(
        uuid, SOURCE, call['instance'].uuid, participant.host,
        call['dest'], source_boot_id=clients_evidence.boot_id(),
        migration_id=call['migration'].id, captures=captures)
    return tx


def late(participant: Participant, attempt: host_attempt.Attempt,
         call: dict[str, Any]) -> None:
    """It failed before it began: what the conductor made of it is left.

    If recovery has closed the transaction of this migration, that one knows
    nothing of the destination; what is there is settled under another uuid.
    """
    if participant.journal.get(attempt.uuid, SOURCE) is None:
        begin(participant, attempt, call, ())
        return
    attempt.tx = _journalled(
        participant, call, uuidutils.generate_uuid(),
        [('instance_directory', '', {
            'exists': True, 'shared': shared_path(call.get('migrate_data'))})])
    now = participant.clients.records.instance(call['instance'].uuid)
    if now is None or now.task_state != task_states.MIGRATING:
        participant.journal.note(attempt.tx, FREED)


def shared_path(migrate_data: Any) -> bool | None:
    """Whether both hosts share the instance directory; None if not known."""
    if migrate_data is None or 'is_shared_instance_path' not in migrate_data:
        return None
    return bool(migrate_data.is_shared_instance_path)
