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
"""What Nova disconnects of a guest that it finds here and that is not this host's any more.

At start it destroys the guests that were evacuated while nova-compute was down, and from
time to time those whose instance was deleted meanwhile (``running_deleted_instance_action``). It
disconnects what the rows name, by force: numbers of the new host, or numbers that were given up
with the attachments. Both lead to somebody else's disks here.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator
from typing import Any

from nova import objects
from nova.compute import task_states
from nova.virt import driver as nova_driver
from oslo_log import log as logging

from migsafe.nova.clients import devices
from migsafe.nova.host import autostart, own_devices, registry
from migsafe.nova.host.participant import Participant
from migsafe.nova.seams import deletion, effects, kept_guests
from migsafe.text import masked

LOG = logging.getLogger(__name__)

#: Why a device stays.
UNPROVEN = ('the guest ran on it, but its row leads elsewhere, and neither Cinder nor the '
            'journal of this one says by which connection it came')
#: whose host destroys a guest of somebody else's in this call chain
_DESTROYING: contextvars.ContextVar[Participant | None] = contextvars.ContextVar(
    'migsafe_destroying', default=None)


@contextlib.contextmanager
def _by(participant: Participant) -> Iterator[None]:
    token = _DESTROYING.set(participant)
    try:
        with deletion.by(participant):
            yield
    finally:
        _DESTROYING.reset(token)


def destroy_evacuated(wrapped: Any, manager: Any, args: Any, kwargs: Any) -> Any:
    """A wrapt wrapper of what Nova does at start with guests that were evacuated from here."""
    participant = registry.of(manager)
    if participant is None:
        return wrapped(*args, **kwargs)
    autostart.settle(manager, participant.host, participant.clients.records.instance)
    with _by(participant), kept_guests.looking(participant) as left:
        return {**wrapped(*args, **kwargs), **left}


def shut_down(wrapped: Any, manager: Any, args: Any, kwargs: Any) -> Any:
    """A wrapt wrapper of what Nova does with a guest whose instance is deleted already, and with
    one that is deleted after something was cut off.

    Nova's periodic task itself cannot be wrapped: oslo.service has noted the function when the
    class was made. No other caller has an instance that is deleted.
    """
    participant = registry.of(manager)
    call = effects.arguments(wrapped, args, kwargs)
    if participant is None or not (call['instance'].deleted or _cut_off(
            participant, call['instance'], call['bdms'])):
        return wrapped(*args, **kwargs)
    call['bdms'] = _without_others(participant, call['instance'], call['bdms'])
    with _by(participant):
        return wrapped(**call)


def _cut_off(participant: Participant, instance: Any, bdms: Any) -> bool:
    """Whether what a row of an instance that is being deleted names is no export to this host.

    Then its number is somebody else's: a deletion before this one was killed when it had given it
    up, or a move when the row still led to the host that it came from.
    """
    named = {bdm.attachment_id for bdm in bdms if bdm.is_volume and bdm.attachment_id}
    if not named or instance.task_state != task_states.DELETING:
        return False
    volumes = participant.clients.volumes
    try:
        return not named <= {
            one.id for one in volumes.attachments(instance.uuid)
            if one.host == participant.host or (
                one.host is None and volumes.connection_info(one.id))}
    except Exception as error:
        LOG.warning('Whether a deletion was cut off before is not known: %s', masked(error),
                    instance=instance)
        return False


def _without_others(participant: Participant, instance: Any, bdms: Any) -> Any:
    """Rows without those of another host's attachments, which Nova would delete next, from under
    what that host may have open."""
    try:
        others = {one.id for one in participant.clients.volumes.attachments(instance.uuid)
                  if one.host not in (None, participant.host)}
    except Exception as error:
        LOG.warning('No attachment of this deleted instance is deleted now, since Cinder does not '
                    'say whose they are: %s', masked(error), instance=instance)
        others = {bdm.attachment_id for bdm in bdms}
    return objects.BlockDeviceMappingList(
        objects=[bdm for bdm in bdms if bdm.attachment_id not in others or not bdm.is_volume])


def destroy(wrapped: Any, driver: Any, args: Any, kwargs: Any) -> Any:
    """A wrapt wrapper of the driver's: it is given what it may disconnect here, and no more."""
    participant = _DESTROYING.get()
    if participant is None:
        return wrapped(*args, **kwargs)
    call = effects.arguments(wrapped, args, kwargs)
    call['block_device_info'] = _own(
        participant, driver, call['instance'], call['block_device_info'] or {})
    return wrapped(**call)


def _own(participant: Participant, driver: Any, instance: Any,
         info: dict[str, Any]) -> dict[str, Any]:
    mapping = [one for one in nova_driver.block_device_info_get_mapping(info)
               if one['connection_info']]
    rows = {effects.volume_id(one['connection_info']): one['connection_info'] for one in mapping}
    try:
        found = own_devices.Look(participant, driver, instance).all(rows)
    except Exception as error:
        LOG.error('No volume of this guest, which %s destroys, is disconnected, as it '
                  'cannot be told which devices are its own: %s', participant.host,
                  masked(error), instance=instance)
        found = {}
    for volume, its in found.items():
        _say(participant, instance, volume, its)
    own = []
    for one in mapping:
        known = found.get(effects.volume_id(one['connection_info']))
        if known and known.info:
            one['connection_info'] = known.info
            own.append(one)
    return {**info, 'block_device_mapping': own}


def _say(participant: Participant, instance: Any, volume: str, its: own_devices.Found) -> None:
    if its.info is None:
        LOG.warning('Volume %s of this guest, which %s destroys, is not disconnected: '
                    'nothing shows that what its row leads to here is its own', volume,
                    participant.host, instance=instance)
    for path in its.stays:
        participant.left_devices.keep(instance.uuid, volume, path, UNPROVEN)


def disconnect(wrapper: Any) -> Any:
    """What cannot be disconnected stays and is named; nova-compute starts all the same.

    :param wrapper: the wrapt wrapper of the same seam
    """
    def outer(wrapped: Any, driver: Any, args: Any, kwargs: Any) -> Any:
        participant = _DESTROYING.get()
        try:
            return wrapper(wrapped, driver, args, kwargs)
        except Exception as error:
            if participant is None:
                raise
            call = effects.arguments(wrapped, args, kwargs)
            _kept(participant, driver, call['instance'], call['connection_info'], masked(error))
            return None
    return outer


def _kept(participant: Participant, driver: Any, instance: Any, info: dict[str, Any],
          why: str) -> None:
    volume = effects.volume_id(info)
    LOG.error('Volume %s of this guest, which %s destroys, stays connected: %s', volume,
              participant.host, why, instance=instance)
    try:
        paths = devices.own_paths(driver, participant.host, instance.uuid, info)
    except Exception as error:
        LOG.error('Which devices of it stay is not known: %s', masked(error), instance=instance)
        return
    for path in paths:
        participant.left_devices.keep(instance.uuid, volume, path, why)
