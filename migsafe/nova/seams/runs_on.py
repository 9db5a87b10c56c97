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
"""A guest that runs is not moved by rows that lead to other disks than it runs on (incident 000).

When the guest has gone, its source disconnects by them, and what they lead to is somebody else's.
This is before anything has changed, and this host's own kernel says it: nobody else is asked. A
row with an identity is compared with the disk when that is disconnected.
"""

from __future__ import annotations

from typing import Any

from oslo_log import log as logging

from migsafe.nova.clients import devices
from migsafe.nova.host.participant import Participant
from migsafe.nova.seams import recorded
from migsafe.resources import volume_record
from migsafe.text import masked, shell
from migsafe.transaction.clients import ConnectionInfo

LOG = logging.getLogger(__name__)


def refusal(participant: Participant, manager: Any, instance: Any) -> str | None:
    """Why a guest must not leave this host; None if it may, or nothing tells.

    :param manager: the compute manager, with the libvirt driver
    """
    if not recorded.meant(participant, instance):
        return None
    try:
        used = {disk.serial: disk.source_path
                for disk in manager.driver._host.get_guest(instance).get_all_disks()
                if disk.source_type == 'block' and disk.serial and disk.source_path}
        for row in participant.clients.records.volumes(instance.uuid):
            path, info = used.get(row.volume_id), row.connection_info or {}
            if not path or not _by_number(info):
                continue
            leads = devices.elsewhere(manager.driver, participant.host, path, info)
            if leads and recorded.binds(participant, instance, why := _told(
                    participant.host, instance, row.volume_id, path, leads)):
                return why
    except Exception as error:
        LOG.warning('Whether the rows of its volumes lead to the disks that it runs on is not '
                    'known, and its live migration goes on: %s', masked(error), instance=instance)
    return None


def _by_number(info: ConnectionInfo) -> bool:
    """Whether nothing but a number tells which disk is disconnected."""
    return bool(str(info.get('driver_volume_type')) in devices.LOOKED_UP
                and isinstance(info.get('data'), dict) and not volume_record.noted(info))


def _told(host: str, instance: Any, volume: str, path: str, leads: str) -> str:
    return (f'instance {instance.uuid} runs on {shell(path)} of {host} as its volume {volume}, '
            f'but the row of that volume leads to {shell(leads)} there. That is the disk of '
            'somebody else, and would be disconnected when the guest has left. '
            + recorded.WAY_OUT % {'host': host})
