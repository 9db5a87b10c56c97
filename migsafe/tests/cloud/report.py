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
"""The outcomes as a table, plain beside armed, for a terminal and for a browser."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

from migsafe.tests.cloud.story import Outcome

STYLE = '''body { font: 16px/1.5 sans-serif; margin: 1rem auto; max-width: 72rem; padding: 0 1rem }
table { border-collapse: collapse; width: 100% } td, th { border: 1px solid #999; padding: .4rem;
text-align: left; vertical-align: top; overflow-wrap: anywhere } .clean { color: #060 }
.residue { color: #900 } @media (max-width: 40rem) { thead { display: none }
td { display: block } td::before { content: attr(data-what) ": "; font-weight: bold } }'''
COLUMNS = ('scenario', 'plain', 'armed')


def verdict(outcome: Outcome | None) -> str:
    """One cell: what was left, by kind."""
    if outcome is None:
        return 'not run'
    if outcome.error:
        return f'not brought to its end: {outcome.error}'
    kinds = sorted({one.kind for one in outcome.findings})
    left = f'left: {", ".join(kinds)}' if kinds else 'nothing left'
    first = len(outcome.at_first)
    return f'{left}, {first} at first, {outcome.seconds:.0f} s'


def text(outcomes: Sequence[Outcome], titles: Mapping[str, str]) -> str:
    """The table in the form of the documents."""
    lines = ['.. list-table::', '   :header-rows: 1', '']
    for row in (COLUMNS, *_rows(outcomes, titles)):
        lines += [f'   {"*" if number == 0 else " "} - {cell}' for number, cell in enumerate(row)]
    return '\n'.join(lines) + '\n'


def page(outcomes: Sequence[Outcome], titles: Mapping[str, str], about: str) -> str:
    """The page: the table, and below it the timeline of each.

    :param about: when, where and what it was run with
    """
    cells = ''.join('<tr>' + ''.join(
        f'<td data-what="{what}">{html.escape(cell)}</td>'
        for what, cell in zip(COLUMNS, row, strict=True)) + '</tr>'
        for row in _rows(outcomes, titles))
    return (f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" '
            f'content="width=device-width"><title>A real cloud</title><style>{STYLE}</style>'
            f'<h1>Live migrations in a real cloud</h1><p>{html.escape(about)}</p>'
            '<table><thead><tr>'
            + ''.join(f'<th>{what}</th>' for what in COLUMNS)
            + f'</tr></thead><tbody>{cells}</tbody></table>'
            + ''.join(_timeline(one, titles) for one in outcomes) + '</html>\n')


def _rows(outcomes: Sequence[Outcome],
          titles: Mapping[str, str]) -> list[tuple[str, str, str]]:
    found = {(one.scenario, one.side): one for one in outcomes}
    names = dict.fromkeys(one.scenario for one in outcomes)
    return [(f'{name}: {titles[name]}', verdict(found.get((name, 'plain'))),
             verdict(found.get((name, 'armed')))) for name in names]


def _timeline(outcome: Outcome, titles: Mapping[str, str]) -> str:
    events = ''.join(f'<li>{seconds:.1f} s: {html.escape(what)}</li>'
                     for seconds, what in outcome.events)
    left = ''.join(f'<li class="residue">{one.kind}: {html.escape(one.text)}</li>'
                   for one in outcome.findings) or '<li class="clean">nothing left</li>'
    return (f'<h2>{html.escape(outcome.scenario)}, {outcome.side}: '
            f'{html.escape(titles[outcome.scenario])}</h2><ul>{events}</ul><ul>{left}</ul>')
