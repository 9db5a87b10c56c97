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
"""The fault table as reStructuredText, for the documentation and the README."""

from __future__ import annotations

from collections.abc import Iterator

from migsafe.replay import damage, words
from migsafe.replay.outcome import Outcome
from migsafe.replay.summary import Pair, Report

#: Lines between which the documentation has the table, and the README a part of it.
BEGIN, END = '.. replay table', '.. end of the replay table'
#: The rows of the README: one of each kind of end.
TELLING = ('incident-000', 'progress-timeout', 'rollback-cinder-503', 'rollback-disconnect-late',
           'source-device-held', 'kill-source-transfer', 'kill-source-rollback',
           'source-stays-down')


def render(report: Report) -> str:
    """The whole section, from BEGIN to END."""
    return '\n'.join([BEGIN, '', *_table(report), '', f'**{report.line()}**', '', END, ''])


def excerpt(text: str) -> str:
    """The README's part of what :func:`render` gave: its heading, TELLING, and the sum."""
    head, *rows = text.split('\n   * - ')
    last, _, end = rows[-1].partition('\n\n')
    heading, *faults = [*rows[:-1], last]
    told = [row for row in faults if row.startswith(tuple(f'``{name}``' for name in TELLING))]
    return '\n   * - '.join([head, heading, *told]) + f'\n\n{end}'


def _table(report: Report) -> Iterator[str]:
    yield '.. list-table::'
    yield '   :header-rows: 1'
    yield '   :widths: 30 34 24 12'
    yield ''
    yield from _row(['What goes wrong', 'Plain Nova leaves', "Plain Nova's next reboot",
                     'migsafe leaves'])
    for pair in report.pairs:
        yield from _row(_cells(pair))
        if pair.entry.mended:
            yield from _row([f'*{words.UNMENDED}*', _left(pair.before), _next(pair.before), '–'])


def _row(cells: list[str]) -> Iterator[str]:
    for number, cell in enumerate(cells):
        yield f'   {"*" if number == 0 else " "} - {cell}'


def _cells(pair: Pair) -> list[str]:
    return [f'``{pair.entry.name}``: {escape(pair.entry.text)}', _left(pair.plain),
            _next(pair.plain), _armed(pair.armed)]


def _problem(outcome: Outcome | None) -> str:
    problem = words.problem(outcome) if outcome else 'not replayed'
    return f'**ERROR** {escape(problem)}' if problem else ''


def _left(outcome: Outcome | None) -> str:
    problem = _problem(outcome)
    if problem or outcome is None:
        return problem
    parts = [f'**{kind}** {escape(text)}' for kind, text in words.residue(outcome.residue)]
    parts += [f'**damage:** {escape(text)}' for text in damage.damage(outcome.harms)]
    return '; '.join(parts) or 'nothing'


def _next(outcome: Outcome | None) -> str:
    if outcome is None or _problem(outcome) or outcome.next is None:
        return ''
    step = outcome.next
    said = escape(words.next_step(step))
    return said if step.done and not step.harms else f'**{said}**'


def _armed(outcome: Outcome | None) -> str:
    problem = _problem(outcome)
    if problem or outcome is None:
        return problem
    waited = 'HOLD, then ' if outcome.pending else ''
    if outcome.clean:
        return f'{waited}nothing'
    return f'{waited}{_left(outcome)}; {_next(outcome)}'


def escape(text: str) -> str:
    """Text that means itself in reStructuredText, on one line."""
    flat = ' '.join(text.split())
    for mark in ('\\', '*', '`', '|', '_'):
        flat = flat.replace(mark, f'\\{mark}')
    return flat
