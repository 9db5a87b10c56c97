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
"""What one fault did to one Nova, in a form that goes through a pipe and into a file."""

from __future__ import annotations

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class Found:
    """One piece of residue: lab.observe.Residue without the laboratory."""

    kind: str
    detail: str
    host: str | None = None
    volume: int | None = None


@dataclasses.dataclass(frozen=True)
class Hurt:
    """Damage that was done; ``what`` says in words what ``kind`` is."""

    kind: str
    host: str
    detail: str
    what: str


@dataclasses.dataclass(frozen=True)
class Next:
    """The next thing the owner did."""

    operation: str
    done: bool
    status: str
    harms: tuple[Hurt, ...] = ()


@dataclasses.dataclass(frozen=True)
class Step:
    """One line of a timeline.

    :param lane: 'control', a host, or '' for what concerns all of them.
    :param kind: an effect's kind, 'journal', 'harm' or 'phase'.
    :param fault: the fault that happened to this effect, in words.
    :param error: what the caller got to see of it, or of what happened inside.
    :param reads: whether it only looks.
    """

    lane: str
    kind: str
    text: str
    volume: int | None = None
    fault: str = ''
    error: str = ''
    reads: bool = False


@dataclasses.dataclass(frozen=True)
class Verdict:
    """One participant's transaction at the end, or while it waited."""

    host: str
    role: str
    state: str
    verdict: str
    reason: str


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What one fault did.

    :param fired: whether every fault took place; without that nothing else counts.
    :param missing: the faults that did not.
    :param error: why the replay itself failed, if it did.
    :param residue: what is left after restart and recovery.
    :param waiting: what was left while a peer was down or a device held; None if nothing was.
    :param pending: the transactions that were open at that time.
    :param harms: damage done by the migration and what followed by itself.
    """

    name: str
    armed: bool
    fired: bool = False
    missing: tuple[str, ...] = ()
    error: str = ''
    status: str = ''
    running_on: tuple[str, ...] = ()
    residue: tuple[Found, ...] = ()
    waiting: tuple[Found, ...] | None = None
    pending: tuple[Verdict, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    harms: tuple[Hurt, ...] = ()
    next: Next | None = None
    steps: tuple[Step, ...] = ()
    seconds: float = 0.0

    @property
    def valid(self) -> bool:
        """Whether this says anything at all."""
        return self.fired and not self.error

    @property
    def clean(self) -> bool:
        """Nothing left, no damage, and the next step worked and did none either."""
        return (self.valid and not self.residue and not self.harms and self.next is not None
                and self.next.done and not self.next.harms)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**dataclasses.asdict(self), 'clean': self.clean}


def load(found: dict[str, Any]) -> Outcome:
    """The counterpart of Outcome.as_dict()."""
    plain = {key: value for key, value in found.items() if key != 'clean'}
    after = plain['next']
    if after is not None:
        after = Next(**{**after, 'harms': _each(Hurt, after['harms'])})
    waiting = plain['waiting']
    return Outcome(**{
        **plain, 'next': after, 'missing': tuple(plain['missing']),
        'running_on': tuple(plain['running_on']), 'residue': _each(Found, plain['residue']),
        'waiting': None if waiting is None else _each(Found, waiting),
        'pending': _each(Verdict, plain['pending']),
        'verdicts': _each(Verdict, plain['verdicts']), 'harms': _each(Hurt, plain['harms']),
        'steps': _each(Step, plain['steps'])})


def _each(cls: Any, found: Any) -> tuple[Any, ...]:
    return tuple(cls(**one) for one in found)
