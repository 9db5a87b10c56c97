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
"""What this nova-compute tells the preflight of itself and of one guest. It changes nothing."""

from __future__ import annotations

import itertools
import os
import pathlib
import time
from typing import Any

from nova import exception, utils
from nova import version as nova_version
from nova.conf import CONF
from os_brick.initiator import linuxfc, linuxscsi
from os_brick.initiator.connectors import iscsi
from oslo_log import log as logging

import migsafe.version
from migsafe.journal import residue
from migsafe.journal.api import Journal
from migsafe.nova.clients import guest_disks
from migsafe.preflight.guest import Guest
from migsafe.preflight.report import Connector, Directory, Options, Report, Service
from migsafe.text import masked

LOG = logging.getLogger(__name__)

#: Pieces of residue that are told.
MAX_PIECES = 20
#: Where nvme-cli keeps the host's name. os-brick would make the file if it is not there.
HOSTNQN = '/etc/nvme/hostnqn'


def of_host(driver: Any, host: str, journal: Journal, instance_uuid: str) -> Report:
    """What this host says.

    :param driver: Nova's libvirt driver
    :param journal: this host's
    :raises JournalError: it cannot be read
    """
    guest, problem = _guest(driver, instance_uuid)
    version = nova_version.version_string()
    return Report(
        host, migsafe.version.version(), version, time.time(),
        guest_disks.storage(CONF, version), options(), connector(), directory(instance_uuid),
        _residue(journal, instance_uuid), guest, problem)


def _guest(driver: Any, instance_uuid: str) -> tuple[Guest | None, str]:
    try:
        return guest_disks.read(driver, instance_uuid), ''
    except exception.InstanceNotFound:
        return None, 'libvirt has no such guest'
    except Exception as error:
        return None, f'the guest could not be looked at: {masked(error)}'


def _residue(journal: Journal, instance_uuid: str) -> tuple[str, ...]:
    """What is unsettled or held; damaged rows are shown as such."""
    found = itertools.islice(residue.listed(journal, instance_uuid), MAX_PIECES)
    return tuple(' '.join(filter(None, (piece.kind, piece.state, piece.resource, piece.key,
                                        piece.reason))) for piece in found)


def options() -> Options:
    """Nova's options that a live migration depends on."""
    libvirt = CONF.libvirt
    return Options(
        rpc_response_timeout=CONF.rpc_response_timeout, long_rpc_timeout=CONF.long_rpc_timeout,
        completion_timeout=libvirt.live_migration_completion_timeout,
        downtime_steps=libvirt.live_migration_downtime_steps,
        downtime_delay=libvirt.live_migration_downtime_delay,
        migsafe_rpc_timeout=CONF.migsafe.rpc_timeout,
        call_retries=CONF.migsafe.call_retries,
        service_token=bool(CONF.service_user.send_service_user_token
                           and CONF.service_user.auth_type),
        multipath=bool(libvirt.volume_use_multipath),
        enforce_multipath=bool(libvirt.volume_enforce_multipath),
        device_guards=bool(CONF.migsafe.device_guards), virt_type=libvirt.virt_type,
        services=(
            Service('cinder', CONF.cinder.http_retries, None),
            Service('glance', CONF.glance.num_retries, None),
            Service('neutron', CONF.neutron.http_retries, None),
            Service('placement', CONF.placement.connect_retries or 0,
                    CONF.placement.status_code_retries or 0)))


def connector() -> Connector:
    """What this host has to reach volumes with, as os-brick finds it out."""
    helper = utils.get_root_helper()
    return Connector(
        str(_asked(lambda: iscsi.ISCSIConnector.get_connector_properties(
            helper)['initiator']) or ''),
        len(_asked(lambda: linuxfc.LinuxFibreChannel(helper).get_fc_wwpns()) or ()),
        str(_asked(lambda: pathlib.Path(HOSTNQN).read_text('ascii').strip()) or ''),
        _asked(lambda: bool(linuxscsi.LinuxSCSI.is_multipath_running(root_helper=helper)))
        if CONF.libvirt.volume_use_multipath else None)


def _asked(question: Any) -> Any:
    """An answer, or None where there is none."""
    try:
        return question()
    except Exception as error:
        LOG.debug('The preflight does not know this: %s', masked(error))
        return None


def directory(instance_uuid: str) -> Directory:
    """The instance's directory on this host."""
    try:
        found = os.stat(os.path.join(CONF.instances_path, instance_uuid))
    except FileNotFoundError:
        return Directory()
    return Directory(True, found.st_ino, found.st_mtime_ns)
