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
"""Wrappers of ComputeManager methods that run on the destination."""

from __future__ import annotations

from typing import Any

from nova import exception
from nova.compute import task_states
from oslo_log import log as logging

from migsafe import exceptions
from migsafe.journal.records import Transaction
from migsafe.nova.host import lease, registry
from migsafe.nova.host.participant import DESTINATION, Participant
from migsafe.nova.seams import beginning, effects, preparation, recorded, rollback
from migsafe.text import masked, shell
from migsafe.transaction.evidence import GuestState
from migsafe.transaction.verdict import Verdict

LOG = logging.getLogger(__name__)


def pre_live_migration(wrapped: Any, manager: Any, args: Any,
                       kwargs: Any) -> Any:
    """Prepare, step by step, each step journalled before it is taken."""
    participant = registry.of(manager)
    if participant is None:
        return wrapped(*args, **kwargs)
    call = effects.arguments(wrapped, args, kwargs)
    if call['instance'].host == participant.host:
        return wrapped(*args, **kwargs)  # see do_live_migration()
    migration, plugin = preparation.migration(call), preparation.plugin(call)
    attempt, since = participant.attempt(migration.uuid, call['instance'].uuid), lease.clocks()
    # When it fails, Nova deletes the new attachments whether or not their
    # devices could be disconnected.
    attempt.keep_attachments = True
    try:
        with participant.attempts.open(attempt):
            preparation.begin(participant, attempt, call, migration, since)
            result = wrapped(*args, **kwargs)
            effects.check_fence(attempt)
    except Exception:
        if not plugin:
            preparation.take_back(participant, attempt)
        raise
    return result


def post_live_migration_at_destination(wrapped: Any, manager: Any, args: Any,
                                       kwargs: Any) -> Any:
    """The destination has heard the outcome.

    The guest is here, so that Nova has to go on whatever the journal says.
    """
    participant = registry.of(manager)
    if participant is None:
        return wrapped(*args, **kwargs)
    uuid = effects.arguments(wrapped, args, kwargs)['instance'].uuid
    tx = _open(participant, uuid)
    _refuse_late(participant, uuid, tx)
    if not tx:
        return wrapped(*args, **kwargs)
    attempt = participant.attempt(tx.uuid, tx.instance_uuid)
    with participant.attempts.open(attempt):
        result = wrapped(*args, **kwargs)
    if not attempt.failures:
        _committed(participant, tx)
    return result


def _refuse_late(participant: Participant, instance_uuid: str, tx: Transaction | None) -> None:
    """A message that is late, or there twice, would have the ports of an instance that has gone
    on bound to this host; Nova finds out only when it saves the instance.

    :param tx: what is not settled here; the instance may have been evacuated from this host since
    :raises nova.exception.MigrationError: no live migration to this host is going on
    """
    now = participant.clients.records.instance(instance_uuid)
    going_on = now is not None and now.task_state == task_states.MIGRATING
    if tx is not None and now is not None:
        going_on = now.host == participant.host or (
            going_on and now.host in (tx.source_host or now.host, None))
    if not going_on:
        raise exception.MigrationError(reason=(
            f'the end of a live migration of instance {instance_uuid} was told to '
            f'{participant.host} after it had been settled there, or the instance had gone on; '
            'nothing was done'))


def _committed(participant: Participant, tx: Transaction) -> None:
    here = participant.clients.guests.evidence(tx.instance_uuid)
    if here.guest is not GuestState.HERE:
        return
    try:
        now = participant.journal.finish(tx, f'arrived [{here}]',
                                         verdict=Verdict.COMMIT.value)
        if now.verdict != Verdict.COMMIT.value:
            LOG.error('Live migration %s of instance %s has arrived on %s, whose journal has %s '
                      'for it (%s); look at both hosts, and see `migsafe settle --withdraw`',
                      tx.uuid, tx.instance_uuid, participant.host, now.verdict, now.reason)
    except exceptions.JournalError as error:
        # The guest is here and Nova knows it; recovery writes it down.
        LOG.warning('Outcome of live migration %s not journalled: %s',
                    tx.uuid, masked(error))


