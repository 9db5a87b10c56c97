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
"""Which tests of a tier a run takes: a sample, drawn by a seed that changes with the commit."""

import dataclasses
import hashlib
import pathlib
import re
import subprocess
import time
from collections.abc import Iterable, Sequence


@dataclasses.dataclass(frozen=True)
class Group:
    """Tests that run together: those of a class with a set-up of its own, or else a single one.

    :param name: of the class, or of the test.
    :param seconds: how long it takes, as far as that is known.
    """

    name: str
    tests: tuple[str, ...]
    seconds: float = 0.0

    @property
    def kind(self) -> str:
        """Of which a sample has at least one: its module, or a kind that stands after that in
        lower case, as the kinds of the fault matrix do."""
        found = re.match(r"(?:\w+\.)*?test_\w+(?:\.[a-z]+(?=\.))?", self.name)
        return found.group() if found else self.name


@dataclasses.dataclass(frozen=True)
class Share:
    """How much of a tier a run takes.

    :param seconds: of recorded time that a sample takes; drawing ends with the group that
        reaches it, so that one that is longer than all of it is drawn too, now and then.
    :param always: regular expressions of groups that are in every sample.
    :param quick: groups that take less than so many seconds are in every sample, and are not
        counted against the others.
    :param kinds: of so large a part of the kinds one group at least is in a sample; which kinds
        these are is drawn, too.
    """

    seconds: float
    always: tuple[str, ...] = ()
    quick: float = 0.0
    kinds: float = 1.0


def seed_of(top: pathlib.Path) -> str:
    """The commit, by which each one draws another sample; the day where there is no git."""
    git = subprocess.run(
        ("git", "-C", str(top), "rev-parse", "HEAD"), capture_output=True, text=True, check=False
    )
    return git.stdout.strip()[:12] or time.strftime("%Y-%m-%d", time.gmtime())


def rank(seed: str, name: str) -> str:
    """Where a name stands in the order of a seed. It depends on nothing else: another test that
    comes or goes changes nobody's place."""
    return hashlib.sha256(f"{seed}\0{name}".encode()).hexdigest()


def draw(groups: Iterable[Group], share: Share, seed: str) -> list[Group]:
    """The sample: what is always in it, one of each kind, and others until the time is used up."""
    ranked = sorted(groups, key=lambda group: rank(seed, group.name))
    drawn = [group for group in ranked if group.seconds < share.quick]
    kinds = {group.kind for group in drawn} | _left_out(ranked, share, seed)
    rest = [group for group in ranked if group.seconds >= share.quick]
    spent = 0.0
    for group in _in_turn(rest, share, kinds):
        floor = _always(group, share) or group.kind not in kinds
        if floor or spent < share.seconds:
            drawn.append(group)
            kinds.add(group.kind)
            spent += group.seconds
    return drawn


def _left_out(ranked: Sequence[Group], share: Share, seed: str) -> set[str]:
    """The kinds of which nothing need be in the sample of this seed."""
    bound = int(share.kinds * 16**8)
    return {g.kind for g in ranked if int(rank(seed, g.kind)[:8], 16) >= bound}


def _in_turn(ranked: Sequence[Group], share: Share, kinds: set[str]) -> list[Group]:
    """First what is in every sample, then the first of each kind, then the rest."""
    firsts: dict[str, Group] = {}
    for group in ranked:
        if group.kind not in kinds:
            firsts.setdefault(group.kind, group)
    return sorted(
        ranked,
        key=lambda group: (not _always(group, share), firsts.get(group.kind) is not group),
    )


def _always(group: Group, share: Share) -> bool:
    return any(re.search(pattern, group.name) for pattern in share.always)
