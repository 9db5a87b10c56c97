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
"""Operations that are refused while a migration is unsettled, and how.

A refusal must leave an instance as usable as it was. Nova cleans up after some
failures in a method around the one that is wrapped, puts the instance into
ERROR after others, and after some forgets what the scheduler has claimed; so
each operation has its own way to say no.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, NoReturn

from nova import exception
from oslo_log import log as logging

from migsafe.nova.host import registry
from migsafe.nova.host.participant import Participant
from migsafe.nova.seams import (
    effects,
    evacuation,
    faults,
    gates,
    left,
    rebuild,
    recorded,
    rows_read,
)
from migsafe.text import masked

LOG = logging.getLogger(__name__)

Call = dict[str, Any]
Refuse = Callable[[Any, Call, Exception], None]


def _plainly(manager: Any, call: Call, error: Exception) -> NoReturn:
    """Nova's decorators around the caller take the task state back."""
    raise error


def _in_place(manager: Any, call: Call, error: Exception) -> NoReturn:
    """The caller puts the instance into ERROR, but not for this exception;
    it gives allocations back, and looks for another host for a resize."""
    raise exception.InstanceFaultRollback(inner_exception=error)


def _migration_failed(manager: Any, call: Call, error: Exception) -> NoReturn:
    """The caller gives allocations back, but leaves the record open."""
    manager._set_migration_status(call['migration'], 'error')
    raise error


def _unclaimed(manager: Any, call: Call, error: Exception) -> NoReturn:
    """What the scheduler claimed for an offloaded instance goes with it."""
    manager.reportclient.delete_allocation_for_instance(
        call['context'], call['instance'].uuid, force=True)
    raise error


def _at_the_door(method: str,
                 undo: Callable[[Any, Call, Exception], Exception] | None = None
                 ) -> Refuse:
    """Of an RPC method, whose decorators are inside of what is wrapped.

    Without them the task state and the event would stay open for ever.

    :param undo: takes back what the API has recorded for the operation, and
        says what to raise
    """
    def refuse(manager: Any, call: Call, error: Exception) -> None:
        reason = undo(manager, call, error) if undo else error
        # Loaded by now, since it is what was called.
        from nova.compute import manager as nova_manager

        def refused(self: Any, context: Any, instance: Any) -> NoReturn:
            raise reason
        refused.__name__ = method
        decorated: Any = refused
        for decorate in (nova_manager.wrap_instance_fault,
                         nova_manager.wrap_instance_event(prefix='compute'),
                         nova_manager.reverts_task_state,
                         nova_manager.wrap_exception()):
            decorated = decorate(decorated)
        decorated(manager, call['context'], call['instance'])
    return refuse


def _image_back(manager: Any, call: Call, error: Exception) -> Exception:
    """nova-api has put the new image into the instance already, and the next
    hard reboot or block migration would go by it, with the old one's disk."""
    instance = call['instance']
    try:
        rebuild.give_back(instance, call['orig_image_ref'],
                         call['orig_sys_metadata'])
    except Exception as failure:
        return _not_back(manager, call, error, failure)
    if call['orig_image_ref'] != call['image_ref']:
        rebuild.tell_scheduler(call['context'], instance)
    return error


def _not_back(manager: Any, call: Call, error: Exception,
              failure: Exception) -> Exception:
    """In ERROR nobody takes it for one that is as it was."""
    instance = call['instance']
    try:
        manager._set_instance_obj_error_state(instance)
    except Exception as another:
        LOG.error('Instance could not be put into ERROR: %s', masked(another),
                  instance=instance)
    left: Exception = exception.NovaException(
        f'{error}. Its image could not be set back to '
        f'{call["orig_image_ref"]} ({masked(failure)}): do not reboot it, but '
        'rebuild it once that migration is settled')
    return faults.discreet(left, 'rebuild')


def _finished_still(manager: Any, call: Call, error: Exception) -> Exception:
    """nova-api reverts a resize whose migration is finished, and has said by now that this one is
    being reverted."""
    manager._set_migration_status(call['migration'], 'finished')
    return error


def _nothing(participant: Participant, instance: Any) -> None:
    """Nothing else has to be known: the instance is to come here, and its rows name no host, or
    another one."""


def _disconnecting(participant: Participant, instance: Any) -> str | None:
    """What the rows lead to is taken away from this host."""
    return left.refusal(participant, instance) or recorded.of(participant, instance)


def _anew(participant: Participant, instance: Any) -> str | None:
    """The same, and a guest is started here."""
    return left.starting(participant, instance) or recorded.of(participant, instance)


def _refused_by_enforce(participant: Participant, instance: Any, error: Exception) -> str | None:
    return masked(error) if participant.conf.enforce else None


