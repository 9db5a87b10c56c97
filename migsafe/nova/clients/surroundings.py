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
"""What this nova-compute finds around itself and a guest. It changes nothing.

How fast a guest writes is read and not measured: to measure is a job of QEMU within the guest's
process, which whoever is answerable for the guest begins (virsh domdirtyrate-calc).
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any, TypeVar

from nova import context as nova_context
from nova import exception, objects, utils
from nova.conf import CONF
from os_brick.privileged import rootwrap
from oslo_log import log as logging

from migsafe.brick.kernel import bounded
from migsafe.brick.root import privileged
from migsafe.conf import files
from migsafe.lvm import services
from migsafe.nova.clients import native_tls
from migsafe.nova.clients.records import connection_info
from migsafe.preflight import multipath, portals
from migsafe.preflight.surroundings import Cpu, DirtyRate, Lvm, Queueing, Surroundings, Way
from migsafe.text import masked

LOG = logging.getLogger(__name__)
T = TypeVar('T')
#: VIR_DOMAIN_STATS_DIRTYRATE, since libvirt 7.2; an older one leaves it out.
DIRTYRATE = 1 << 9
#: VIR_DOMAIN_DIRTYRATE_MEASURED.
MEASURED = 2
MIB = 1 << 20
#: Seconds for multipathd to answer.
MULTIPATHD = 3
#: Seconds for one command of LVM, and for the whole check. A pvs that a disk keeps is left.
LVM, LVM_WHOLE = 4, 6


def of_host(driver: Any, host: str, instance_uuid: str) -> Surroundings:
    """What this host finds; what cannot be found out is None.

    :param driver: Nova's libvirt driver
    """
    return Surroundings(
        host, _asked(lambda: ways(instance_uuid)), _asked(lambda: written(driver, instance_uuid)),
        _asked(queueing) if CONF.libvirt.volume_use_multipath else None,
        _asked(lambda: cpu(driver, host, instance_uuid)), _asked(native_tls.look),
        _asked(lvm))


def _asked(question: Callable[[], T]) -> T | None:
    try:
        return question()
    except Exception as error:
        LOG.debug('The preflight does not know this: %s', masked(error))
        return None


def ways(instance_uuid: str) -> tuple[Way, ...]:
    """Whether this host reaches the portals of an instance's volumes, by Nova's rows.

    They are those that Cinder gave to the source; an array gives the same to other hosts, unless
    it is told to mask them.
    """
    rows = objects.BlockDeviceMappingList.get_by_instance_uuid(
        nova_context.get_admin_context(), instance_uuid)
    return portals.look((str(row.volume_id), connection_info(row.connection_info) or {})
                        for row in rows if row.is_volume)


def written(driver: Any, instance_uuid: str) -> DirtyRate | None:
    """What was measured last; None if libvirt does not say."""
    connection = driver._host.get_connection()
    domain = connection.lookupByUUIDString(instance_uuid)
    # Under eventlet it comes in a tpool.Proxy, and libvirt asks what class those in a list are.
    domain = getattr(domain, '_obj', domain)
    (_domain, found), = connection.domainListGetStats([domain], DIRTYRATE, 0)
    if 'dirtyrate.calc_status' not in found:
        return None
    helped = (CONF.libvirt.live_migration_permit_auto_converge,
              CONF.libvirt.live_migration_permit_post_copy)
    if found['dirtyrate.calc_status'] != MEASURED:
        return DirtyRate(None, 0.0, *helped)
    # QEMU takes the time from CLOCK_MONOTONIC, in seconds (get_clock()).
    return DirtyRate(int(found['dirtyrate.megabytes_per_second']) * MIB,
                     max(0.0, time.monotonic() - found['dirtyrate.calc_start_time']), *helped)


def queueing() -> Queueing:
    """What multipathd of this host does without a path.

    :raises Exception: it does not say
    """
    out, _err = rootwrap.execute('multipathd', 'show', 'config', 'local', run_as_root=True,
                                 root_helper=utils.get_root_helper(), timeout=MULTIPATHD)
    if 'defaults {' not in out:
        raise ValueError('multipathd does not show its configuration')
    return multipath.queueing(out)


def cpu(driver: Any, host: str, instance_uuid: str) -> Cpu | None:
    """What Nova will say of this host's CPU, by the comparison that it makes itself
    (LibvirtDriver.check_can_live_migrate_destination); it asks libvirt and changes nothing.

    :returns: None on the source
    :raises Exception: it cannot be compared
    """
    context = nova_context.get_admin_context()
    instance = objects.Instance.get_by_uuid(
        context, instance_uuid, expected_attrs=['vcpu_model', 'numa_topology'])
    if instance.host == host:
        return None
    numa = bool(instance.numa_topology)
    if CONF.workarounds.skip_cpu_compare_on_dest or CONF.libvirt.virt_type != 'kvm':
        return Cpu(compared=False, numa=numa)
    guest = instance.vcpu_model if instance.vcpu_model and instance.vcpu_model.model else None
    source = None if guest else objects.ComputeNode.get_by_host_and_nodename(
        context, instance.host, instance.node).cpu_info
    try:
        driver._compare_cpu(guest, source, instance)
    except exception.InvalidCPUInfo as error:
        return Cpu(masked(error), numa=numa)
    return Cpu(numa=numa)


def lvm() -> Lvm:
    """What "migsafe lvm check" says of this host.

    :raises Exception: the configuration, or the helper that is root, does not answer
    """
    named = [[group.vg_name, group.who] for group in services.both(files.read_by(CONF))]
    found = bounded.one(
        'lvm', functools.partial(privileged.lvm_advice, named, LVM), LVM_WHOLE, join=True)
    return Lvm(found.get('verdict', ''), found.get('reason') or found.get('problem', ''))
