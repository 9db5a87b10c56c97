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
"""What is known of one live migration on one host."""

from __future__ import annotations

import dataclasses
import enum

#: Statuses of a live migration that has not ended (LiveMigrationTask, ComputeManager and
#: LibvirtDriver set them; nova.objects knows no list of them).
GOING_ON = ('accepted', 'pre-migrating', 'queued', 'preparing', 'running', 'running (post-copy)',
            'post-migrating')


class State(enum.Enum):
    """How it stands, the worst first."""

    STUCK = 'stuck'
    UNSETTLED = 'unsettled'
    UNKNOWN = 'unknown'
    RUNNING = 'running'


@dataclasses.dataclass(frozen=True)
class Progress:
    """libvirt's statistics of a transfer (virDomainGetJobStats), of memory and disks together.

    :param elapsed: seconds since it began
    :param total: bytes of the guest
    :param processed: bytes that were sent, those that the guest wrote again as often as it did
    :param remaining: bytes that are still to be sent
    """

    elapsed: float
    total: int
    processed: int
    remaining: int

    @property
    def percent(self) -> int:
        """How much need not be sent any more."""
        return 100 - round(100 * self.remaining / self.total) if self.total else 0

    @property
    def mark(self) -> tuple[int, int]:
        """What differs once anything has moved."""
        return self.processed, self.remaining


@dataclasses.dataclass(frozen=True)
class Migration:
    """One live migration, for people and over the message bus.

    :param state: a value of :class:`State`
    :param migration: its uuid
    :param host: who says so
    :param role: what that host is to it: source or destination
    :param age: seconds since it began
    :param phase: what was done last
    :param progress: percent that need not be sent any more; None where there is no transfer
    :param reason: why it is stuck or unsettled, with what resolves it
    """

    state: str
    migration: str
    instance: str
    host: str
    role: str
    source: str
    destination: str
    age: float
    phase: str
    progress: int | None = None
    reason: str = ''
