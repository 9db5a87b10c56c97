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
"""One case: what is set up, what goes wrong, and what was found afterwards."""

from __future__ import annotations

import dataclasses

from migsafe.replay.lab import faults as lab_faults
from migsafe.replay.lab import observe, world

#: What an owner or an operator does next; each can turn residue into lost data.
NEXT_STEPS = ('hard_reboot', 'stop_start', 'detach', 'delete')


@dataclasses.dataclass(frozen=True)
class Case:
    """A guest, one live migration of it and what goes wrong.

    :param reboot: hosts that are rebooted, not only their nova-compute, before recovery.
    :param restart: hosts whose nova-compute is restarted although nothing killed it.
    :param hold: (host, volume, holder): something on that host keeps that volume's device open.
    :param next_step: one of NEXT_STEPS, done for real at the end, or None.
    :param stays_down: hosts that are not restarted, though they were killed.
    """

    name: str
    faults: tuple[lab_faults.Fault, ...] = ()
    volumes: int = 2
    backends: tuple[str, ...] = ('iscsi',)
    multiattach: bool = False
    encrypted: bool = False
    legacy: bool = False
    reboot: tuple[str, ...] = ()
    restart: tuple[str, ...] = ()
    hold: tuple[tuple[str, int, str], ...] = ()
    next_step: str | None = 'hard_reboot'
    stays_down: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class NextStep:
    """What became of the next step.

    :param done: whether the operation succeeded.
    :param status: the server's status after it, or why the API refused it.
    """

    operation: str
    done: bool
    status: str
    harms: tuple[world.Harm, ...]


@dataclasses.dataclass
class CaseResult:
    """What a case showed.

    :param fired: the faults that took place; a case whose fault did not fire proves nothing.
    :param left: residue when everything had come to rest, before anything was restarted.
    :param residue: what is still there after restart and recovery.
    :param harms: damage done by the migration and its recovery themselves.
    :param late: the messages that were delivered after their sender had given up.
    """

    case: Case
    fired: list[lab_faults.Fired] = dataclasses.field(default_factory=list)
    accepted: bool = False
    status: str = ''
    running_on: list[str] = dataclasses.field(default_factory=list)
    left: list[observe.Residue] = dataclasses.field(default_factory=list)
    residue: list[observe.Residue] = dataclasses.field(default_factory=list)
    harms: list[world.Harm] = dataclasses.field(default_factory=list)
    next_step: NextStep | None = None
    late: list[str] = dataclasses.field(default_factory=list)
    killed: list[str] = dataclasses.field(default_factory=list)
    trace: list[world.Effect] = dataclasses.field(default_factory=list)
    log: str = ''
    seconds: float = 0.0

    @property
    def all_fired(self) -> bool:
        """Whether every fault of the case took place."""
        return {f.fault for f in self.fired} == set(self.case.faults)

    @property
    def clean(self) -> bool:
        """Nothing left, no damage, and the next step does none either."""
        step = self.next_step
        return not (self.residue or self.harms or (step and (step.harms or not step.done)))
