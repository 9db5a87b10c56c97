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
"""Brings BDM rows up to date that Nova has read before a settlement changed them.

What disconnects by them must have those of this host.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from typing import Any

from nova import context as nova_context
from nova import objects
from oslo_log import log as logging
from oslo_serialization import jsonutils
from oslo_utils import timeutils

from migsafe import exceptions
from migsafe.nova.clients import records
from migsafe.nova.host import attempt as host_attempt
from migsafe.nova.host.participant import SOURCE, Participant
from migsafe.nova.seams import effects
from migsafe.resources import volume_target
from migsafe.text import masked, shell
from migsafe.transaction.clients import VolumeRow

LOG = logging.getLogger(__name__)

#: Longer than a message waits for its host.
AS_OLD_AS_A_MESSAGE = datetime.timedelta(hours=1)


def settled_lately(participant: Participant, instance_uuid: str) -> bool:
    """Whether rows that came in a message may be older than a settlement."""
    since = timeutils.utcnow() - AS_OLD_AS_A_MESSAGE
    return any(tx.settled_at is not None
               and timeutils.normalize_time(tx.settled_at) > since
               for tx in participant.journal.list(
                   instance_uuid=instance_uuid, newest=True))


def reread(participant: Participant, instance_uuid: str,
           bdms: Iterable[Any]) -> None:
    """Bring rows that Nova read before up to date."""
    now = {row.bdm_id: row for row in
           participant.clients.records.volumes(instance_uuid)}
    for bdm in bdms:
        row = now.get(bdm.id)
        if row is not None and row.connection_info is not None:
            bdm.attachment_id = row.attachment_id
            bdm.connection_info = jsonutils.dumps(row.connection_info)
            bdm.obj_reset_changes(['attachment_id', 'connection_info'])


def saved(wrapped: Any, bdm: Any, args: Any, kwargs: Any) -> Any:
    """A wrapt wrapper: what a destination writes into a row in its part of a migration.

    Nova has no conditional write for it. So a step that is late asks before it writes, and once
    more afterwards, and puts the row back if it was not its own any more.

    :raises nova.exception.MigrationError: it is not
    """
    attempt = host_attempt.current()
    if attempt is None or attempt.tx is None or attempt.lease is None:
        return wrapped(*args, **kwargs)
    if attempt.fenced.is_set():
        # Nova's own way back, which would write over what the source has put right.
        bdm.obj_reset_changes()
        return None
    before = _before(attempt, bdm) if attempt.lease.overdue() else None
    result = wrapped(*args, **kwargs)
    # The write itself may have taken long.
    if not (attempt.fenced.is_set() or attempt.lease.overdue()) or not attempt.stopped():
        return result
    with host_attempt.working(None):  # what is fenced is the step of Nova, not its undoing
        before = before or attempt.lease.row_of_leader(_row(bdm))
        if before is not None:
            _put_back(attempt, bdm, before)
    effects.check_fence(attempt)


def _before(attempt: host_attempt.Attempt, bdm: Any) -> VolumeRow:
    """The row that is about to be written late.

    :raises nova.exception.MigrationError: it is not this migration's to write any more
    """
    effects.check_fence(attempt)
    before = _row(bdm)
    if 'attachment_id' not in bdm.obj_what_changed() \
            and before.attachment_id != bdm.attachment_id:
        attempt.fenced.set()
        effects.check_fence(attempt)
    return before


def _row(bdm: Any) -> VolumeRow:
    now = objects.BlockDeviceMapping.get_by_volume_and_instance(
        nova_context.get_admin_context(), bdm.volume_id, bdm.instance_uuid)
    return records.volume_row(now)


def _put_back(attempt: host_attempt.Attempt, bdm: Any, before: VolumeRow) -> None:
    now = _row(bdm)
    if now.attachment_id not in (bdm.attachment_id, before.attachment_id):
        return
    done = records.Records(None).replace_connection(
        attempt.instance_uuid, now, before.attachment_id, before.connection_info or {})
    what = 'has been put back' if done else 'was changed again meanwhile, and is left as it is'
    LOG.warning('Row %s of volume %s of instance %s was written too late and %s; see `migsafe '
                'journal show %s`', now.bdm_id, now.volume_id, attempt.instance_uuid, what,
                shell(attempt.uuid))


def foreign(participant: Participant, instance_uuid: str) -> str | None:
    """Which row is not known to lead to this host; None if all are.

    :raises Exception: when Nova's database or Cinder cannot be asked
    """
    rows = participant.clients.records.volumes(instance_uuid)
    try:
        unknown = [row for row in rows if not _journalled(
            participant, instance_uuid, row)]
    except exceptions.JournalError as error:
        LOG.warning('Rows of instance %s are compared with Cinder alone: %s',
                    instance_uuid, masked(error))
        unknown = rows
    if not unknown:
        return None
    hosts = {a.id: a.host for a in
             participant.clients.volumes.attachments(instance_uuid)}
    for row in unknown:
        host = hosts.get(row.attachment_id or '')
        if host != participant.host:
            return (f'row {row.bdm_id} of volume {row.volume_id} names '
                    f'attachment {row.attachment_id} of '
                    f'{host or "no known host"}, and its LUN on '
                    f'{participant.host} may be the disk of another')
    return None


def _journalled(participant: Participant, instance_uuid: str,
                row: VolumeRow) -> bool:
    """Whether it is what this host had, or made, in an unsettled migration."""
    for tx in participant.journal.unsettled_for_instance(instance_uuid):
        history = participant.engine.history(tx)
        info = history.connections.get(row.volume_id)
        made = history.attachments.get(row.volume_id, [None])
        if tx.role == SOURCE:
            captured = history.capture(volume_target.NAME, row.volume_id)
            info = captured.get('connection_info')
            made = [captured.get('attachment_id')]
        if info and row.attachment_id in made \
                and volume_target.same(row.connection_info, info):
            return True
    return False
