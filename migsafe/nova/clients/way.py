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
"""By which way a live migration leaves this host, by Nova's options and its driver."""

from __future__ import annotations

import dataclasses
from typing import Any

from nova.conf import CONF
from oslo_log import log as logging

from migsafe.brick.root import privileged, qemu_conf
from migsafe.preflight import path
from migsafe.preflight.path import Path
from migsafe.text import masked

LOG = logging.getLogger(__name__)


def inbound() -> str:
    """The address at which this host expects guests; empty if it is that of its name.

    As LibvirtDriver.pre_live_migration tells the source; see _live_migration_operation there.
    """
    return '' if CONF.libvirt.live_migration_tunnelled else str(
        CONF.libvirt.live_migration_inbound_addr or '')


def qemu_settings() -> dict[str, str] | None:
    """What qemu.conf of this host says of migrations; None if it cannot be read."""
    try:
        try:
            return qemu_conf.settings()
        except PermissionError:
            found: dict[str, str] = privileged.qemu_settings()
            return found
    except Exception as error:
        LOG.debug('%s cannot be read: %s', qemu_conf.FILE, masked(error))
        return None


def qemu_ports() -> tuple[int, int] | None:
    """The first and the last port at which QEMU of this host expects guests; None if qemu.conf
    cannot be read."""
    found = qemu_settings()
    return None if found is None else qemu_conf.ports(found)


def find(driver: Any, instance_uuid: str, destination: str, address: str,
         ports: tuple[int, int] | None = None) -> Path:
    """Look at the way from here to a host.

    :param driver: Nova's libvirt driver
    :param address: what the destination has said, see :func:`inbound`
    :param ports: the same, see :func:`qemu_ports`
    :raises nova.exception.LiveMigrationURINotAvailable: there is none for this hypervisor
    """
    uri = driver._live_migration_uri(address or destination)
    tunnelled = CONF.libvirt.live_migration_tunnelled
    return dataclasses.replace(path.look(
        uri, _memory(driver, instance_uuid), () if tunnelled else ports or path.QEMU_PORTS,
        who=path.QEMU if ports else path.QEMU_ASSUMED), inbound=address)


def _memory(driver: Any, instance_uuid: str) -> int | None:
    """Bytes of a guest."""
    try:
        domain = driver._host.get_connection().lookupByUUIDString(instance_uuid)
        return int(domain.info()[1]) * 1024
    except Exception as error:
        LOG.debug('The memory of %s is not known: %s', instance_uuid, masked(error))
        return None
