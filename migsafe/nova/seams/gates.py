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
"""Refuses operations that would make an unsettled migration worse.

Each one first tries to settle; if that does not end clean, it is refused with
the reason. An instance without unsettled residue pays for one read of the
local journal. Here are those that need more than a refusal; all others are in
:mod:`migsafe.nova.seams.refusals`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Any

from nova import exception
from nova.compute import task_states, vm_states
from oslo_log import log as logging

from migsafe import exceptions
from migsafe.journal.records import Transaction
from migsafe.nova.clients import instance_lock
from migsafe.nova.host import registry
from migsafe.nova.host.participant import Participant
from migsafe.nova.seams import effects, faults, volume_rows
from migsafe.text import masked, shell
from migsafe.transaction.evidence import GuestState

LOG = logging.getLogger(__name__)


#: What the conductor takes for "not now" (ConductorManager._live_migrate).
REFUSALS = (
    exception.ComputeHostNotFound, exception.ComputeServiceUnavailable,
    exception.DestinationHypervisorTooOld, exception.HypervisorUnavailable,
    exception.InstanceInvalidState, exception.InvalidCPUInfo,
    exception.InvalidHypervisorType, exception.InvalidLocalStorage,
    exception.InvalidSharedStorage, exception.MigrationPreCheckError,
    exception.NoValidHost, exception.UnableToMigrateToSelf)


def blocked(participant: Participant, instance_uuid: str) -> str | None:
    """Why an operation on this instance has to wait; None if it need not.

    :raises JournalError: when the journal cannot be read
    """
    for tx in participant.journal.unsettled_for_instance(instance_uuid):
        reason = _unsettled(participant, tx)
        if reason:
            return (
                f'live migration {tx.uuid} of instance {instance_uuid} from '
                f'{tx.source_host} to {tx.dest_host} is not settled: {reason}.'
                ' It is tried again by itself; `migsafe settle '
                f'{shell(tx.uuid)}` on {participant.host} tries now, `migsafe '
                f'journal show {shell(tx.uuid)}` shows what is left')
    return None


def _unsettled(participant: Participant, tx: Transaction) -> str | None:
    if participant.attempts.live(tx.uuid):
        return 'it is still going on'
    outcome = participant.settle(tx)
    if outcome is None:
        return 'it is being settled at this moment'
    return None if outcome.clean else '; '.join(outcome.held.values())


def _reason(participant: Participant, instance_uuid: str) -> str | None:
    try:
        return blocked(participant, instance_uuid)
    except Exception as error:
        return masked(error) if participant.conf.enforce else None


def precheck(wrapped: Any, manager: Any, args: Any, kwargs: Any) -> Any:
    """A live migration is refused while the guest just keeps running."""
    participant = registry.of(manager)
    if participant is None:
        return wrapped(*args, **kwargs)
    instance = effects.arguments(wrapped, args, kwargs)['instance']
    reason = _reason(participant, instance.uuid) or _at_work(participant, instance.uuid)
    if reason is None and participant.conf.enforce:
        reason = _not_writable(participant)
    if reason:
        # The conductor tells the operator only that no host is valid.
        LOG.warning('Live migration refused on %s: %s', participant.host,
                    reason, instance=instance)
        raise exception.MigrationPreCheckError(
            reason=faults.public('live migration'))
    try:
        return wrapped(*args, **kwargs)
    except REFUSALS:
        raise
    except Exception as error:
        # Nothing has been done yet, and the guest runs; but for any other
        # exception the conductor puts the instance into ERROR.
        LOG.warning('The check for a live migration failed on %s: %s',
                    participant.host, masked(error), instance=instance)
        raise exception.MigrationPreCheckError(
            reason=faults.failed('the check for a live migration')) from error


def _at_work(participant: Participant, instance_uuid: str) -> str | None:
    """A volume that is attached, detached or swapped at this moment: the migration would begin
    with rows that are not so any more when it ends, and disconnect what they named."""
    if instance_lock.quiet(instance_uuid, participant.conf.rpc_timeout / 2):
        return None
    return (f'{participant.host} is at another operation on instance {instance_uuid}, maybe on '
            'its volumes; ask again when it has ended')


def _not_writable(participant: Participant) -> str | None:
    try:
        participant.journal.check_writable()
    except (exceptions.JournalError, OSError) as error:
        return (f'{masked(error)}; a migration that cannot be journalled is '
                'not started (see [migsafe] enforce)')
    return None


def settle_first(participant: Participant, instance: Any,
                 bdms: Iterable[Any] = (), *, under_lock: bool
                 ) -> str | None:
    """Settle what is unsettled, and bring what Nova has read up to date.

    :param bdms: volume rows that Nova read before this; after settlement
        they may name another host's LUNs
    :param under_lock: whether Nova holds the instance's lock
    :returns: why the operation must not go on; None if it may
    """
    lock = (instance_lock.held(instance.uuid) if under_lock
            else contextlib.nullcontext())
    with lock:
        try:
            if not participant.journal.unsettled_for_instance(instance.uuid):
                if bdms and volume_rows.settled_lately(participant,
                                                    instance.uuid):
                    volume_rows.reread(participant, instance.uuid, bdms)
                return None
            reason = blocked(participant, instance.uuid)
            reason = reason or _moved(participant, instance)
            if reason is None:
                volume_rows.reread(participant, instance.uuid, bdms)
            return reason
        except Exception as error:
            return masked(error) if participant.conf.enforce else None


def _moved(participant: Participant, instance: Any) -> str | None:
    """The call was sent here before it was known where the guest is."""
    now = participant.clients.records.instance(instance.uuid)
    if now is None or now.host == instance.host:
        return None
    return (f'instance {instance.uuid} was found to have moved to {now.host}; '
            'ask again, and it is done there')


def moved_away(participant: Participant, instance: Any) -> str | None:
    """Why an operation on the volumes of an instance that has left this host must not go on: its
    rows are those of the other host by now, and so are the attachments that they name."""
    try:
        return _moved(participant, instance)
    except Exception as error:
        return masked(error) if participant.conf.enforce else None


def detach(wrapped: Any, manager: Any, args: Any, kwargs: Any) -> Any:
    """A refused detach gives the volume back: Cinder has it as ``detaching``.
    """
    participant = registry.of(manager)
    if participant is None:
        return wrapped(*args, **kwargs)
    call = effects.arguments(wrapped, args, kwargs)
    reason = settle_first(participant, call['instance'], [call['bdm']],
                          under_lock=True) or moved_away(participant, call['instance'])
    if reason:
        manager.volume_api.roll_detaching(call['context'],
                                          call['bdm'].volume_id)
        raise faults.discreet(
            exception.NovaException(f'detach refused: {reason}'), 'detach')
    return wrapped(*args, **kwargs)


def delete(wrapped: Any, manager: Any, args: Any, kwargs: Any) -> Any:
    """Deleting is settled first where that is possible, and refused only
    where the guest is elsewhere or its rows lead to another host's LUNs:
    Nova disconnects what they name, by force."""
    participant = registry.of(manager)
    if participant is None:
        return wrapped(*args, **kwargs)
    call = effects.arguments(wrapped, args, kwargs)
    instance, bdms = call['instance'], call['bdms']
    reason = settle_first(participant, instance, bdms, under_lock=True)
    if not reason:
        return wrapped(*args, **kwargs)
    stops = _stops_delete(participant, instance, bdms)
    if stops and participant.conf.enforce:
        raise faults.discreet(
            exception.NovaException(f'delete refused: {stops}; {reason}'), 'delete')
    LOG.warning('Instance is deleted with an unsettled migration, which '
                'recovery cleans up: %s', reason, instance=instance)
    return wrapped(*args, **kwargs)


def _stops_delete(participant: Participant, instance: Any,
                  bdms: Iterable[Any]) -> str | None:
    try:
        moved = _moved(participant, instance)
        if moved is None:
            volume_rows.reread(participant, instance.uuid, bdms)
        return moved or volume_rows.foreign(participant, instance.uuid)
    except Exception as error:
        return ('it cannot be told whether its volumes are connected to '
                f'{participant.host} as its rows say: {masked(error)}')


def reset_live_migration(wrapped: Any, manager: Any, args: Any,
                         kwargs: Any) -> Any:
    """At start Nova only resets the task state and does not look where the
    guest is. Recovery looks, so the instance stays ``migrating`` for it."""
    participant = registry.of(manager)
    if participant is None:
        return wrapped(*args, **kwargs)
    instance = effects.arguments(wrapped, args, kwargs)['instance']
    LOG.info('Interrupted live migration found at start; it is settled by '
             'evidence', instance=instance)
    return None


def init_instance(wrapped: Any, manager: Any, args: Any, kwargs: Any) -> Any:
    """Nova's look at each of its instances at start, which may start it.

    With resume_guests_state_on_host_boot it starts whatever the database
    gives to this host; an instance whose migration is not settled may be
    running on the other one.
    """
    participant = registry.of(manager)
    if participant is None:
        return wrapped(*args, **kwargs)
    instance = effects.arguments(wrapped, args, kwargs)['instance']
    if instance.task_state == task_states.DELETING \
            or instance.vm_state == vm_states.DELETED:
        # Nothing else of Nova's goes on with a deletion that was cut short.
        # It starts no guest, and delete() looks at its rows once more.
        return wrapped(*args, **kwargs)
    if instance.task_state != task_states.MIGRATING \
            and not _held_at_start(participant, instance):
        # libvirt is not asked of each guest: after an outage of the storage it answers late.
        return wrapped(*args, **kwargs)
    here = participant.clients.guests.evidence(instance.uuid)
    if here.guest is not GuestState.HERE:
        LOG.warning('Left as it is at start, because its live migration is '
                    'not settled: %s', here, instance=instance)
        return None
    return wrapped(*args, **kwargs)


def _held_at_start(participant: Participant, instance: Any) -> bool:
    """An error here would keep nova-compute from starting, over one row."""
    try:
        return bool(participant.journal.unsettled_for_instance(instance.uuid))
    except exceptions.JournalError as error:
        LOG.error('It cannot be told on %s whether a live migration of this '
                  'instance is unsettled; unless it runs here it is %s: %s',
                  participant.host, 'left as it is (see [migsafe] enforce)'
                  if participant.conf.enforce else 'left to Nova',
                  masked(error), instance=instance)
        return bool(participant.conf.enforce)
