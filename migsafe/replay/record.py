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
"""Writes down what happens in a case, as a fault plan that the laboratory asks anyway."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from migsafe.replay.lab import faults as lab_faults
from migsafe.replay.lab import world as lab_world


@dataclasses.dataclass
class Notes:
    """What belongs to which effect of the trace, by its index there.

    :param phases: (index of the first effect of the phase, its name).
    :param harms: (index of the effect that did the damage, the damage).
    :param lines: what a commit of a journal wrote.
    """

    phases: list[tuple[int, str]] = dataclasses.field(default_factory=list)
    errors: dict[int, str] = dataclasses.field(default_factory=dict)
    harms: list[tuple[int, lab_world.Harm]] = dataclasses.field(default_factory=list)
    faults: dict[int, str] = dataclasses.field(default_factory=dict)
    lines: dict[int, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    seen: int = 0


#: action of a fault -> how it reads in a timeline; others are names of what is raised.
_ACTIONS = {
    'job-fail': 'the transfer fails', 'job-cancel': 'the user aborts', 'kill': 'killed',
    'job-outlived': 'the transfer fails and leaves its copy',
    'job-crash': 'QEMU dies', 'job-power-off': 'the guest powers itself off',
    'late': 'MessagingTimeout, delivered later', 'timeout': 'MessagingTimeout',
    'hang': 'hangs, until all others have given up',
    'says-commit': 'the answer says COMMIT', 'says-abort': 'the answer says ABORT',
}
_WHEN = {'before': '', 'after': ' after it took place'}


def in_words(fault: lab_faults.Fault) -> str:
    """What went wrong with one effect."""
    return f'{_ACTIONS.get(fault.action, fault.action)}{_WHEN[fault.when]}'


@dataclasses.dataclass(frozen=True)
class Moment:
    """Something else that happens, once, right before an effect.

    :param hosts: one of them causes the effect.
    :param text: what happens, in words.
    :param happens: lets it happen; false if it cannot, so that the next such effect is waited for.
    """

    hosts: tuple[str, ...]
    kind: str
    name: str
    text: str
    happens: Callable[[], bool]

    def __str__(self) -> str:
        return f'{self.text}, at {self.kind} {self.name} of {" or ".join(self.hosts)}'

    def is_now(self, effect: lab_world.Effect) -> bool:
        """Whether this is the effect."""
        return (self.kind, self.name) == (effect.kind, effect.name) and effect.host in self.hosts


class Recorder:
    """A lab.world.Rule around another one.

    :param moments: what else is to happen; what has happened is removed.
    """

    def __init__(self, plan: lab_faults.Plan, world: lab_world.World, notes: Notes,
                 moments: list[Moment], written: Callable[[str], tuple[str, ...]]) -> None:
        self._plan = plan
        self._world = world
        self._notes = notes
        self._moments = moments
        self._written = written

    def around(self, effect: lab_world.Effect, call: Callable[[], Any],
               later: Callable[[], Any] | None) -> Any:
        """Perform an effect, and note how it went."""
        self._meanwhile(effect)
        before = len(self._plan.fired)
        try:
            return self._plan.around(effect, call, later)
        except BaseException as error:
            self._notes.errors[effect.index] = type(error).__name__
            raise
        finally:
            for fired in self._plan.fired[before:]:
                self._notes.faults.setdefault(fired.effect.index, in_words(fired.fault))
            self._harm(effect)
            if effect.kind == 'journal':
                self._notes.lines[effect.index] = self._written(effect.host)

    def _harm(self, effect: lab_world.Effect) -> None:
        for harm in self._world.harms[self._notes.seen:]:
            self._notes.harms.append((effect.index, harm))
            self._notes.seen += 1

    def _meanwhile(self, effect: lab_world.Effect) -> None:
        for moment in [m for m in self._moments if m.is_now(effect)]:
            # before it happens, since it may cause such an effect itself
            self._moments.remove(moment)
            if moment.happens():
                self._notes.faults[effect.index] = moment.text
            else:
                self._moments.append(moment)
