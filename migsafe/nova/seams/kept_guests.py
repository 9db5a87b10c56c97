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
"""Guests that Nova would destroy at start although they are this host's.

It destroys what an evacuation was only asked for, too (``accepted``, ``pre-migrating``), with its
local disks, and takes its allocation away. If this host was never dead, the new one refuses the
evacuation, and the guest is nowhere.

Whoever comes first is told by Nova's database. The new host changes the task of the instance from
step to step and goes on only from the one before. So a task that is taken away here, before that
in which the guest is started, ends the evacuation there, and none of both can believe that the
other one has given up.
"""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
import enum
from collections.abc import Iterable, Iterator
from typing import Any

from nova import context as nova_context
from nova import exception, objects
from nova.compute import task_states
from oslo_log import log as logging

from migsafe.nova.host.participant import Participant
from migsafe.text import masked, shell
from migsafe.transaction.evidence import GuestState, HostEvidence

LOG = logging.getLogger(__name__)

#: Tasks of an evacuation from which the new host may still be kept from starting the guest.
BEFORE = (task_states.REBUILDING, task_states.REBUILD_BLOCK_DEVICE_MAPPING)
UNDER_WAY = (*BEFORE, task_states.REBUILD_SPAWNING)
RUNS = (GuestState.HERE, GuestState.IN_TRANSFER, GuestState.POSTCOPY)


class Fate(enum.Enum):
    """What becomes of a guest."""

    NOVAS = 'destroyed'
    TAKEN_BACK = 'the new host is kept from going on'
    HELD = 'nothing says that the new host has not started it'
    STALE = 'nothing is at work on that any more'


@dataclasses.dataclass
class _Start:
    """One start of nova-compute.

    :param left: instances to which Nova does nothing else at this start -> their evacuation. It
        has read them before their task was taken away, and would put them into ERROR for it
    """

    participant: Participant
    looked: bool = False
    left: dict[str, Any] = dataclasses.field(default_factory=dict)


_STARTING: contextvars.ContextVar[_Start | None] = contextvars.ContextVar(
    'migsafe_starting', default=None)


@contextlib.contextmanager
def looking(participant: Participant) -> Iterator[dict[str, Any]]:
    """While Nova destroys what was evacuated; gives what it is to leave alone."""
    start = _Start(participant, looked=participant.conf.evacuation != 'enforce')
    token = _STARTING.set(start)
    try:
        yield start.left
    finally:
        _STARTING.reset(token)


def evacuations(wrapped: Any, cls: Any, args: Any, kwargs: Any) -> Any:
    """A wrapt wrapper of MigrationList's: the first that Nova reads then are the evacuations from
    this host."""
    found, start = wrapped(*args, **kwargs), _STARTING.get()
    if start is not None and not start.looked:
        start.looked = True
        found.objects, left = kept(start.participant, found.objects)
        start.left.update(left)
    return found


def kept(participant: Participant, found: Iterable[Any]) -> tuple[list[Any], dict[str, Any]]:
    """Which evacuations Nova goes by, and those whose instances it leaves alone altogether."""
    go_on, left = [], {}
    for one in found:
        fate, why = _fate(participant, one)
        if fate is Fate.NOVAS:
            go_on.append(one)
            continue
        if fate is not Fate.STALE:
            left[one.instance_uuid] = one
        LOG.log(logging.WARNING if fate is Fate.STALE else logging.ERROR,
                'Guest of instance %s is not destroyed at the start of %s: %s, while its '
                'evacuation %s to %s is %s: %s. %s', one.instance_uuid, participant.host, why,
                one.uuid, one.dest_compute, one.status, fate.value, _next(fate, one))
    return go_on, left


def _next(fate: Fate, evacuation: Any) -> str:
    """What is left to do."""
    uuid = evacuation.instance_uuid
    again = f'To have it evacuated: migsafe evacuate {shell(uuid)}'
    active = f'"openstack server set --state active {shell(uuid)}"'
    if fate is Fate.HELD:
        return (f'Look on {evacuation.dest_compute} ("virsh list --all"); if it runs on both '
                f'hosts, shut one of them down at once ("virsh destroy"). Then {active}. {again}')
    if fate is Fate.TAKEN_BACK:
        return f'If the instance is in ERROR then, {active}. {again}'
    return f'Nothing has to be done. {again}'


def _fate(participant: Participant, evacuation: Any) -> tuple[Fate, str]:
    """What becomes of one guest, and what was seen of it."""
    uuid, clients = evacuation.instance_uuid, participant.clients
    try:
        now, here = clients.records.instance(uuid), clients.guests.evidence(uuid)
        if now is None or now.host != participant.host or here.guest is GuestState.ABSENT:
            return Fate.NOVAS, ''
        seen = f'its record names {now.host}, and there it is [{here}]'
        if here.guest is GuestState.UNKNOWN:
            return Fate.HELD, seen
        under_way = now.task_state in UNDER_WAY
        if under_way and here.guest not in RUNS:
            return Fate.NOVAS, ''
        if now.task_state in BEFORE and _taken_back(uuid, now.task_state):
            return Fate.TAKEN_BACK, seen
        if evacuation.dest_compute and _has_it(participant, evacuation):
            return Fate.NOVAS, ''
        return Fate.HELD if under_way else Fate.STALE, seen
    except Exception as error:
        return Fate.HELD, f'where it is cannot be told ({masked(error)})'


def _taken_back(uuid: str, task: str | None) -> bool:
    """Take the task away, unless it is another one by now."""
    instance = objects.Instance.get_by_uuid(
        nova_context.get_admin_context(), uuid, expected_attrs=[])
    instance.task_state = None
    try:
        instance.save(expected_task_state=[task])
    except exception.UnexpectedTaskStateError:
        return False
    return True


def _has_it(participant: Participant, evacuation: Any) -> bool:
    """Whether the new host has the guest, or is about to: it says so, or it is without migsafe,
    and does not look who else has it."""
    host, peer = evacuation.dest_compute, participant.clients.peer
    there: HostEvidence = peer.evidence(host, evacuation.uuid, evacuation.instance_uuid)
    return there.guest in RUNS or there.job or peer.unarmed(host, evacuation.uuid)
