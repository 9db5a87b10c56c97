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
"""Swap of an attached volume (retype, migration by Cinder, volume update).

Nova copies the disk, lets the guest pivot to the copy, and only then disconnects the old volume.
It takes a failure of that for a failed swap, and takes the *new* attachment away, on which the
guest runs by then (LibvirtDriver.swap_volume, ComputeManager._swap_volume).

Which device it disconnects, and which attachment it deletes, is what the row says: it must be
this host's before Nova reads it.
"""

from __future__ import annotations

import contextvars
import dataclasses
from typing import Any

from nova import exception
from oslo_log import log as logging

from migsafe.brick import refusals
from migsafe.brick.guard import kept_devices
from migsafe.nova.host import registry
from migsafe.nova.seams import effects, faults, gates, recorded
from migsafe.text import masked

LOG = logging.getLogger(__name__)

#: connection_info of the volume that this call chain exchanges for another one
_OLD: contextvars.ContextVar[Any] = contextvars.ContextVar('migsafe_swap', default=None)


@dataclasses.dataclass(frozen=True)
class _Addressed:
    """The instance of a request, as far as a gate asks, where Nova hands over only its row."""

    uuid: str
    host: str


def init_volume_connection(wrapped: Any, manager: Any, args: Any, kwargs: Any) -> Any:
    """A swap is settled first, or refused, like every operation that goes by the rows.

    This is the first thing that Nova does inside of its own clean-up: for a failure here it
    gives the old volume back, removes the attachment that the API made for the new one, and
    tells Cinder that its migration has failed. Until here it has only read.

    :raises nova.exception.NovaException: a live migration of the instance is not settled
    """
    participant = registry.of(manager)
    if participant is None:
        return wrapped(*args, **kwargs)
    bdm = effects.arguments(wrapped, args, kwargs)['bdm']
    addressed = _Addressed(bdm.instance_uuid, participant.host)
    # A request waits for a host that is down, also while the instance is evacuated from there.
    reason = gates.settle_first(participant, addressed, [bdm], under_lock=True) \
        or gates.moved_away(participant, addressed) \
        or recorded.of_bdms(participant, addressed, [bdm])
    if reason:
        raise faults.discreet(
            exception.NovaException(f'swap of a volume refused: {reason}'), 'swap of a volume')
    return wrapped(*args, **kwargs)


def swap_volume(wrapped: Any, driver: Any, args: Any, kwargs: Any) -> Any:
    """Say which one is the old volume."""
    token = _OLD.set(effects.arguments(wrapped, args, kwargs)['old_connection_info'])
    try:
        return wrapped(*args, **kwargs)
    finally:
        _OLD.reset(token)


def disconnect(wrapper: Any) -> Any:
    """A disconnect of the old volume that fails does not undo the swap.

    The driver disconnects that one only once the guest is on the other. What Nova does next, to
    take the export away, is put off by :mod:`migsafe.nova.deferred.exports`, whatever it was that
    failed: a refusal of the device guards, Cinder that does not answer, or cryptsetup.

    :param wrapper: the wrapt wrapper of the same seam
    """
    def outer(wrapped: Any, driver: Any, args: Any, kwargs: Any) -> Any:
        old = _OLD.get()
        named = effects.arguments(wrapped, args, kwargs)
        try:
            return wrapper(wrapped, driver, args, kwargs)
        except Exception as failed:
            if old is None or named['connection_info'] is not old:
                raise
            if not isinstance(failed, refusals.Refused):
                # a refusal has been remembered by who refused
                kept_devices.remember(named['instance'].host, effects.volume_id(old),
                                      masked(failed))
            LOG.error('Instance %s runs on its new volume; the old one stays connected for now. '
                      '%s', named['instance'].uuid, masked(failed))
            return None
    return outer
