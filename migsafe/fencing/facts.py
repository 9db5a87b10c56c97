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
"""What several looks of several probes come to: the columns of the table of verdicts."""

from __future__ import annotations

import collections
import dataclasses
import enum
from collections.abc import Iterable, Sequence

from migsafe.fencing.signs import Checker, Meaning, Observation, Sign, Strength


class Life(enum.Enum):
    """Signs of life."""

    PROVEN = 'proven'
    HINTED = 'hinted'
    NONE = 'none'


@dataclasses.dataclass(frozen=True)
class Limits:
    """How much has to be seen.

    :param samples: looks of each probe
    :param loss_percent: share of the other hosts that may fall silent at the same time
    :param believe_forced_down: whether a word is enough where all is silent
    :param without_witness: whether nobody has to show that who looks is not cut off
    """

    samples: int = 3
    loss_percent: int = 30
    believe_forced_down: bool = True
    without_witness: bool = False


@dataclasses.dataclass(frozen=True)
class Facts:
    """The columns of the table.

    :param guest: it was seen running there, by anybody
    :param life: the strongest sign of life in any look
    :param silent: at least one way to the host was tried, and each that was is silent
    :param off: its power was off in each look
    :param declared: it was forced down in each look
    :param cut: the storage accepts nothing of it, in each look
    :param believed: whether a word is enough where all is silent
    :param stale: Nova had no heartbeat of late, in each look
    :param enough: each probe has looked often enough
    :param blind: whoever looks sees no other host either
    :param alone: there is no other host that could be seen, and has to be
    :param storm: too many hosts have fallen silent at once, by their records or when asked
    """

    guest: bool = False
    life: Life = Life.NONE
    silent: bool = False
    off: bool = False
    declared: bool = False
    cut: bool = False
    believed: bool = True
    stale: bool = False
    enough: bool = True
    blind: bool = False
    alone: bool = False
    storm: bool = False


def gather(seen: Sequence[Observation], checker: Checker, limits: Limits) -> Facts:
    """The facts of one host.

    :param seen: of all probes and all looks
    """
    looks: dict[str, set[int]] = collections.defaultdict(set)
    for one in seen:
        looks[one.probe].add(one.sample)
    return Facts(
        guest=any(one.sign is Sign.GUEST_RUNS for one in seen), life=_life(seen),
        silent=_silent(seen), off=_held(Sign.OFF, seen, limits.samples),
        declared=_held(Sign.DECLARED, seen, limits.samples),
        cut=_held(Sign.CUT, seen, limits.samples), believed=limits.believe_forced_down,
        enough=bool(looks) and all(len(one) >= limits.samples for one in looks.values()),
        stale=_held(Sign.STALE, seen, limits.samples), blind=checker.sees_others is False,
        alone=checker.sees_others is None and not limits.without_witness,
        storm=any(silent * 100 > all_ * limits.loss_percent for silent, all_ in (
            (checker.lost, checker.others), (checker.unheard, checker.asked))))


def _held(sign: Sign, seen: Iterable[Observation], samples: int) -> bool:
    """Whether one probe saw it each time."""
    times = collections.Counter(
        probe for probe, _sample in {(one.probe, one.sample) for one in seen if one.sign is sign})
    return any(count >= samples for count in times.values())


def _life(seen: Sequence[Observation]) -> Life:
    if _beats(seen):
        return Life.PROVEN
    found = {one.strength for one in seen if one.meaning is Meaning.ALIVE}
    return (Life.PROVEN if Strength.PROOF in found else
            Life.HINTED if found else Life.NONE)


def _beats(seen: Sequence[Observation]) -> bool:
    """Whether a number that only a living host counts up has gone up, whatever the clocks say."""
    counted: dict[str, set[int]] = collections.defaultdict(set)
    for one in seen:
        if one.sequence is not None:
            counted[one.probe].add(one.sequence)
    return any(len(numbers) > 1 for numbers in counted.values())


def _silent(seen: Sequence[Observation]) -> bool:
    """Every way that could be tried gave nothing but silence.

    A probe that could not look at all says nothing for or against it, but there must be one that
    could, each time.
    """
    signs: dict[str, set[Sign]] = collections.defaultdict(set)
    for one in seen:
        signs[one.probe].add(one.sign)
    return any(Sign.SILENT in found and Sign.NOTHING not in found for found in signs.values()) \
        and not any(one.meaning is Meaning.ALIVE for one in seen)
