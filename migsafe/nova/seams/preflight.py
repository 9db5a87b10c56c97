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
"""What would become of the disks, looked at where Nova has just agreed to a live migration.

Nova's own check says whether disks are copied, and does not look whether that brings all of them
over: incident 002. Nothing is asked here but this host's libvirt; Nova's rows are read only where
a disk would be harmed without them.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from nova import exception, objects
from nova import version as nova_version
from nova.conf import CONF
from oslo_log import log as logging

from migsafe.nova.clients import guest_disks
from migsafe.nova.seams import effects, faults
from migsafe.preflight import answers, fate
from migsafe.preflight.checks.disks import KNOWN
from migsafe.preflight.decision import Situation
from migsafe.preflight.fate import Harm, Judged
from migsafe.text import masked

LOG = logging.getLogger(__name__)


def check_source(wrapped: Any, driver: Any, args: Any, kwargs: Any) -> Any:
    """A wrapt wrapper of LibvirtDriver.check_can_live_migrate_source."""
    data = wrapped(*args, **kwargs)
    if CONF.migsafe.preflight == 'off' or CONF.libvirt.virt_type not in KNOWN:
        return data
    call = effects.arguments(wrapped, args, kwargs)
    instance = call['instance']
    try:
        found = harms(driver, call, data)
    except Exception as error:
        found = [f'what becomes of the disks is not known: {masked(error)}']
    if found:
        _say(instance, found)
    return data


def harms(driver: Any, call: dict[str, Any], data: Any) -> list[str]:
    """What the migration would do to disks that it does not bring over whole.

    :param call: the arguments of the check
    :param data: its answer
    """
    instance = call['instance']
    guest = guest_disks.outline(
        driver, instance, guest_disks.mapped(call.get('block_device_info')))
    here = guest_disks.storage(CONF, nova_version.version_string())
    # NOTE: the destination does not say where it keeps instances, and other places do not work.
    found = Situation(guest, here, dataclasses.replace(here, images_type=data.image_type),
                      bool(data.is_shared_instance_path))
    if not _harmed(found, data):
        return []
    rows = objects.BlockDeviceMappingList.get_by_instance_uuid(call['context'], instance.uuid)
    found = dataclasses.replace(found, guest=dataclasses.replace(
        guest, volumes=guest_disks.volumes_of(rows)))
    return [f'{answers.harm(one)}. {answers.remedy(one, instance.uuid)}'
            for one in _harmed(found, data)]


def _harmed(found: Situation, data: Any) -> list[Judged]:
    return [one for one in fate.judge(found, bool(data.block_migration))
            if one.row.harm is not Harm.NONE]


def _say(instance: Any, found: list[str]) -> None:
    """Log it, and refuse if that is wanted.

    :raises nova.exception.MigrationPreCheckError: so that the conductor tries another host, where
        it may choose one, and the guest keeps running
    """
    enforced = CONF.migsafe.preflight == 'enforce'
    for one in found:
        LOG.warning('Live migration %s ([migsafe] preflight = %s): %s', 'refused' if enforced
                    else 'goes on', CONF.migsafe.preflight, one, instance=instance)
    if enforced:
        raise exception.MigrationPreCheckError(reason=faults.failed(
            'the check of the disks for a live migration'))
