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

import dataclasses
import html
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata

from migsafe.tests.cloud import judge, places
from migsafe.tests.cloud.play import Outcome
from migsafe.tests.cloud.scenarios import SCENARIOS

STYLE = '''body { font: 16px/1.5 sans-serif; margin: 1rem auto; max-width: 72rem; padding: 0 1rem }
table { border-collapse: collapse; width: 100% } td, th { border: 1px solid #999; padding: .4rem;
text-align: left; vertical-align: top; overflow-wrap: anywhere } .clean { color: #060 }
.residue { color: #900 } .log { font: 13px/1.4 monospace; overflow-wrap: anywhere }
summary { cursor: pointer } @media (max-width: 40rem) { thead { display: none }
td { display: block; border-width: 0 1px } tr { display: block; border-bottom: 2px solid #666 }
td::before { content: attr(data-what) ": "; font-weight: bold } }'''
COLUMNS = ('scenario', 'plain', 'armed')
#: What the versions of are told.
PACKAGES = ('nova', 'cinder', 'keystone', 'neutron', 'openstack-placement')


def write(outcomes: Sequence[Outcome]) -> int:
    """Add outcomes to those that this cloud has had, and write the page and the table.

    :returns: how many armed ones have left something or did not come to their end
    """
    where = places.part('report')
    known = where / 'outcomes.json'
    found = {(one.scenario, one.side): one for one in (
        *_read(known.read_text() if known.exists() else '[]'), *outcomes)}
    order = {name: number for number, name in enumerate(SCENARIOS)}
    every = sorted(found.values(), key=lambda one: (order.get(one.scenario, 99), one.side))
    known.write_text(json.dumps([dataclasses.asdict(one) for one in every]))
    titles = {name: one.title for name, one in SCENARIOS.items()}
    about = time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime()) + ': ' + ', '.join(
        f'{name} {metadata.version(name)}' for name in PACKAGES)
    (where / 'report.html').write_text(page(every, titles, about))
    (where / 'report.rst').write_text(text(every, titles))
    return sum(is_bad(one) for one in every)


def _read(text: str) -> list[Outcome]:
    return [Outcome(**{**row, **{kind: [judge.Finding(**one) for one in row[kind]]
                                 for kind in ('at_first', 'findings', 'between')}})
            for row in json.loads(text)]


def is_bad(outcome: Outcome) -> bool:
    """Whether it is what may not be: plain OpenStack may leave what it leaves."""
    return bool(outcome.error or outcome.side == 'armed' and (outcome.findings or outcome.between))


def kinds(found: Iterable[judge.Finding]) -> str:
    """Kinds of residue, each once."""
    return ', '.join(sorted({one.kind for one in found}, key=lambda kind: (len(kind), kind)))


def verdict(outcome: Outcome | None) -> str:
    """One cell: what was left, by kind."""
    if outcome is None:
        return 'not run'
    if outcome.error:
        return f'not brought to its end: {outcome.error[:200]}'
    told = [f'left: {kinds(outcome.findings)}' if outcome.findings else 'nothing left']
    if outcome.between:
        told.append(f'meanwhile {kinds(outcome.between)}')
    if outcome.at_first and not outcome.findings:
        told.append(f'at first {kinds(outcome.at_first)}')
    return f'{", ".join(told)}; {outcome.seconds:.0f} s'


def text(outcomes: Sequence[Outcome], titles: Mapping[str, str]) -> str:
    """The table in the form of the documents."""
    lines = ['.. list-table::', '   :header-rows: 1', '   :widths: 40 30 30', '']
    for row in (COLUMNS, *_rows(outcomes, titles)):
        lines += [f'   {"*" if number == 0 else " "} - {cell}' for number, cell in enumerate(row)]
    return '\n'.join(lines) + '\n'


def page(outcomes: Sequence[Outcome], titles: Mapping[str, str], about: str) -> str:
    """The page: the table, and below it the timeline of each, with what was logged.

    :param about: when, and what it was run with
    """
    head = ''.join(f'<th>{what}</th>' for what in COLUMNS)
    cells = ''.join('<tr>' + ''.join(
        f'<td data-what="{what}">{html.escape(cell)}</td>'
        for what, cell in zip(COLUMNS, row, strict=True)) + '</tr>'
        for row in _rows(outcomes, titles))
    return (f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" '
            f'content="width=device-width"><title>A real cloud</title><style>{STYLE}</style>'
            f'<h1>Live migrations in a real cloud</h1><p>{html.escape(about)}</p>'
            f'<table><thead><tr>{head}</tr></thead><tbody>{cells}</tbody></table>'
            + ''.join(_timeline(one, titles) for one in outcomes) + '</html>\n')


def _rows(outcomes: Sequence[Outcome],
          titles: Mapping[str, str]) -> list[tuple[str, str, str]]:
    found = {(one.scenario, one.side): one for one in outcomes}
    names = dict.fromkeys(one.scenario for one in outcomes)
    return [(f'{name}: {titles[name]}', verdict(found.get((name, 'plain'))),
             verdict(found.get((name, 'armed')))) for name in names]


def _timeline(outcome: Outcome, titles: Mapping[str, str]) -> str:
    name = f'{outcome.scenario}, {outcome.side}: {titles[outcome.scenario]}'
    events = _items(f'{seconds:.1f} s: {what}' for seconds, what in outcome.events)
    wrong = [f'{one.kind}: {one.text}' for one in (*outcome.between, *outcome.findings)]
    left = _items([*filter(None, [outcome.error]), *wrong], 'residue') \
        or '<li class="clean">nothing left</li>'
    logged = _items((f'{machine}: {line}' for machine, line in outcome.messages), 'log')
    return (f'<h2>{html.escape(name)}</h2><ul>{left}</ul><details><summary>timeline</summary>'
            f'<ul>{events}</ul></details><details><summary>{len(outcome.messages)} warnings and '
            f'errors</summary><ul>{logged}</ul></details>')


def _items(lines: Iterable[str], kind: str = '') -> str:
    return ''.join(f'<li class="{kind}">{html.escape(line)}</li>' for line in lines)
