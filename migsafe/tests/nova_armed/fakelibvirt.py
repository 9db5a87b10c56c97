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
"""What Nova's fake libvirt lacks to tell where a guest runs.

Applied to plain and to armed runs alike, so that both see the same libvirt:

* ``Domain.state()`` does not exist, because Nova itself calls ``info()``.
* After a successful migration the fake leaves the domain running on the
  source; a real one is gone from there as soon as the job has completed.
* ``jobStats()`` answers for a domain that has no QEMU; libvirt refuses.
* ``defineXML()`` of a running domain replaces it by one that is shut off.
* Before Nova 2026.2 every domain is born with a migration job that runs.
"""

from types import ModuleType
from typing import Any

# From libvirt-domain.h; the fake has the states but not the reasons.
RUNNING_BOOTED, RUNNING_MIGRATED = 1, 2
PAUSED_USER = 1
SHUTOFF_SHUTDOWN, SHUTOFF_MIGRATED = 1, 4


def patch(module: ModuleType) -> None:
    """Complete the fake, given nova.tests.fixtures.libvirt."""
    module.Domain.__init__ = _init(module)
    module.Domain.state = _state(module)
    module.Domain.jobStats = _job_stats(module)
    module.Domain.complete_job = _complete_job(module)
    module.Connection.defineXML = _define(module)


def _init(module: ModuleType) -> Any:
    original = module.Domain.__init__

    def init(domain: Any, *args: Any, **kwargs: Any) -> None:
        original(domain, *args, **kwargs)
        domain._job_type = module.VIR_DOMAIN_JOB_NONE

    return init


def _state(module: ModuleType) -> Any:
    def state(domain: Any, flags: int = 0) -> list[int]:
        incoming = RUNNING_MIGRATED if domain._transient else RUNNING_BOOTED
        gone = getattr(domain, "_left_by_migration", False)
        reasons = {
            module.VIR_DOMAIN_RUNNING: incoming,
            module.VIR_DOMAIN_PAUSED: PAUSED_USER,
            module.VIR_DOMAIN_SHUTOFF: SHUTOFF_MIGRATED if gone else SHUTOFF_SHUTDOWN,
        }
        return [domain._state, reasons.get(domain._state, 0)]

    return state


def _job_stats(module: ModuleType) -> Any:
    original = module.Domain.jobStats

    def job_stats(domain: Any, flags: int = 0) -> Any:
        if domain._state == module.VIR_DOMAIN_SHUTOFF:
            raise module.make_libvirtError(
                module.libvirtError,
                "Requested operation is not valid: domain is not running",
                error_code=module.VIR_ERR_OPERATION_INVALID,
                error_domain=module.VIR_FROM_QEMU,
            )
        return original(domain, flags)

    return job_stats


def _complete_job(module: ModuleType) -> Any:
    original = module.Domain.complete_job

    def complete_job(domain: Any) -> None:
        running = domain._connection._running_vms
        for number in [n for n, other in running.items() if other is domain]:
            del running[number]
        # In this order: Nova's monitor thread takes a domain that is not
        # running, like a job that is completed, for a migration that is done.
        domain._left_by_migration = True
        domain._state = module.VIR_DOMAIN_SHUTOFF
        original(domain)

    return complete_job


def _define(module: ModuleType) -> Any:
    original = module.Connection.defineXML

    def define(connection: Any, xml: str) -> Any:
        before = {d.UUIDString(): (n, d) for n, d in connection._running_vms.items()}
        domain = original(connection, xml)
        if domain.UUIDString() in before:
            number, old = before[domain.UUIDString()]
            connection._running_vms[number] = domain
            domain._state, domain._id = old._state, old._id
        return domain

    return define
