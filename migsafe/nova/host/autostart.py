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
"""Guests that libvirt itself would start with the host.

Nova never asks for that, and an operator may have. A host that comes back after an evacuation then
starts its guests before nova-compute can look where they are by now.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from oslo_log import log as logging

from migsafe.text import masked, shell
from migsafe.transaction.clients import InstanceRow

LOG = logging.getLogger(__name__)


def settle(manager: Any, host: str, instance: Callable[[str], InstanceRow | None]) -> None:
    """Have libvirt start nothing with this host that lives on another one, and name the rest.

    What is no instance of Nova is left alone. It never raises: nova-compute starts all the same.

    :param manager: Nova's ComputeManager, whose driver is connected
    :param host: this one
    :param instance: uuid -> its row
    """
    try:
        domains = [one for one in manager.driver._host.list_instance_domains(only_running=False)
                   if one.autostart()]
    except Exception as error:
        LOG.warning('Which guests libvirt starts with %s is not known: %s', host, masked(error))
        return
    for domain in domains:
        try:
            _settle(domain, host, instance(domain.UUIDString()))
        except Exception as error:
            LOG.error('libvirt on %s starts guest %s with the host, and whether it still does, or '
                      'should, is not known: %s', host, domain.UUIDString(), masked(error))


def _settle(domain: Any, host: str, row: InstanceRow | None) -> None:
    if row is None:
        return
    if row.host in (None, host):
        LOG.warning(
            'libvirt on %s starts instance %s with the host, before it can be known whether that '
            'was evacuated meanwhile: virsh autostart --disable %s. See [DEFAULT] '
            'resume_guests_state_on_host_boot for what nova-compute can do instead', host,
            row.uuid, shell(domain.name()))
        return
    runs = bool(domain.isActive())
    domain.setAutostart(0)
    if domain.autostart():
        raise RuntimeError('libvirt has been told not to, and still says that it does')
    LOG.log(logging.ERROR if runs else logging.WARNING,
            'libvirt on %s does not start instance %s with the host any more: Nova has it on %s. '
            '%s', host, row.uuid, row.host, 'IT RUNS HERE, and may run there as well: look with '
            '"virsh list", and at its disks' if runs else 'It does not run here')
