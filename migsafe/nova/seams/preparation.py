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
"""How the part of a destination begins, and how it ends when it fails."""

from __future__ import annotations

import datetime
import functools
from typing import Any

from nova import exception, objects
from nova.conf import CONF
from oslo_log import log as logging

from migsafe import exceptions
from migsafe.journal.records import Transaction
from migsafe.nova.clients import evidence, records
from migsafe.nova.host import attempt as host_attempt
from migsafe.nova.host import lease, release
from migsafe.nova.host.participant import DESTINATION, Participant
from migsafe.nova.seams import beginning
from migsafe.text import masked
from migsafe.transaction.subject import Subject
from migsafe.transaction.verdict import Verdict

LOG = logging.getLogger(__name__)


def driver_pre_live_migration(wrapped: Any, driver: Any, args: Any, kwargs: Any) -> Any:
    """A wrapt wrapper: what is captured is durable before the instance directory is made.

    An intent of a volume has seen to it as a rule; a guest without one has none.

    :raises JournalError: it cannot be made durable; nothing was done
    """
    attempt = host_attempt.current()
    if attempt is not None:
        attempt.make_durable()
    return wrapped(*args, **kwargs)


def begin(participant: Participant, attempt: host_attempt.Attempt, call: dict[str, Any],
          migration: Any, since: tuple[float, datetime.datetime]) -> None:
    """Journal what is here now, before anything is done.

    :param since: when the call came, see :func:`migsafe.nova.host.lease.clocks`
    :raises nova.exception.MigrationError: it cannot be journalled, or comes too late
    """
    try:
        attempt.tx = _begin(participant, migration, call)
        attempt.durable = False
    except exceptions.JournalError as error:
        if participant.conf.enforce:
            raise exception.MigrationError(reason=(
                f'{participant.host} cannot journal live migration '
                f'{attempt.uuid}: {masked(error)} (see [migsafe] '
                'enforce)')) from None
        LOG.error('Live migration %s is NOT protected on this host: %s',
                  attempt.uuid, masked(error))
    if attempt.tx is not None:
        attempt.lease = lease.Lease(
            lease.PART * CONF.rpc_response_timeout,
            functools.partial(lease.refusal, participant.clients, attempt.tx, plugin(call)),
            functools.partial(lease.row_of_leader, participant.clients, attempt.tx), since)


def take_back(participant: Participant, attempt: host_attempt.Attempt) -> None:
    """It has failed here, and its source has no migsafe that would lead the way back.

    Without the answer that it does not get, the source begins no transfer. So what was made here
    is taken back before it hears of the failure, as Nova itself does; all else it rolls back. What
    cannot be done now is tried again by recovery, as long as this process lives.
    """
    if attempt.tx is None:
        return
    participant.unwritten.setdefault(attempt.uuid, lambda: take_back(participant, attempt))
    try:
        outcome = release.take_back(
            participant, attempt.tx, 'pre_live_migration failed here, so that no transfer begins')
    except Exception as error:
        LOG.error('What live migration %s of instance %s has made on %s is left to recovery: %s',
                  attempt.uuid, attempt.instance_uuid, participant.host, masked(error))
        outcome = None
    if outcome is None or not outcome.clean:
        participant.recovery.nudge()
        return
    participant.unwritten.pop(attempt.uuid, None)


def plugin(call: dict[str, Any]) -> bool:
    """Whether the source has migsafe: it puts the migration into migrate_data before the call,
    and Nova fills that in only after it."""
    data = call['migrate_data']
    return bool(data is not None and 'migration' in data and data.migration)


def migration(call: dict[str, Any]) -> Any:
    """The source puts it into migrate_data; one without migsafe does not."""
    if plugin(call):
        return call['migrate_data'].migration
    return objects.Migration.get_by_instance_and_status(
        call['context'], call['instance'].uuid, 'preparing')


def _begin(participant: Participant, migration: Any, call: dict[str, Any]) -> Transaction:
    instance = call['instance']
    find = participant.clients.directories.find
    existing = find(instance.uuid, half_deleted=False)
    subject = Subject(
        instance=records.instance_row(instance),
        directory_exists=existing is not None,
        directory_half_deleted=existing is None and find(instance.uuid) is not None,
        directory_shared=beginning.shared_path(call['migrate_data']),
        request_id=beginning.request_id(call))
    known = participant.journal.get(migration.uuid, DESTINATION)
    if known is not None and known.source_host and known.verdict is None:
        raise exception.MigrationError(reason=(
            f'live migration {migration.uuid} of instance {instance.uuid} came to '
            f'{participant.host} once more; it was begun here before'))
    # An intent, or the directory, makes it durable before anything is done.
    tx: Transaction = participant.journal.unsynced.begin(
        migration.uuid, DESTINATION, instance.uuid,
        migration.source_compute, participant.host,
        dest_boot_id=evidence.boot_id(), migration_id=migration.id,
        captures=participant.engine.captures(subject))
    if tx.verdict is not None or tx.state == 'settled':
        raise exception.MigrationError(reason=(
            f'live migration {migration.uuid} of instance {instance.uuid} '
            f'came to {participant.host} after it had been rolled back '
            f'({tx.reason}); start a new one'))
    why = lease.waited(instance) and (
        lease.moved(participant.clients, tx)
        or lease.refusal(participant.clients, tx, plugin(call)))
    if why:
        if known is None:
            # Nothing was made here, and nobody has to be asked about it.
            participant.journal.finish(tx, f'not begun: {why}', verdict=Verdict.ABORT.value)
        raise exception.MigrationError(reason=(
            f'live migration {migration.uuid} of instance {instance.uuid} came to '
            f'{participant.host} too late: {why}'))
    return tx
