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
"""Whether an instance may be evacuated to this host while a live migration of it is open.

Its source is down, or there were no evacuation. Its destination may have the guest, or devices
of it that rows lead to: Nova would start a second copy, and delete attachments from under them.
"""

from __future__ import annotations

from typing import Any

from nova import context as nova_context
from nova import exception, objects
from oslo_log import log as logging

from migsafe.nova.host.participant import Participant
from migsafe.resources import instance_record
from migsafe.text import masked, shell
from migsafe.transaction.clients import LIVE_MIGRATION

LOG = logging.getLogger(__name__)


def refusal(participant: Participant, instance: Any) -> str | None:
    """Why it has to wait; None if nothing speaks against it.

    :param instance: with the host that it is evacuated from
    """
    try:
        return next(filter(None, (_open(participant, instance, migration)
                                  for migration in _unfinished(instance.uuid))), None)
    except Exception as error:
        return masked(error) if participant.conf.enforce else None


def _unfinished(instance_uuid: str) -> list[Any]:
    found = objects.MigrationList.get_by_filters(
        nova_context.get_admin_context(),
        {'instance_uuid': instance_uuid, 'migration_type': LIVE_MIGRATION})
    return [one for one in found if one.status not in instance_record.TERMINAL]


def _open(participant: Participant, instance: Any, migration: Any) -> str | None:
    other = migration.dest_compute
    if not other or other in (participant.host, instance.host):
        return None  # this host's own is settled first, by its journal
    said = participant.clients.peer.describe(other, migration.uuid)
    if said is not None and (not said['known'] or said['state'] == 'settled'):
        return None
    why = f'it is not settled on {other}' if said else f'{other} does not answer'
    if said is None and _forced_down(other):
        return None
    return (f'live migration {migration.uuid} of instance {instance.uuid} from '
            f'{migration.source_compute} to {other} is {migration.status}, and {why}. If '
            f'{migration.source_compute} is dead, `migsafe settle {shell(migration.uuid)} '
            f'--peer-is-dead {shell(migration.source_compute)}` on {other} settles it; if '
            f'{other} is dead too, `openstack compute service set --down {shell(other)} '
            'nova-compute` says so')


def _forced_down(host: str) -> bool:
    """Whether an operator says that a host is fenced."""
    try:
        return bool(objects.Service.get_by_compute_host(
            nova_context.get_admin_context(), host).forced_down)
    except exception.NotFound as error:
        LOG.info('Nova has no service of host %s: %s', host, masked(error))
        return False
