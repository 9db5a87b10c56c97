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
import enum
from collections.abc import Iterable
from typing import Any

from nova import exception
from oslo_log import log as logging

from migsafe.journal.records import Transaction
from migsafe.nova.clients import instance_lock
from migsafe.nova.host import registry
from migsafe.nova.host.participant import Participant
from migsafe.nova.seams import deletion, effects, faults, left, recorded, volume_rows
from migsafe.text import masked, shell

LOG = logging.getLogger(__name__)

_BUT_A_REBOOT = ('. All of it is right on this host: `openstack server reboot --hard` is '
                 'possible, and starts a guest that is shut off')


class Waits(enum.Enum):
    """What an operation waits for, while a live migration of its instance is not settled."""

    #: until it is: the instance leaves this host, or comes here, or is deleted
    BOTH = 'both hosts'
    #: for both, but not for another host that answers that it has no migsafe and so will never
    #: settle anything: the instance stays here, and its rows and attachments change
    ARMED = 'both hosts, if both have migsafe'
    #: for this host, which has the guest and of which all was read back and is right: the guest is
    #: started or reconnected here, and nothing that the other host has is touched
    HERE = 'this host'


def blocked(participant: Participant, instance_uuid: str,
            waits: Waits = Waits.BOTH) -> str | None:
    """Why an operation on this instance has to wait; None if it need not.

    :param waits: what it waits for
    :raises JournalError: when the journal cannot be read
    """
    for tx in participant.journal.unsettled_for_instance(instance_uuid):
        reason = _unsettled(participant, tx, waits)
        if reason:
            return (
                f'live migration {tx.uuid} of instance {instance_uuid} from '
                f'{tx.source_host} to {tx.dest_host} is not settled: {reason}.'
                ' It is tried again by itself; `migsafe settle '
                f'{shell(tx.uuid)}` on {participant.host} tries now, `migsafe '
                f'journal show {shell(tx.uuid)}` shows what is left')
    return None


def _unsettled(participant: Participant, tx: Transaction, waits: Waits) -> str | None:
    if participant.attempts.live(tx.uuid):
        return 'it is still going on'
    outcome = participant.settle(tx)
    if outcome is None:
        return 'it is being settled at this moment'
    if outcome.clean or waits is Waits.ARMED and outcome.unarmed:
        return None
    here = outcome.elsewhere or participant.right_here(tx)
    if here and waits is Waits.HERE:
        return None
    return '; '.join(outcome.held.values()) + (_BUT_A_REBOOT if here else '')


def reason_of(participant: Participant, instance_uuid: str) -> str | None:
    try:
        return blocked(participant, instance_uuid)
    except Exception as error:
        return masked(error) if participant.conf.enforce else None


def settle_first(participant: Participant, instance: Any,
                 bdms: Iterable[Any] = (), *, under_lock: bool,
                 waits: Waits = Waits.BOTH) -> str | None:
    """Settle what is unsettled, and bring what Nova has read up to date.

    :param bdms: volume rows that Nova read before this; after settlement
        they may name another host's LUNs
    :param under_lock: whether Nova holds the instance's lock
    :param waits: what the operation waits for
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
            reason = blocked(participant, instance.uuid, waits)
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
        return _moved(participant, instance) or left.refusal(participant, instance)
    except Exception as error:
        return masked(error) if participant.conf.enforce else None


def _left(participant: Participant, instance: Any) -> str | None:
    try:
        return left.refusal(participant, instance)
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
                          under_lock=True, waits=Waits.ARMED) \
        or moved_away(participant, call['instance']) \
        or recorded.of_bdms(participant, call['instance'], [call['bdm']])
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
        elsewhere = _left(participant, instance) \
            or recorded.of_bdms(participant, instance, bdms, certain=True)
        if elsewhere:
            raise faults.discreet(
                exception.NovaException(f'delete refused: {elsewhere}'), 'delete')
        return wrapped(*args, **kwargs)
    stops = _stops_delete(participant, instance, bdms) \
        or recorded.of_bdms(participant, instance, bdms, certain=True)
    if stops and participant.conf.enforce:
        raise faults.discreet(
            exception.NovaException(f'delete refused: {stops}; {reason}'), 'delete')
    LOG.warning('Instance is deleted with an unsettled migration, which '
                'recovery cleans up: %s', reason, instance=instance)
    with deletion.by(participant):
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