def _plain(participant: Participant, instance: Any) -> AbstractContextManager[None]:
    """Nothing has to be known of it later on."""
    return contextlib.nullcontext()


@dataclasses.dataclass(frozen=True)
class Gate:
    """One operation.

    :param operation: its name for an operator
    :param refuse: how it is refused; raises
    :param under_lock: whether Nova holds the instance's lock
    :param bdms: the argument with rows that were read before
    :param when: (argument, value) with which alone it is meant
    :param waits: what it waits for while a migration is not settled
    :param further: what else may speak against it, once nothing here is unsettled
    :param unknown: what it means that this cannot be looked at
    :param around: what holds while it is carried out
    """

    operation: str
    refuse: Refuse = _plainly
    under_lock: bool = False
    bdms: str = ''
    when: tuple[str, Any] | None = None
    waits: gates.Waits = gates.Waits.BOTH
    further: Callable[[Participant, Any], str | None] = _disconnecting
    unknown: Callable[[Participant, Any, Exception], str | None] = _refused_by_enforce
    around: Callable[[Participant, Any], AbstractContextManager[None]] = _plain

    def __call__(self, wrapped: Any, manager: Any, args: Any,
                 kwargs: Any) -> Any:
        """A wrapt wrapper."""
        participant = registry.of(manager)
        if participant is None:
            return wrapped(*args, **kwargs)
        call = effects.arguments(wrapped, args, kwargs)
        if self.when and bool(call[self.when[0]]) is not self.when[1]:
            return wrapped(*args, **kwargs)
        reason = gates.settle_first(
            participant, call['instance'], call.get(self.bdms) or (),
            under_lock=self.under_lock, waits=self.waits) \
            or self._further(participant, call['instance'])
        if reason:
            self.refuse(manager, call, faults.discreet(exception.NovaException(
                f'{self.operation} refused: {reason}'), self.operation))
        with self.around(participant, call['instance']):
            return wrapped(*args, **kwargs)

    def _further(self, participant: Participant, instance: Any) -> str | None:
        try:
            return self.further(participant, instance)
        except Exception as error:
            return self.unknown(participant, instance, error)


def _on_this_host(operation: str, method: str = '') -> Gate:
    """A guest is started from its rows, which are looked at once more when Nova has read them; a
    reboot looks before it deletes attachments, see :mod:`migsafe.nova.seams.dangling`.

    :param method: the RPC method that is wrapped, if it is one
    """
    return Gate(operation, _at_the_door(method) if method else _plainly, waits=gates.Waits.HERE,
                further=left.starting, around=functools.partial(rows_read.during, operation))


#: ComputeManager's method -> its leading parameters and its gate.
GATES: dict[str, tuple[str, Gate]] = {
    '_reboot_instance': (
        'context instance', Gate('reboot', under_lock=True, waits=gates.Waits.HERE,
                                 further=left.starting)),
    '_power_on': ('context instance', _on_this_host('start')),
    'resume_instance': ('context instance', _on_this_host('resume', 'resume_instance')),
    'rescue_instance': ('context instance', _on_this_host('rescue', 'rescue_instance')),
    '_shelve_instance': (
        'context instance', Gate('shelve', under_lock=True)),
    '_shelve_offload_instance': (
        'context instance clean_shutdown bdms',
        Gate('shelve offload', under_lock=True, bdms='bdms')),
    # on the host that the instance is to come to
    '_unshelve_instance': (
        'context instance', Gate('unshelve', _unclaimed, under_lock=True, further=_nothing)),
    '_prep_resize': (
        'context image instance flavor', Gate('resize', _in_place, further=_nothing)),
    # on the host that it is on
    '_resize_instance': (
        'context instance image migration',
        Gate('resize', _migration_failed)),
    '_prep_snapshot_based_resize_at_source': (
        'ctxt instance migration', Gate('resize')),
    # on the host that it has come to, which disconnects by the rows
    'revert_resize': (
        'context instance migration',
        Gate('revert of a resize', _at_the_door('revert_resize', _finished_still))),
    # Nova takes away the allocation of a rebuild that fails further inside,
    # which for one on the same host is the only one that there is.
    'rebuild_instance': (
        'context instance orig_image_ref image_ref injected_files new_pass '
        'orig_sys_metadata bdms recreate',
        Gate('rebuild', _at_the_door('rebuild_instance', _image_back),
             bdms='bdms', when=('recreate', False), waits=gates.Waits.ARMED,
             further=_anew)),
    '_do_rebuild_instance_with_claim': (
        'context instance orig_image_ref image_meta injected_files new_pass '
        'orig_sys_metadata bdms evacuate',
        Gate('evacuation', _in_place, bdms='bdms', when=('evacuate', True),
             further=evacuation.refusal, unknown=evacuation.unknown,
             around=evacuation.under_way)),
}
