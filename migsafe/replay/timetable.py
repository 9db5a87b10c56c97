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
"""The timeline of one fault, for a terminal."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.table import Table
from rich.text import Text

from migsafe.replay import timeline
from migsafe.replay.outcome import Step
from migsafe.replay.summary import Pair, Report

#: kind of line -> style; everything else is an effect.
_STYLES = {'journal': 'green', 'harm': 'bold red'}


def show(console: Console, report: Report, pair: Pair) -> None:
    """All sides, one after the other: two of them do not fit side by side."""
    for title, outcome in pair.sides().items():
        if outcome is None:
            continue
        table = Table(title=f'{pair.entry.name}: {title}', title_style='bold', expand=True,
                      title_justify='left')
        columns = timeline.lanes(report, outcome)
        for lane in columns:
            table.add_column(lane, ratio=1)
        _fill(table, timeline.visible(outcome), columns)
        console.print(table)
        for verdict in outcome.verdicts:
            console.print(Text(f'{verdict.host} ({verdict.role}): {verdict.verdict}, '
                               f'{verdict.state}: {verdict.reason}', style='green'))


def _fill(table: Table, steps: Iterable[Step], columns: tuple[str, ...]) -> None:
    for step in steps:
        if step.kind == 'phase':
            table.add_section()
            table.add_row(Text(f'-- {step.text} --', style='bold'))
            continue
        cell = Text(timeline.words_of(step), style=_STYLES.get(step.kind, ''))
        if step.kind == 'harm':
            cell = Text(f'DAMAGE {step.text}', style=_STYLES['harm'])
        if step.fault:
            cell.append(f'  <== {step.fault}', style='bold magenta')
        elif step.error:
            cell.append(f'  {step.error}', style='yellow')
        table.add_row(*(cell if lane == step.lane else '' for lane in columns))
