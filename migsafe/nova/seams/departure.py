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
"""Wrappers of what the source does once libvirt says that the guest has left it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from nova import exception, objects
from oslo_log import log as logging

from migsafe import exceptions
from migsafe.journal.effects import Planned
from migsafe.nova.host import attempt as host_attempt
from migsafe.nova.host import registry
from migsafe.nova.host.participant import Participant
from migsafe.nova.seams import effects
from migsafe.resources import volume_target
from migsafe.text import masked
from migsafe.transaction.evidence import GuestState
from migsafe.transaction.history import History
from migsafe.transaction.verdict import Decision, Verdict
from migsafe.transaction.witness import HANDED_OVER

LOG = logging.getLogger(__name__)


def post_live_migration_update_host(wrapped: Any, manager: Any, args: Any,
                                    kwargs: Any) -> Any:
    """libvirt says it is done: make the verdict durable, then go on."""
    participant, attempt = registry.of(manager), host_attempt.current()
    if participant is None or attempt is None or attempt.tx is None:
        return wrapped(*args, **kwargs)
    try:
        decision = _decide(participant, attempt)
    except exceptions.JournalError as error:
        # The guest has left: forward is the only way. What is not journalled
        # is not disconnected, and recovery does it later.
        attempt.failures.append('journal')
        LOG.error('Live migration %s of instance %s goes on without a '
                  'journalled verdict: %s', attempt.uuid,
                  attempt.instance_uuid, masked(error))
        return wrapped(*args, **kwargs)
    if decision.verdict is not Verdict.COMMIT:
        attempt.failures.append('verdict')
        raise exception.MigrationError(reason=(
            f'libvirt reported live migration {attempt.uuid} of instance '
            f'{attempt.instance_uuid} as completed, but: {decision.reason}'))
    attempt.committed = decision.teardown
    attempt.keep_devices = '' if decision.teardown else decision.reason
    return wrapped(*args, **kwargs)


def post_live_migration(wrapped: Any, manager: Any, args: Any,
                        kwargs: Any) -> Any:
    """What is left to do on the source once the guest has gone.

    Whatever fails in it, Nova writes the destination into the instance and puts it into ERROR.
    A lost reply comes after minutes, and the instance may have gone on by then: it is neither
    the destination's nor in ERROR any more. What is left is settled then, from evidence.
    """
    participant, attempt = registry.of(manager), host_attempt.current()
    if participant is None or attempt is None or attempt.tx is None:
        return wrapped(*args, **kwargs)
    try:
        return wrapped(*args, **kwargs)
    except Exception as error:
        attempt.failures.append('post_live_migration')
        why = _gone_on(participant, attempt)
        if not why:
            raise
        LOG.warning('Live migration %s of instance %s failed on %s after the guest had left '
                    '(%s), and is settled by evidence, since %s', attempt.uuid,
                    attempt.instance_uuid, participant.host, masked(error), why)
        return None


def _gone_on(participant: Participant, attempt: host_attempt.Attempt) -> str:
    """What shows that the instance is not where Nova's memory of it is; empty if nothing."""
    known = participant.clients.records
    try:
        now = known.instance(attempt.instance_uuid)
        later = known.later(attempt.tx) if now and attempt.tx else []
    except Exception as error:
        LOG.warning('It cannot be told whether instance %s has gone on: %s',
                    attempt.instance_uuid, masked(error))
        return ''
    if now is None:
        return 'it was deleted'
    if later:
        return str(later[-1])
    return f'it is on {now.host} by its record' if now.host != participant.host else ''


def _let_go(history: History) -> Iterator[Planned]:
    """What this host lets go of when the guest has left it; nothing separates it from the
    verdict, so that one commit has it all.

    A volume without connection_info is left to the settlement, see
    :func:`post_live_migration_remove_source_vol_connections`.
    """
    for volume, captured in history.captured(volume_target.NAME).items():
        if captured.get('connection_info'):
            made = captured.get('attachment_id')
            yield effects.DISCONNECT.planned(volume)
            yield effects.DELETE.planned(made) if made else effects.TERMINATE.planned(volume)


def _decide(participant: Participant, attempt: host_attempt.Attempt) -> Decision:
    assert attempt.tx is not None
    engine = participant.engine
    history = engine.history(attempt.tx)
    history.notes.add(HANDED_OVER)
    planned = list(_let_go(history))
    with host_attempt.working(None):
        evidence = engine.witness.gather(attempt.tx, history)
        attempt.tx, decision = engine.decide(attempt.tx, evidence, planned=planned)
    attempt.planned = {(p.effect, p.key): p.id for p in planned if p.id is not None}
    if decision.verdict is not Verdict.COMMIT \
            and evidence.source.guest is not GuestState.SHUT_OFF:
        # Otherwise the verdict itself says so; or the guest ended here, which
        # Nova takes for a migration that is complete.
        participant.journal.note(attempt.tx, HANDED_OVER)
    return decision


def post_live_migration_remove_source_vol_connections(
        wrapped: Any, manager: Any, args: Any, kwargs: Any) -> Any:
    """Delete the source's attachments, but none whose device is still there.
    """
    participant, attempt = registry.of(manager), host_attempt.current()
    if participant is None or attempt is None or attempt.tx is None:
        return wrapped(*args, **kwargs)
    call = effects.arguments(wrapped, args, kwargs)
    bdms = [b for b in call['source_bdms']
            if b.is_volume and b.volume_id not in attempt.kept and b.connection_info]
    if any(b.is_volume and not b.connection_info for b in call['source_bdms']):
        # It was being attached when the migration began: Nova does not know its device, and
        # the settlement looks for it.
        attempt.failures.append('a volume without connection_info')
    for volume, reason in attempt.kept.items():
        LOG.warning('Export of volume %s of instance %s to %s stays mapped: '
                    'its device could not be disconnected (%s). It is tried '
                    'again by itself.', volume, attempt.instance_uuid,
                    participant.host, reason)
    call['source_bdms'] = objects.BlockDeviceMappingList(objects=bdms)
    return wrapped(**call)
