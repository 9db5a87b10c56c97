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
"""What a person sees while the replay works."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from migsafe.replay import outcome, words
from migsafe.replay.child import BEFORE, SIDES, Said


def follow(console: Console, heard: Iterable[Said], totals: Mapping[str, int]) -> None:
    """Show how far both sides are until they have ended.

    One moving line per side on a terminal, and one line per fault elsewhere.

    :param totals: side -> how many replays it has before it
    """
    show = _bars if console.is_terminal else _plain
    show(console, heard, totals)


def _plain(console: Console, heard: Iterable[Said], totals: Mapping[str, int]) -> None:
    done = dict.fromkeys(SIDES, 0)
    for said in heard:
        body = said.body or {}
        if body.get('event') == 'ready':
            console.print(f'{said.side}: Nova {body["nova"]} is up', soft_wrap=True)
        if body.get('event') in ('outcome', BEFORE):
            done[said.side] += 1
            console.print(f'{said.side} {done[said.side]}/{totals[said.side]} {_short(body)}',
                          soft_wrap=True, highlight=False)


def _bars(console: Console, heard: Iterable[Said], totals: Mapping[str, int]) -> None:
    columns = (TextColumn('{task.fields[side]:<10}'), BarColumn(bar_width=30),
               TextColumn('{task.completed}/{task.total}'), TimeElapsedColumn(),
               TextColumn('{task.description}'))
    with Progress(*columns, console=console) as bars:
        tasks: dict[str, TaskID] = {
            side: bars.add_task('starts Nova', total=totals[side], side=side)
            for side in SIDES}
        for said in heard:
            body = said.body or {}
            event = body.get('event')
            if event == 'ready':
                bars.update(tasks[said.side], description='first without a fault')
            elif event == 'begin':
                bars.update(tasks[said.side], description=body['name'])
            elif event in ('outcome', BEFORE):
                bars.advance(tasks[said.side])
            elif event == 'end':
                bars.update(tasks[said.side], description='done')


def _short(body: dict[str, Any]) -> str:
    found = outcome.load(body['outcome'])
    problem = words.problem(found)
    if problem:
        return f'{found.name}: ERROR {problem}'
    left = ' '.join(words.kinds(found.residue)) or 'nothing left'
    what = f' ({words.UNMENDED})' if body['event'] == BEFORE else ''
    return f'{found.name}{what}: {left}; next reboot: {words.next_step(found.next)}'
