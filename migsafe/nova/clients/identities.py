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
"""What Nova's rows of volumes say of the disks behind them."""

from __future__ import annotations

from typing import Any

from nova import context as nova_context
from nova import objects
from oslo_log import log as logging

from migsafe.brick import errors
from migsafe.brick.guard import judge, policy
from migsafe.brick.identity import designators
from migsafe.nova.clients.records import connection_info
from migsafe.text import masked

LOG = logging.getLogger(__name__)


def wanted(instance_uuids: list[str]) -> dict[tuple[str, str], judge.Wanted]:
    """(instance uuid, volume id) -> what is known of the volume."""
    found = {}
    rows = objects.BlockDeviceMappingList.bdms_by_instance_uuid(
        nova_context.get_admin_context(), instance_uuids)
    for instance, bdms in rows.items():
        for bdm in bdms:
            if bdm.is_volume and bdm.volume_id:
                found[instance, bdm.volume_id] = _wanted(bdm)
    return found


def _wanted(bdm: Any) -> judge.Wanted:
    """A volume by its BlockDeviceMapping; without identity where that says none."""
    try:
        info = connection_info(bdm.connection_info) or {}
        data = info.get('data')
        identity = designators.read(
            data.get(policy.KEY) or () if isinstance(data, dict) else ())
    except (ValueError, errors.BadPage) as bad:
        LOG.warning('connection_info of volume %s of instance %s is not to be '
                    'understood: %s', bdm.volume_id, bdm.instance_uuid, masked(bad))
        identity = frozenset()
    return judge.Wanted(bdm.volume_id, identity)
