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
"""Refuses a live migration while the guest just keeps running."""

from __future__ import annotations

from typing import Any

from nova import exception
from oslo_log import log as logging

from migsafe.nova.clients import instance_lock
from migsafe.nova.host import attempt as host_attempt
from migsafe.nova.host import registry
from migsafe.nova.host.participant import Participant
from migsafe.nova.seams import effects, faults, gates, rollback, runs_on
from migsafe.text import masked

LOG = logging.getLogger(__name__)

#: What the conductor takes for "not now" (ConductorManager._live_migrate).
REFUSALS = (
    exception.ComputeHostNotFound, exception.ComputeServiceUnavailable,
    exception.DestinationHypervisorTooOld, exception.HypervisorUnavailable,
    exception.InstanceInvalidState, exception.InvalidCPUInfo,
    exception.InvalidHypervisorType, exception.InvalidLocalStorage,
    exception.InvalidSharedStorage, exception.MigrationPreCheckError,
    exception.NoValidHost, exception.UnableToMigrateToSelf)


def precheck(wrapped: Any, manager: Any, args: Any, kwargs: Any) -> Any:
    """A live migration is refused while the guest just keeps running."""
    participant = registry.of(manager)
    if participant is None:
        return wrapped(*args, **kwargs)
    instance = effects.arguments(wrapped, args, kwargs)['instance']
    reason = gates.reason_of(participant, instance.uuid) or _at_work(participant, instance.uuid)
    reason = reason or runs_on.refusal(participant, manager, instance)
    if reason is None and participant.conf.enforce:
        reason = _not_writable(participant)
    if reason:
        # The conductor tells the operator only that no host is valid.
        LOG.warning('Live migration refused on %s: %s', participant.host,
                    reason, instance=instance)
        raise exception.MigrationPreCheckError(
            reason=faults.public('live migration'))
    try:
        with host_attempt.protected():
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
    why = rollback.writable(participant)
    return why and (f'{why}; a migration that cannot be journalled is '
                    'not started (see [migsafe] enforce)')
