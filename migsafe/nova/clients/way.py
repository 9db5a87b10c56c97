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

from typing import Any

from nova.conf import CONF
from oslo_log import log as logging

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


def find(driver: Any, instance_uuid: str, destination: str, address: str) -> Path:
    """Look at the way from here to a host.

    :param driver: Nova's libvirt driver
    :param address: what the destination has said, see :func:`inbound`
    :raises nova.exception.LiveMigrationURINotAvailable: there is none for this hypervisor
    """
    uri = driver._live_migration_uri(address or destination)
    tunnelled = CONF.libvirt.live_migration_tunnelled
    return path.look(uri, _memory(driver, instance_uuid), () if tunnelled else path.QEMU_PORTS)


def _memory(driver: Any, instance_uuid: str) -> int | None:
    """Bytes of a guest."""
    try:
        domain = driver._host.get_connection().lookupByUUIDString(instance_uuid)
        return int(domain.info()[1]) * 1024
    except Exception as error:
        LOG.debug('The memory of %s is not known: %s', instance_uuid, masked(error))
        return None
