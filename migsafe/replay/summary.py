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
"""What all faults together showed."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from migsafe.replay import damage
from migsafe.replay.entry import Entry
from migsafe.replay.outcome import Outcome
from migsafe.replay.story import Story
from migsafe.replay.words import UNMENDED


@dataclasses.dataclass(frozen=True)
class Pair:
    """One fault on both sides; a side is None if its process ended before it came to it.

    :param before: of migsafe without what mends it, if anything does
    """

    entry: Entry
    plain: Outcome | None
    armed: Outcome | None
    before: Outcome | None = None

    @property
    def valid(self) -> bool:
        """Whether the fault took place on both sides."""
        return bool(self.plain and self.plain.valid and self.armed and self.armed.valid)

    @property
    def shown(self) -> bool:
        """Whether what mends the fault was seen to be needed, if anything mends it."""
        before = self.before
        return not self.entry.mended or bool(before and before.valid and not before.clean)

    def sides(self) -> dict[str, Outcome | None]:
        """Title -> outcome, in the order in which they are shown."""
        again = {UNMENDED: self.before} if self.entry.mended else {}
        return {'plain Nova': self.plain, **again, 'migsafe': self.armed}


@dataclasses.dataclass(frozen=True)
class Report:
    """Everything that one run showed.

    :param about: 'nova', 'concurrency' and 'migsafe', as the children said.
    :param luns: the guest's LUN numbers on the source, root disk first.
    :param control: the migration without a fault, on both sides.
    :param problems: what went wrong with the replay itself, for people.
    """

    story: Story
    about: Mapping[str, str]
    luns: tuple[int, ...]
    control: Pair
    pairs: tuple[Pair, ...]
    problems: tuple[str, ...]
    seconds: float

    @property
    def good(self) -> bool:
        """migsafe was clean everywhere, every fault took place, and so did the control."""
        sides = (self.control.plain, self.control.armed)
        return (not self.problems and all(side and side.clean for side in sides)
                and bool(self.pairs)
                and all(pair.valid and pair.armed and pair.armed.clean and pair.shown
                        for pair in self.pairs))

    def counts(self) -> dict[str, int]:
        """The numbers of the summary; a fault that did not fire counts as nothing."""
        plain = [p.plain for p in self.pairs if p.plain]
        return {
            'faults': len(self.pairs),
            'not_fired': sum(not pair.valid for pair in self.pairs),
            'plain_clean': sum(one.clean for one in plain),
            'plain_foreign': sum(_does(one, damage.FOREIGN) for one in plain),
            'plain_second_copy': sum(_does(one, damage.SECOND) for one in plain),
            'migsafe_clean': sum(bool(p.armed and p.armed.clean) for p in self.pairs),
            'mended': sum(bool(p.entry.mended) for p in self.pairs),
            'mended_shown': sum(bool(p.entry.mended) and p.shown for p in self.pairs),
        }

    def line(self) -> str:
        """The one line that says it all."""
        n = self.counts()
        total = n['faults']
        text = (f'plain Nova: {n["plain_clean"]} of {total} faults end clean; '
                f"{n['plain_foreign']} next reboots open another tenant's LUN, "
                f'{n["plain_second_copy"]} start a second copy; '
                f'migsafe: {n["migsafe_clean"]} of {total} clean')
        if n['not_fired']:
            text += f'; {n["not_fired"]} did not fire on both sides and prove nothing'
        if n['mended_shown'] < n['mended']:
            text += (f'; {n["mended"] - n["mended_shown"]} did no harm before it was mended, '
                     'which proves nothing')
        return text

    def replayed(self) -> str:
        """Which foreign disks came up when the incident was replayed; empty if none did."""
        plain = next((p.plain for p in self.pairs if p.entry.name == 'incident-000'), None)
        step = plain and plain.valid and plain.next
        if not step:
            return ''
        disks = [hurt.detail.replace(' is ', ' is volume ').replace(
            ', not ', " of another tenant, not the VM's ")
            for hurt in step.harms if hurt.kind == 'foreign_connect']
        if not disks:
            return ''
        return (f'Replayed, plain Nova {self.about.get("nova", "")} does the same: on '
                f'{self.story.source}, {"; ".join(sorted(disks))}.')

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            'summary': self.line(), 'good': self.good, 'counts': self.counts(),
            'problems': list(self.problems), 'seconds': round(self.seconds, 1),
            **self.about, 'story': list(self.story.paragraphs()),
            'replayed': self.replayed(),
            'control': _as_dict(self.control), 'faults': [_as_dict(p) for p in self.pairs]}


def _does(outcome: Outcome, kinds: Iterable[str]) -> bool:
    step = outcome.next
    return bool(outcome.valid and step and {hurt.kind for hurt in step.harms} & set(kinds))


def _as_dict(pair: Pair) -> dict[str, Any]:
    return {'name': pair.entry.name, 'group': pair.entry.group, 'text': pair.entry.text,
            'plain': pair.plain and pair.plain.as_dict(),
            'before': pair.before and pair.before.as_dict(),
            'migsafe': pair.armed and pair.armed.as_dict()}
