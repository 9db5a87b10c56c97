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
"""Evidence from this host's libvirt."""

from __future__ import annotations

from typing import Any

from nova.virt.libvirt import host as libvirt_host

from migsafe.text import masked
from migsafe.transaction.evidence import NO_QEMU, GuestState, HostEvidence

G = GuestState

#: Where the kernel says which boot this is; see Documentation/admin-guide/
#: sysctl/kernel.rst, random/boot_id.
BOOT_ID = '/proc/sys/kernel/random/boot_id'

# virDomainState and the reasons that matter (libvirt-domain.h). Written out
# because nova-compute must not need libvirt-python merely to read the table.
NOSTATE, RUNNING, BLOCKED, PAUSED, SHUTDOWN, SHUTOFF, CRASHED, SUSPENDED = \
    range(8)
RUNNING_POSTCOPY, RUNNING_POSTCOPY_FAILED = 10, 11
PAUSED_MIGRATION, PAUSED_STARTING_UP = 2, 11
PAUSED_POSTCOPY, PAUSED_POSTCOPY_FAILED, PAUSED_API_ERROR = 12, 13, 14
SHUTOFF_MIGRATED = 4

#: (state, reason) -> what it means; (state, None) is for all other reasons.
STATES: dict[tuple[int, int | None], G] = {
    (RUNNING, RUNNING_POSTCOPY): G.POSTCOPY,
    (RUNNING, RUNNING_POSTCOPY_FAILED): G.POSTCOPY,
    (RUNNING, None): G.HERE,
    (BLOCKED, None): G.HERE,
    (PAUSED, PAUSED_MIGRATION): G.IN_TRANSFER,
    (PAUSED, PAUSED_STARTING_UP): G.IN_TRANSFER,
    (PAUSED, PAUSED_POSTCOPY): G.POSTCOPY,
    (PAUSED, PAUSED_POSTCOPY_FAILED): G.POSTCOPY,
    (PAUSED, None): G.HERE,
    (SUSPENDED, None): G.HERE,
    (SHUTDOWN, None): G.HERE,       # being shut down: QEMU is still there
    (SHUTOFF, SHUTOFF_MIGRATED): G.HANDED_OVER,
    (SHUTOFF, None): G.SHUT_OFF,
    # QEMU is still there until libvirt has acted on on_crash, and stays with
    # "preserve"; a guest whose QEMU is gone is SHUTOFF with reason CRASHED.
    (CRASHED, None): G.HERE,
}
#: virDomainJobType: BOUNDED and UNBOUNDED are jobs that are being worked on.
ACTIVE_JOBS = frozenset((1, 2))
#: How libvirt calls a guest that was stopped for its migration, by itself or by a suspend in the
#: middle of it, and one that it could not let run again when that had failed, in newer versions. A
#: guest that its user has paused before is none of them.
STOPPED = frozenset(((PAUSED, PAUSED_MIGRATION), (PAUSED, PAUSED_API_ERROR)))


def guest_state(state: int, reason: int) -> GuestState:
    """Translate libvirt's (state, reason)."""
    return STATES.get((state, reason),
                      STATES.get((state, None), G.UNKNOWN))


def boot_id() -> str | None:
    """This boot's id, or None where the kernel does not say."""
    try:
        with open(BOOT_ID, encoding='ascii') as source:
            return source.read().strip()
    except OSError:
        return None


def _job(domain: Any, guest: GuestState) -> bool:
    """Whether libvirt migrates a domain that has a QEMU.

    libvirt's QEMU driver (qemuDomainGetJobStatsInternal) answers for the
    source of a migration only. Of a guest that is coming in it refuses, with
    OPERATION_INVALID or, in newer versions, OPERATION_UNSUPPORTED, and of a
    domain whose QEMU is gone by now with the former. A copy that is still
    stopped is its source's business, and the source is asked as well; any
    other domain for which it refuses is on the way to another state.
    """
    try:
        return bool(domain.jobStats()['type'] in ACTIVE_JOBS)
    except Exception as error:
        if _code(error) not in (
                libvirt_host.libvirt.VIR_ERR_OPERATION_INVALID,
                libvirt_host.libvirt.VIR_ERR_OPERATION_UNSUPPORTED):
            raise
        return guest is not G.IN_TRANSFER


def _code(error: Exception) -> int | None:
    """libvirt's number of an error, None for any other exception.

    Nova imports libvirt-python late, and so its constants are looked up when
    they are needed.
    """
    code = getattr(error, 'get_error_code', None)
    return code() if code else None


class Guests:
    """See :class:`migsafe.transaction.clients.Guests`."""

    def __init__(self, manager: Any) -> None:
        self._manager = manager

    def evidence(self, instance_uuid: str) -> HostEvidence:
        host = self._manager.host
        try:
            domain = self._domain(instance_uuid)
            if domain is None:
                return HostEvidence(host, G.ABSENT, boot_id=boot_id(),
                                       detail='no domain')
            state, reason = domain.state(0)[:2]
            guest = guest_state(state, reason)
            job = guest not in NO_QEMU and _job(domain, guest)
        except Exception as error:
            return HostEvidence(host, G.UNKNOWN, boot_id=boot_id(),
                                   detail=f'libvirt: {masked(error)}')
        return HostEvidence(
            host, guest, job=job, boot_id=boot_id(),
            detail=f'libvirt state {state} reason {reason}')

    def stopped(self, instance_uuid: str) -> bool:
        domain = self._domain(instance_uuid)
        # What is coming in is stopped as well; of that libvirt tells no job.
        return domain is not None and tuple(domain.state(0)[:2]) in STOPPED \
            and domain.jobStats()['type'] not in ACTIVE_JOBS

    def resume(self, instance_uuid: str) -> None:
        self._domain(instance_uuid).resume()

    def _domain(self, instance_uuid: str) -> Any:
        connection = self._manager.driver._host.get_connection()
        try:
            return connection.lookupByUUIDString(instance_uuid)
        except Exception as error:
            if _code(error) == libvirt_host.libvirt.VIR_ERR_NO_DOMAIN:
                return None
            raise
