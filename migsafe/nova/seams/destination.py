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

import functools
from typing import Any

from nova import exception, objects
from nova.compute import task_states
from nova.conf import CONF
from oslo_log import log as logging

from migsafe import exceptions
from migsafe.journal.records import Transaction
from migsafe.nova.clients import evidence, records
from migsafe.nova.host import lease, registry
from migsafe.nova.host.participant import DESTINATION, Participant
from migsafe.nova.seams import effects, rollback, source
from migsafe.text import masked, shell
from migsafe.transaction.evidence import GuestState
from migsafe.transaction.subject import Subject
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
    migration = _migration(call)
    attempt, since = participant.attempt(migration.uuid, call['instance'].uuid), lease.clocks()
    # When it fails, Nova deletes the new attachments whether or not their
    # devices could be disconnected.
    attempt.keep_attachments = True
    with participant.attempts.open(attempt):
        try:
            attempt.tx = _begin(participant, migration, call)
            attempt.durable = False
        except exceptions.JournalError as error:
            if participant.conf.enforce:
                raise exception.MigrationError(reason=(
                    f'{participant.host} cannot journal live migration '
                    f'{migration.uuid}: {masked(error)} (see [migsafe] '
                    'enforce)')) from None
            LOG.error('Live migration %s is NOT protected on this host: %s',
                      migration.uuid, masked(error))
        if attempt.tx is not None:
            attempt.lease = lease.Lease(
                lease.PART * CONF.rpc_response_timeout,
                functools.partial(lease.refusal, participant.clients, attempt.tx,
                                  _plugin(call)),
                functools.partial(lease.row_of_leader, participant.clients, attempt.tx),
                since)
        result = wrapped(*args, **kwargs)
        effects.check_fence(attempt)
    return result


def _plugin(call: dict[str, Any]) -> bool:
    """Whether the source has migsafe: it puts the migration into migrate_data before the call,
    and Nova fills that in only after it."""
    data = call['migrate_data']
    return bool(data is not None and 'migration' in data and data.migration)


def _migration(call: dict[str, Any]) -> Any:
    """The source puts it into migrate_data; one without migsafe does not."""
    if _plugin(call):
        return call['migrate_data'].migration
    return objects.Migration.get_by_instance_and_status(
        call['context'], call['instance'].uuid, 'preparing')


def _begin(participant: Participant, migration: Any,
           call: dict[str, Any]) -> Transaction:
    instance = call['instance']
    existing = participant.clients.directories.find(instance.uuid)
    subject = Subject(
        instance=records.instance_row(instance),
        directory_exists=existing is not None,
        directory_shared=source.shared_path(call['migrate_data']),
        request_id=source.request_id(call))
    known = participant.journal.get(migration.uuid, DESTINATION)
    if known is not None and known.source_host and known.verdict is None:
        raise exception.MigrationError(reason=(
            f'live migration {migration.uuid} of instance {instance.uuid} came to '
            f'{participant.host} once more; it was begun here before'))
    # An intent, or the directory, makes it durable before anything is done.
    tx: Transaction = participant.journal.unsynced.begin(
        migration.uuid, DESTINATION, instance.uuid,
        migration.source_compute, participant.host,
        dest_boot_id=evidence.boot_id(), migration_id=migration.id,
        captures=participant.engine.captures(subject))
    if tx.verdict is not None or tx.state == 'settled':
        raise exception.MigrationError(reason=(
            f'live migration {migration.uuid} of instance {instance.uuid} '
            f'came to {participant.host} after it had been rolled back '
            f'({tx.reason}); start a new one'))
    why = lease.waited(instance) and (
        lease.moved(participant.clients, tx)
        or lease.refusal(participant.clients, tx, _plugin(call)))
    if why:
        if known is None:
            # Nothing was made here, and nobody has to be asked about it.
            participant.journal.finish(tx, f'not begun: {why}', verdict=Verdict.ABORT.value)
        raise exception.MigrationError(reason=(
            f'live migration {migration.uuid} of instance {instance.uuid} came to '
            f'{participant.host} too late: {why}'))
    return tx


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
    if tx is None or call['instance'].host == participant.host:
        return wrapped(*args, **kwargs)
    if tx.verdict == Verdict.COMMIT.value:
        LOG.warning('Late removal of volume %s of instance %s ignored: its '
                    'live migration %s to this host has succeeded',
                    call['volume_id'], tx.instance_uuid, tx.uuid)
        return None
    answer = participant.release(tx.uuid, tx.instance_uuid, Verdict.ABORT, novas=True)
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
        return wrapped(*args, **kwargs)
    participant.recovery.nudge()
    name = f' {migration.uuid}' if migration else ''
    raise exception.MigrationError(reason=(
        f'rollback of live migration{name} of instance {instance.uuid} was '
        f'refused on {participant.host}: {reason}. What is left of it here is '
        'removed when it is settled; see `migsafe residue list --instance '
        f'{shell(instance.uuid)}` on {participant.host}'))
