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
"""What one fault of the catalogue is made of."""

from __future__ import annotations

import dataclasses
from typing import Any

#: Arguments of migsafe.replay.lab.faults.Fault; ``host`` is a role.
Spec = dict[str, Any]

SOURCE = 'source'
DESTINATION = 'destination'
#: Where the guest is migrated to next.
THIRD = 'third'


@dataclasses.dataclass(frozen=True)
class Entry:
    """One fault that is replayed.

    :param text: what goes wrong, in one sentence for people who know Nova.
    :param armed_faults: the same failure of the same step where migsafe does that step with a
        call of its own; None where the call is the same.
    :param dies: (role, kind, name): nova-compute of that host is killed at the moment at which
        the other host does that.
    :param reboot: roles of the hosts that are rebooted before recovery.
    :param stays_down: roles of the hosts that come back only after everybody else has tried.
    :param restored: (role, kind, name): that host is stopped when all has come to rest, and its
        journal is put back to what it was when it did that.
    :param returns: (role, kind, name): the guest is migrated on to a third host while what has
        died or was stopped is down; that starts again at the moment at which the role does that.
    :param hold: (role, volume, holder): who keeps that volume's device open, for the same time.
    :param next_step: what the owner does afterwards, one of lab.case.NEXT_STEPS.
    :param mended: which of :data:`migsafe.replay.unmended.MENDINGS` is about this fault. It is
        replayed once more without them, which has to do harm.
    """

    name: str
    group: str
    text: str
    faults: tuple[Spec, ...] = ()
    armed_faults: tuple[Spec, ...] | None = None
    dies: tuple[str, str, str] | None = None
    reboot: tuple[str, ...] = ()
    stays_down: tuple[str, ...] = ()
    restored: tuple[str, str, str] | None = None
    returns: tuple[str, str, str] | None = None
    hold: tuple[tuple[str, int, str], ...] = ()
    next_step: str = 'hard_reboot'
    mended: str = ''

    @property
    def waits(self) -> bool:
        """Whether something that recovery needs comes back only later."""
        return bool(self.stays_down or self.hold or self.returns)


def on(host: str, kind: str, name: str, action: str, **more: Any) -> Spec:
    """A fault of one call of one host; see lab.faults.Fault for the words."""
    return {'host': host, 'kind': kind, 'name': name, 'action': action, **more}


#: The hypervisor gives the running transfer up, which is how most migrations fail.
TRANSFER_FAILS = on(SOURCE, 'libvirt', 'migrateToURI3', 'job-fail')
