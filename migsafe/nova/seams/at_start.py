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
"""What Nova does with the instances of its host when nova-compute starts."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from nova import exception
from nova.compute import task_states, vm_states
from oslo_log import log as logging

from migsafe import exceptions
from migsafe.nova.host import registry
from migsafe.nova.host.participant import Participant
from migsafe.nova.seams import effects, left, rows_read
from migsafe.text import masked
from migsafe.transaction.evidence import GuestState

LOG = logging.getLogger(__name__)

#: What Nova starts a guest again for that was not running when nova-compute ended.
GOES_ON = frozenset((
    task_states.REBOOT_PENDING, task_states.REBOOT_STARTED, task_states.REBOOT_PENDING_HARD,
    task_states.REBOOT_STARTED_HARD, task_states.RESIZE_MIGRATING, task_states.POWERING_ON))


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
    go_on = functools.partial(wrapped, *args, **kwargs)
    if instance.task_state == task_states.DELETING \
            or instance.vm_state == vm_states.DELETED:
        # Nothing else of Nova's goes on with a deletion that was cut short.
        # It starts no guest, and delete() looks at its rows once more.
        return go_on()
    if _is_elsewhere(participant, instance):
        return None
    if instance.task_state != task_states.MIGRATING \
            and not _held_at_start(participant, instance):
        # libvirt is not asked of each guest: after an outage of the storage it answers late.
        return _looked_at(participant, instance, go_on)
    here = participant.clients.guests.evidence(instance.uuid)
    if here.guest is not GuestState.HERE:
        LOG.warning('Left as it is at start, because its live migration is '
                    'not settled: %s', here, instance=instance)
        return None
    return _looked_at(participant, instance, go_on)


def _looked_at(participant: Participant, instance: Any, go_on: Callable[[], Any]) -> Any:
    """Nova goes on with what was cut short: a guest is rebooted, or started by the rows that a
    resize has left. Over one that is refused nova-compute would not start."""
    if instance.task_state not in GOES_ON:
        return go_on()
    try:
        with rows_read.during('start', participant, instance):
            return go_on()
    except exception.NovaException as error:
        LOG.error('Left as it is at start: %s', masked(error), instance=instance)
        return None


def resume(wrapped: Any, manager: Any, args: Any, kwargs: Any) -> Any:
    """A guest that does not run is started with its host (resume_guests_state_on_host_boot)."""
    participant = registry.of(manager)
    if participant is None:
        return wrapped(*args, **kwargs)
    instance = effects.arguments(wrapped, args, kwargs)['instance']
    why = left.by_hand(participant, instance)
    if not why:
        try:
            with rows_read.during('start with the host', participant, instance):
                return wrapped(*args, **kwargs)
        except exception.NovaException as error:
            # as Nova takes the driver's own, so that it goes on with the next guest
            why = masked(error)
    LOG.error('Not started with the host: %s', why, instance=instance)
    return None


def _is_elsewhere(participant: Participant, instance: Any) -> bool:
    """Whether an evacuation has left it on another host, as far as its rows tell.

    Nova leaves alone what an evacuation is under way for or has taken; one that has failed may
    have done so after the guest was started. All of them are read once for all instances.
    """
    try:
        if participant.evacuated is None:
            participant.evacuated = participant.clients.records.evacuated(participant.host)
        why = (left.refusal(participant, instance)
               if instance.uuid in participant.evacuated else None)
    except Exception as error:
        why = f'whether it was evacuated cannot be told: {masked(error)}' \
            if participant.conf.enforce else None
    if why:
        LOG.error('Left as it is at start: %s', why, instance=instance)
    return bool(why)


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
