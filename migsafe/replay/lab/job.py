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
"""What a live migration is to libvirt: a job, and the errors it ends in."""

from __future__ import annotations

import threading

from nova.tests.fixtures import libvirt as fakelibvirt

# reasons that Nova's fake does not define, with libvirt's numbers (virDomainPausedReason)
PAUSED_UNKNOWN = 0
PAUSED_USER = 1
PAUSED_MIGRATION = 2
PAUSED_API_ERROR = 14
RUNNING_BOOTED = 1
RUNNING_MIGRATED = 2
RUNNING_MIGRATION_CANCELED = 6
SHUTOFF_UNKNOWN = 0
SHUTOFF_SHUTDOWN = 1
SHUTOFF_DESTROYED = 2
SHUTOFF_CRASHED = 3
SHUTOFF_MIGRATED = 4
VIR_ERR_OPERATION_ABORTED = 78
# virDomainJobOperation
MIGRATION_OUT = 5
VIR_MIGRATE_PERSIST_DEST = 1 << 3

#: How a guest ends on the source in the middle of its transfer, and libvirt's reason for it.
ENDS = {'crash': SHUTOFF_CRASHED, 'power-off': SHUTOFF_SHUTDOWN}
#: It fails, and the copy that was coming in stays.
OUTLIVED = 'outlived'
#: Seconds after which a laboratory that waits for itself is called broken.
PATIENCE = 300.0


def error(message: str, code: int) -> Exception:
    """A libvirtError as the QEMU driver raises it."""
    made: Exception = fakelibvirt.make_libvirtError(
        fakelibvirt.libvirtError, message, error_code=code,
        error_domain=fakelibvirt.VIR_FROM_QEMU)
    return made


class Job:
    """One migration job: it goes on when it is polled a second time, or when nobody is left.

    :param polls: how often it shows itself running before it ends.
    """

    def __init__(self, polls: int = 1) -> None:
        self.polls = polls
        #: milliseconds for which it says that it has lasted
        self.elapsed = 1
        self.verdict = 'complete'
        self._go = threading.Event()
        self._over = threading.Event()

    def release(self) -> None:
        """Let it come to its end."""
        self._go.set()

    def wait(self) -> str:
        """Block as migrateToURI3 does; returns 'complete', 'fail', 'cancel', OUTLIVED or one of
        ENDS."""
        self._go.wait(PATIENCE)
        return self.verdict

    def end(self) -> None:
        """It is over, whatever the result."""
        self._over.set()

    def join(self) -> None:
        """Wait until it is over."""
        self._over.wait(PATIENCE)

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self._over.is_set()
