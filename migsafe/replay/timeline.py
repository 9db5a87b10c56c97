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
"""The timeline of one fault: who did what, in order; for the terminal and for the page."""

from __future__ import annotations

import dataclasses
import itertools

from migsafe.replay import words
from migsafe.replay.outcome import Outcome, Step
from migsafe.replay.summary import Report

#: Phases in which mostly nothing happens; shown only if something did.
_QUIET = 'periodic recovery'


def visible(outcome: Outcome) -> list[Step]:
    """The lines worth showing: what only looks is left out, and what repeats is counted."""
    kept = [step for step in outcome.steps if not step.reads or step.fault]
    kept = [step for step, after in itertools.zip_longest(kept, kept[1:])
            if step.text != _QUIET or (after is not None and after.kind != 'phase')]
    found = []
    for step, same in itertools.groupby(kept):
        times = len(list(same))
        found.append(step if times == 1 else dataclasses.replace(
            step, text=f'{step.text} x{times}'))
    return found


def lanes(report: Report, outcome: Outcome) -> tuple[str, ...]:
    """Who acts, from left to right; a third host only where one acts."""
    always = ('control', report.story.source, report.story.destination)
    others = {step.lane for step in visible(outcome)} - {'', *always}
    return (*always, *sorted(others))


def words_of(step: Step) -> str:
    """One line in words, without what went wrong with it."""
    if step.kind in ('journal', 'harm', 'phase'):
        return step.text
    disk = '' if step.volume is None else f' ({words.disk(step.volume)})'
    return f'{step.kind} {step.text}{disk}'