def _open(participant: Participant,
          instance_uuid: str) -> Transaction | None:
    """The unsettled transaction that brings this instance here; None, too,
    when the journal cannot be read, which is left to recovery."""
    try:
        found = [tx for tx in participant.journal.unsettled_for_instance(
            instance_uuid) if tx.role == DESTINATION]
    except exceptions.JournalError as error:
        LOG.error('Live migration of instance %s ends on %s without its '
                  'journal and is left to recovery: %s', instance_uuid,
                  participant.host, masked(error))
        return None
    return max(found, key=lambda tx: tx.id, default=None)


def _ours(participant: Participant,
          instance_uuid: str) -> Transaction | None:
    """The newest transaction that was to bring this instance here."""
    found = participant.journal.list(instance_uuid=instance_uuid,
                                     newest=True)
    return max((tx for tx in found if tx.role == DESTINATION),
               key=lambda tx: tx.id, default=None)


def remove_volume_connection(wrapped: Any, manager: Any, args: Any,
                             kwargs: Any) -> Any:
    """A source that rolls back without migsafe, or a message that is late.

    Nova reads the row again when the message arrives; by then it may name
    the source's LUN, which on this host is somebody else's disk. What this
    host connected is in its journal.
    """
    participant = registry.of(manager)
    if participant is None:
        return wrapped(*args, **kwargs)
    call = effects.arguments(wrapped, args, kwargs)
    tx = _ours(participant, call['instance'].uuid)
    # of an instance that is here, "nova-manage volume_attachment refresh" asks for it
    recorded.stop('removal of a volume', recorded.of(
        participant, call['instance'], call['volume_id'], certain=True))
    if tx is None or call['instance'].host == participant.host:
        return wrapped(*args, **kwargs)
    if tx.verdict == Verdict.COMMIT.value:
        LOG.warning('Late removal of volume %s of instance %s ignored: its '
                    'live migration %s to this host has succeeded',
                    call['volume_id'], tx.instance_uuid, tx.uuid)
        return None
    try:
        if rollback.given_up(participant, tx, beginning.request_id(call)):
            return wrapped(*args, **kwargs)
        answer = participant.release(tx.uuid, tx.instance_uuid, Verdict.ABORT, novas=True)
        away = call['volume_id'] in answer.get('unwritten', ())
    except exceptions.JournalError as error:
        answer, away = {'state': 'refused', 'reason': masked(error)}, True
    if away and rollback.on_its_own(participant, tx):
        LOG.warning('Volume %s of instance %s is removed from %s in the way of Nova: the journal '
                    'cannot be written, and %s has no migsafe and deletes the attachments '
                    'whatever is answered (%s)', call['volume_id'], tx.instance_uuid,
                    participant.host, tx.source_host, answer)
        return wrapped(*args, **kwargs)
    LOG.info('Removal of volume %s of instance %s: %s', call['volume_id'],
             tx.instance_uuid, answer)
    return None


def rollback_live_migration_at_destination(wrapped: Any, manager: Any,
                                           args: Any, kwargs: Any) -> Any:
    """Destroys the domain and its directory here; see :mod:`rollback`."""
    participant = registry.of(manager)
    if participant is None:
        return wrapped(*args, **kwargs)
    call = effects.arguments(wrapped, args, kwargs)
    data, instance = call['migrate_data'], call['instance']
    migration = (data.migration if data is not None and 'migration' in data
                 else None)
    reason = rollback.refusal(participant, instance.uuid, migration)
    if reason is None:
        # What hangs in it would take away what something later has made here.
        with participant.attempts.step(instance.uuid):
            result = wrapped(*args, **kwargs)
        rollback.ended(participant, instance.uuid, migration)
        return result
    participant.recovery.nudge()
    name = f' {migration.uuid}' if migration else ''
    raise exception.MigrationError(reason=(
        f'rollback of live migration{name} of instance {instance.uuid} was '
        f'refused on {participant.host}: {reason}. What is left of it here is '
        'removed when it is settled; see `migsafe residue list --instance '
        f'{shell(instance.uuid)}` on {participant.host}'))
