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
"""The table at the end, for a terminal."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from migsafe.replay import damage, words
from migsafe.replay.entry import Entry
from migsafe.replay.outcome import Outcome
from migsafe.replay.story import Story
from migsafe.replay.summary import Pair, Report

#: Columns from which on the sentences fit in.
WIDE = 150

GOOD, BAD, WORST, WARN = 'green', 'yellow', 'bold red', 'bold magenta'


def show_story(console: Console, story: Story) -> None:
    """What happened in the incident that is replayed."""
    text = Text('\n\n'.join(story.paragraphs()))
    for lun in story.luns:
        text.highlight_words([f'LUN {lun}'], 'bold')
    console.print(Panel(text, title='Incident 000', title_align='left', padding=(1, 2)))


def show_list(console: Console, entries: Iterable[Entry]) -> None:
    """The names of the faults with their sentences."""
    group = ''
    for entry in entries:
        if entry.group != group:
            group = entry.group
            console.print(Text(f'{group}:', style='bold'))
        line = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
        line.add_column(width=28, no_wrap=True, style='cyan')
        line.add_column()
        line.add_row(f'  {entry.name}', Text(entry.text))
        console.print(line)


def show_report(console: Console, report: Report) -> None:
    """Table, problems, summary."""
    console.print(_table(report, console.width >= WIDE))
    _legend(console, report)
    if report.replayed():
        console.print(Text(report.replayed()))
    control = report.control
    sides = [side for side in (control.plain, control.armed) if side and side.clean]
    console.print(Text(
        f'Control: the same migration without a fault ended clean on {len(sides)} of 2 sides. '
        f'Nova {report.about.get("nova", "?")}, {report.about.get("concurrency", "?")}, '
        f'{report.seconds:.0f} s.', style='dim'))
    for problem in report.problems:
        console.print(Text(f'ERROR {problem}', style=WARN))
    console.print(Text(report.line(), style='bold green' if report.good else 'bold red'))


def _table(report: Report, wide: bool) -> Table:
    table = Table(header_style='bold', expand=True, pad_edge=False)
    # the longest name of the catalogue fits in 26 columns
    table.add_column('what goes wrong', ratio=13 if wide else 9, min_width=26, overflow='fold')
    for title, ratio in (('plain Nova leaves', 13), ("plain Nova's next reboot", 13),
                         ('migsafe leaves', 5)):
        table.add_column(title, ratio=ratio)
    group = ''
    for pair in report.pairs:
        if pair.entry.group != group:
            group = pair.entry.group
            table.add_section()
            table.add_row(Text(group.upper(), style='bold'))
        table.add_row(_name(pair, wide), _left(pair.plain), _next(pair.plain), _armed(pair.armed))
        if pair.entry.mended:
            table.add_row(Text(f'  {words.UNMENDED}', style='cyan'), _left(pair.before),
                          _next(pair.before), '')
    return table


def _name(pair: Pair, wide: bool) -> Text:
    if not wide:
        return Text(pair.entry.name, style='cyan')
    return Text.assemble((pair.entry.name, 'bold cyan'), '\n', (pair.entry.text, 'dim'))


def _legend(console: Console, report: Report) -> None:
    sides = [side for pair in report.pairs for side in pair.sides().values() if side]
    found = words.kinds(one for side in sides for one in (*side.residue, *(side.waiting or ())))
    if found:
        console.print(Text('; '.join(f'{kind} {words.KINDS[kind]}' for kind in found),
                           style='dim'))


def _lines(lines: list[Text]) -> Text:
    return Text('\n').join(lines)


def _left(outcome: Outcome | None) -> Text:
    unusable = _unusable(outcome)
    if unusable is not None or outcome is None:
        return unusable or Text()
    lines: list[Text] = []
    if outcome.residue:
        place = words.where(outcome.residue)
        lines = [Text(' '.join(words.kinds(outcome.residue)) + (place and f': {place}'),
                      style=BAD)]
    lines += [Text(text, style=WORST) for text in damage.damage(outcome.harms)]
    return _lines(lines or [Text('nothing', style=GOOD)])


def _next(outcome: Outcome | None) -> Text:
    if _unusable(outcome) is not None or outcome is None or outcome.next is None:
        return Text('')
    good = outcome.next.done and not outcome.next.harms
    return Text(words.next_step(outcome.next), style=GOOD if good else WORST)


def _armed(outcome: Outcome | None) -> Text:
    unusable = _unusable(outcome)
    if unusable is not None or outcome is None:
        return unusable or Text()
    waited = [Text('HOLD, then', style=BAD)] if outcome.pending else []
    if outcome.clean:
        return _lines([*waited, Text('nothing', style=GOOD)])
    return _lines([*waited, _left(outcome), _next(outcome)])


def _unusable(outcome: Outcome | None) -> Text | None:
    problem = words.problem(outcome) if outcome else 'not replayed'
    return Text(f'ERROR {problem}', style=WARN) if problem else None
