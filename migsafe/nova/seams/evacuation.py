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
"""Whether a guest may be started here because its host is dead.

Nova's evacuate believes one heartbeat, and a second copy of a guest destroys its disks: the host
has to be proven dead, see :mod:`migsafe.fencing.verdict`.

A live migration hands the guest over before Nova's record names the destination. If the source
dies in between, Nova evacuates what runs there, deletes the attachments that the rows name, which
are the destination's by then, and starts a second copy. The journal of the host that the
instance comes to knows nothing of it.
"""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
import time
from collections.abc import Iterator
from typing import Any

from nova import exception
from oslo_log import log as logging

from migsafe import exceptions
from migsafe.fencing.verdict import HostVerdict
from migsafe.nova.host.participant import Participant
from migsafe.nova.seams import effects, faults, moves
from migsafe.text import masked, shell
from migsafe.transaction.clients import EVACUATION, OtherMove
from migsafe.transaction.evidence import NO_QEMU, GuestState, HostEvidence

LOG = logging.getLogger(__name__)
#: Seconds for which what was seen is good.
FRESH = 10.0


@dataclasses.dataclass(frozen=True)
class _Evacuation:
    """One that this host is at work on.

    :param at: when it was let through, by the monotonic clock
    """

    participant: Participant
    instance: Any
    at: float


_CURRENT: contextvars.ContextVar[_Evacuation | None] = contextvars.ContextVar(
    'migsafe_evacuation', default=None)


def refusal(participant: Participant, instance: Any) -> str | None:
    """Why an instance must not be evacuated to this host now; None if it may.

    Each host of a live migration that Nova has not ended is asked, but for this one, which looks
    itself, and for the one that is evacuated, which is judged last.

    :param instance: as it comes to the host, with the one that it is evacuated from
    """
    if participant.attempts.busy(instance.uuid):
        return (f'a call of a live migration of instance {instance.uuid} is still at work on '
                f'{participant.host}, and would take away what the evacuation makes there. '
                'Evacuate it to another host, or once more when that has ended; the log of '
                f'nova-compute on {participant.host} says what it waits for')
    for move in moves.undecided(participant.clients.records.moves(instance.uuid)):
        for host in (move.dest_host, move.source_host):
            if host in ('', participant.host, instance.host):
                continue
            found = participant.clients.peer.evidence(host, move.uuid, instance.uuid)
            if not gone(participant, found, instance.uuid):
                return _may_run(instance.uuid, move, found)
            said = participant.clients.peer.describe(host, move.uuid)
            if said is not None and said['known'] and said['state'] != 'settled':
                return _unsettled(instance.uuid, move, host)
    return _not_dead(participant, instance)


@contextlib.contextmanager
def under_way(participant: Participant, instance: Any) -> Iterator[None]:
    """While one that was let through is carried out."""
    token = _CURRENT.set(_Evacuation(participant, instance, time.monotonic()))
    participant.evacuating.add(instance.uuid)
    try:
        yield
    finally:
        participant.evacuating.discard(instance.uuid)
        _CURRENT.reset(token)


def create_guest(wrapped: Any, driver: Any, args: Any, kwargs: Any) -> Any:
    """A wrapt wrapper of LibvirtDriver's: the guest is about to be started here.

    :raises nova.exception.InstanceFaultRollback: the old host may be alive by now. Nova takes
        the devices away again, and the instance keeps its state and its host
    """
    going = _CURRENT.get()
    if going is not None and time.monotonic() - going.at > FRESH \
            and effects.arguments(wrapped, args, kwargs)['instance'].uuid == going.instance.uuid:
        why = _refusal_now(going)
        if why:
            raise exception.InstanceFaultRollback(inner_exception=faults.discreet(
                exception.NovaException(f'evacuation refused before the guest was started: {why}'),
                'evacuation'))
    return wrapped(*args, **kwargs)


def _refusal_now(going: _Evacuation) -> str | None:
    try:
        return refusal(going.participant, going.instance)
    except Exception as error:
        return unknown(going.participant, going.instance, error)


def unknown(participant: Participant, instance: Any, error: Exception) -> str | None:
    """What it means that something cannot be looked at.

    An outage is when evacuations are asked for: [migsafe] enforce says nothing about them.
    """
    return _as_far_as_it_counts(participant, instance, (
        f'whether {instance.host} is dead, and where instance {instance.uuid} is, cannot be told '
        f'({masked(error)}). Evacuate it again once that is over. [migsafe] evacuation decides '
        'about this'))


def _as_far_as_it_counts(participant: Participant, instance: Any, why: str | None) -> str | None:
    """The reason, if it is to stop anything."""
    policy = participant.conf.evacuation
    if why and policy == 'warn':
        LOG.warning('Evacuation goes on although it may start a second copy of the guest '
                    '([migsafe] evacuation is warn): %s', why, instance=instance)
    return why if policy == 'enforce' else None


def _not_dead(participant: Participant, instance: Any) -> str | None:
    """Why the host that is evacuated may be alive, as far as that is to stop anything."""
    if participant.conf.evacuation == 'off' or instance.host in (None, '', participant.host):
        return None
    return _as_far_as_it_counts(participant, instance, _judged(participant, instance))


def _judged(participant: Participant, instance: Any) -> str | None:
    host = instance.host
    try:
        found = participant.clients.hosts.judge(host, instance.uuid)
    except exceptions.ConfigError as error:
        return f'nothing can be said of {host}: {masked(error)}'
    if found.verdict is HostVerdict.DEAD:
        LOG.info('Host %s counts as dead for this evacuation: %s', host, found, instance=instance)
        return None
    return (f'{host} is not proven dead, and a second copy of instance {instance.uuid} would '
            f'destroy its disks: {found}. Next: {found.next}; then evacuate it again. [migsafe] '
            'evacuation decides about this')


def gone(participant: Participant, found: HostEvidence, instance_uuid: str) -> bool:
    """Whether no guest is there: the host says so, or it is silent and dead."""
    if found.guest is GuestState.UNKNOWN and found.boot_id is None:
        return participant.clients.hosts.judge(
            found.host, instance_uuid).verdict is HostVerdict.DEAD
    return found.guest in NO_QEMU and not found.job


def _may_run(instance_uuid: str, move: OtherMove, found: HostEvidence) -> str:
    host = found.host
    if move.kind == EVACUATION:
        return (f'{move}, and instance {instance_uuid} may run on {host} [{found}], whatever its '
                f'record says. Look there ("virsh list --all"): if it does, shut it down there '
                f'("virsh shutdown"); if {host} is powered off or fenced, say so with `openstack '
                f'compute service set --down {shell(host)} nova-compute`. Then evacuate it again')
    return (f'{move}, and instance {instance_uuid} may run on {host} [{found}]. Start '
            f'nova-compute on {host}: if the guest is there, the migration is settled and the '
            f'instance gets {host} for its host. If {host} is powered off or fenced, say so with '
            f'`openstack compute service set --down {shell(host)} nova-compute` and evacuate '
            'again')


def _unsettled(instance_uuid: str, move: OtherMove, host: str) -> str:
    """Its rows may lead to devices that are still there, with exports that Nova would delete."""
    return (f'{move}, and is not settled on {host}. `migsafe settle {shell(move.uuid)}` on {host} '
            f'tries now, and says what it waits for; then evacuate instance {instance_uuid} again')
