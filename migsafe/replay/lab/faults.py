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
"""Faults as data, and the plan that lets them happen."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

from migsafe.replay.lab import errors, hanging, hypervisor
from migsafe.replay.lab import world as lab_world

#: Actions besides those of errors.RAISES, errors.ANSWERS and errors.LIES.
#:
#: kill: the process that causes the effect is killed before or after it.
#: late: the sender of an RPC gets a time-out at once; it is delivered later, see Lab.late().
#: lost: nothing happens, and the caller is told that it did.
#: hang: the process gets stuck before it and answers nobody, until Lab.go_on().
#: job-fail, job-cancel: the hypervisor fails, or the user aborts, the running transfer.
#: job-outlived: it fails, and the copy on the destination stays until somebody destroys it.
#: job-crash, job-power-off: QEMU dies on the source, or the guest powers itself off, during it.
SPECIAL = ('kill', 'late', 'lost', 'hang', 'job-fail', 'job-cancel', 'job-crash',
           'job-power-off', 'job-outlived')
FOR_EVER = 0


@dataclasses.dataclass(frozen=True)
class Fault:
    """One thing that goes wrong.

    :param kind: kind of the effect: rpc, cinder, neutron, placement, db, brick, libvirt, event,
        journal.
    :param name: name of the effect in the trace, as 'attachments.delete'.
    :param action: a key of errors.RAISES, errors.ANSWERS or errors.LIES, or one of SPECIAL.
    :param host: whose effect, or None for anybody's.
    :param volume: about which volume of the guest, or None for any.
    :param nth: which of the effects that match, counted from 1.
    :param times: how many in a row, FOR_EVER for all; Nova tries some calls five times.
    :param when: 'before' the effect, or 'after': it took place and only the answer is lost.
    :param phase: 'migrate', or 'recover' for what comes after restart.
    """

    kind: str
    name: str
    action: str
    host: str | None = None
    volume: int | None = None
    nth: int = 1
    times: int = 1
    when: str = 'before'
    phase: str = 'migrate'

    def __post_init__(self) -> None:
        known = {*errors.RAISES, *errors.ANSWERS, *errors.LIES, *SPECIAL}
        if self.action not in known:
            raise ValueError(f'{self.action} is not an action; known are '
                             f'{", ".join(sorted(known))}')
        if self.when not in ('before', 'after'):
            raise ValueError(f"{self.when} must be 'before' or 'after'")

    def __str__(self) -> str:
        disk = '' if self.volume is None else f' of volume {self.volume}'
        nth = '' if self.nth == 1 else f' #{self.nth}'
        return (f'{self.action} {self.when} {self.host or "any"} {self.kind} '
                f'{self.name}{disk}{nth}')

    def matches(self, effect: lab_world.Effect) -> bool:
        """Whether this is one of the effects that are counted."""
        return ((self.kind, self.name) == (effect.kind, effect.name)
                and self.host in (None, effect.host)
                and self.volume in (None, effect.volume))


@dataclasses.dataclass
class Fired:
    """A fault that took place, and on which effect."""

    fault: Fault
    effect: lab_world.Effect


class Plan:
    """The faults of one phase of one case; knows how often each was passed.

    :ivar hang: the host that gets stuck in it, if one does.
    """

    def __init__(self, faults: Iterable[Fault], world: lab_world.World,
                 connections: dict[str, hypervisor.Connection]) -> None:
        self._world = world
        self._connections = connections
        self._seen = dict.fromkeys(faults, 0)
        self.fired: list[Fired] = []
        self.hang = next((hanging.Hang(str(fault.host), world) for fault in self._seen
                          if fault.action == 'hang'), None)

    def around(self, effect: lab_world.Effect, call: Callable[[], Any],
               later: Callable[[], Any] | None) -> Any:
        """Perform an effect with whatever goes wrong with it."""
        hang = self.hang
        if hang is None or not hang.concerns(effect):
            return self._around(effect, call, later)
        if hang.stuck and later is not None:
            return hang.keep(later)
        return hang.ask(lambda: self._around(effect, call, later))

    def _around(self, effect: lab_world.Effect, call: Callable[[], Any],
                later: Callable[[], Any] | None) -> Any:
        due = self._due(effect)
        if due is None:
            return call()
        self.fired.append(Fired(due, effect))
        if due.action.startswith('job-'):
            self._spoil_job(effect.host, due.action)
            return call()
        if due.action in errors.LIES:
            return errors.LIES[due.action](call())
        if due.action == 'hang' and self.hang is not None:
            self.hang.begin()
            return call()
        if due.when == 'before':
            return self._act(due, later)
        result = call()
        if due.action == 'late':
            due = dataclasses.replace(due, action='timeout')
        return self._act(due, later) if due.action != 'lost' else result

    def _due(self, effect: lab_world.Effect) -> Fault | None:
        chosen = None
        for fault, seen in self._seen.items():
            if not fault.matches(effect):
                continue
            self._seen[fault] = seen + 1
            last = fault.nth + fault.times - 1
            if fault.nth <= seen + 1 and (fault.times == FOR_EVER or seen + 1 <= last):
                chosen = chosen or fault
        return chosen

    def _act(self, fault: Fault, later: Callable[[], Any] | None) -> Any:
        if fault.action in errors.RAISES:
            raise errors.RAISES[fault.action]()
        if fault.action in errors.ANSWERS:
            return errors.ANSWERS[fault.action]()
        if fault.action == 'kill':
            return self._kill()
        if fault.action == 'late':
            if later is None:
                raise ValueError(f'{fault}: only an RPC can be late')
            return later()
        return None

    def _kill(self) -> None:
        process = self._world.current()
        if process is None:
            raise ValueError('only a compute host can be killed, not the control plane')
        process.alive = False
        raise lab_world.Killed(process.host)

    def _spoil_job(self, host: str, action: str) -> None:
        verdict = action.removeprefix('job-')
        connection = self._connections[host]
        if not connection.jobs:
            connection.next_verdict = verdict
        for job in connection.jobs:
            job.verdict = verdict


def points(trace: Iterable[lab_world.Effect], hosts: Iterable[str]) -> list[Fault]:
    """One kill before every effect of these hosts in a recorded run, and one after it.

    :returns: faults whose ``nth`` finds the very same effect in another run.
    """
    counts: dict[tuple[Any, ...], int] = {}
    found = []
    wanted = tuple(hosts)
    for effect in trace:
        if effect.host not in wanted:
            continue
        # a fault that names no volume counts the effects on all of them
        for volume in {None, effect.volume}:
            where = (effect.kind, effect.name, effect.host, volume)
            counts[where] = counts.get(where, 0) + 1
        where = (effect.kind, effect.name, effect.host, effect.volume)
        for when in ('before', 'after'):
            found.append(Fault(effect.kind, effect.name, 'kill', effect.host, effect.volume,
                               counts[where], when=when))
    return found


def single(trace: Iterable[lab_world.Effect], hosts: Iterable[str]) -> list[Fault]:
    """Every failure that suits (errors.SUITS), before and after every effect of these hosts."""
    return [dataclasses.replace(point, action=action)
            for point in points(trace, hosts) for action in errors.SUITS[point.kind]
            if not (action == 'late' and point.when == 'after')]
