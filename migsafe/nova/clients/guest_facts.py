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
"""What this nova-compute tells a repair of one guest: what libvirt and the kernel have of it.

It changes nothing, and takes nothing from Nova's records.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from nova import context as nova_context
from nova import objects
from nova.compute import power_state
from oslo_log import log as logging

from migsafe.brick import errors
from migsafe.brick.kernel import address, sysfs
from migsafe.journal.api import Journal
from migsafe.text import masked
from migsafe.transaction.clients import Guests
from migsafe.transaction.evidence import GuestState

LOG = logging.getLogger(__name__)


def of_guest(manager: Any, journal: Journal, guests: Guests, instance_uuid: str,
             leads: Sequence[address.Lead] | None = None) -> dict[str, Any]:
    """What this host says.

    :param manager: the ComputeManager, with a libvirt driver
    :param journal: this host's
    :param leads: what a connection for this host leads to; the answer has the disks that the
        kernel has of it, whoever uses them
    :raises JournalError: it cannot be read
    """
    driver, found = manager.driver, guests.evidence(instance_uuid)
    instance = objects.Instance(context=nova_context.get_admin_context(), uuid=instance_uuid)
    said: dict[str, Any] = {
        'evidence': found.as_payload(), 'power': None, 'disks': [], 'connector': {},
        # NOTE: Nova writes nothing for as long as it waits, which may be days.
        'waiting': instance_uuid in manager._waiting_live_migrations,
        'devices': None if leads is None else address.leading_to(sysfs.Sysfs(), leads),
        'unsettled': bool(journal.unsettled_for_instance(instance_uuid))}
    if found.guest is GuestState.HERE:
        guest = driver._host.get_guest(instance)
        said.update(power=int(guest.get_info(driver._host).state),
                    disks=list(_disks(guest.get_config())))
    said['connector'] = _connector(driver, instance)
    return said


def running(driver: Any) -> list[str]:
    """The guests that run here; one that is coming in is paused until it has arrived.

    :param driver: Nova's libvirt driver
    """
    return [str(guest.uuid) for guest in driver._host.list_guests()
            if guest.get_power_state(driver._host) == power_state.RUNNING]


def _disks(config: Any) -> Iterable[dict[str, Any]]:
    """The volumes of a guest, as libvirt has them now."""
    for device in config.devices:
        if device.root_name == 'disk' and device.serial:
            path = str(device.source_path or '')
            yield {'volume': str(device.serial), 'path': path,
                   'leads': leads(path) if path else _image(device)}


def _image(device: Any) -> list[tuple[str, str]]:
    """The name of an image that QEMU itself has open over the network."""
    return [(str(device.source_name), '')] if device.source_name else []


def leads(path: str) -> list[tuple[str, str]]:
    """Where each path of a block device leads to; empty if one of them does not tell."""
    kernel, name = sysfs.Sysfs(), sysfs.kernel_name(path)
    if name is None:
        return []
    try:
        found = [address.address(kernel, disk) for disk in kernel.slaves(name) or [name]]
    except (sysfs.Gone, errors.Unsure):
        return []
    told = [(one.target, str(one.lun)) for one in found if one is not None and one.target]
    return sorted(set(told)) if len(told) == len(found) else []


def _connector(driver: Any, instance: Any) -> dict[str, Any]:
    try:
        return dict(driver.get_volume_connector(instance))
    except Exception as error:
        LOG.info('The connector of this host is not known: %s', masked(error))
        return {}
