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
"""One fault's timelines for the page: plain Nova beside migsafe, a lane per host."""

from __future__ import annotations

import html
from collections.abc import Iterator

from migsafe.replay import timeline, words
from migsafe.replay.outcome import Outcome, Step
from migsafe.replay.summary import Pair, Report

LEGEND = ('<p class="legend"><span class="e">effect</span><span class="f">the fault</span>'
          '<span class="x">failed as a consequence</span><span class="h">damage</span>'
          '<span class="j">journal</span><span class="v">verdict</span></p>')


def render(report: Report, pair: Pair, unfolded: bool) -> Iterator[str]:
    """One fault, folded up or not."""
    entry, state = pair.entry, ' open' if unfolded else ''
    yield f'<details id="{html.escape(entry.name)}"{state}><summary>'
    yield (f'<span class="name mono">{html.escape(entry.name)}</span>'
           f'<span class="soft">{html.escape(entry.text)}</span>'
           f'{_pill("plain", pair.plain)}{_pill("migsafe", pair.armed)}</summary>')
    yield '<div class="sides">'
    for title, outcome in pair.sides().items():
        yield f'<div class="side"><h3>{html.escape(title)}</h3>'
        if outcome is None or outcome.error:
            yield f'<p class="alarm">{html.escape(outcome.error if outcome else "no result")}</p>'
        else:
            yield from _side(report, outcome)
        yield '</div>'
    yield '</div></details>'


def _pill(who: str, outcome: Outcome | None) -> str:
    if outcome is None or not outcome.valid:
        return f'<span class="pill worst">{who}: ERROR</span>'
    if outcome.clean:
        return f'<span class="pill good">{who}: clean</span>'
    kinds = ' '.join(words.kinds(outcome.residue)) or 'damage'
    return f'<span class="pill bad">{who}: {kinds}</span>'


def _side(report: Report, outcome: Outcome) -> Iterator[str]:
    columns = timeline.lanes(report, outcome)
    yield f'<div class="lanes of-{len(columns)}"><div class="row head">'
    yield ''.join(f'<div>{html.escape(lane)}</div>' for lane in columns) + '</div>'
    for step in timeline.visible(outcome):
        yield _row(step, columns)
    yield '</div>'
    where = ' and '.join(outcome.running_on) or 'no host'
    yield f'<p class="note">The guest ran on {html.escape(where)}, status {outcome.status}.</p>'
    for said in words.pending(outcome.pending):
        yield f'<p class="note">While it had to wait: {html.escape(said)}</p>'
    for one in outcome.verdicts:
        yield (f'<p class="note">Journal of {html.escape(one.host)} ({one.role}): '
               f'<b>{one.verdict or "no verdict"}</b>, {one.state}; '
               f'{html.escape(one.reason)}</p>')


def _row(step: Step, columns: tuple[str, ...]) -> str:
    if step.kind == 'phase':
        return f'<div class="phase">{html.escape(step.text)}</div>'
    cells = (f'<div class="{_style(step)}">{_words(step)}</div>' if lane == step.lane
             else '<div></div>' for lane in columns)
    return f'<div class="row">{"".join(cells)}</div>'


def _style(step: Step) -> str:
    if step.fault:
        return 'f'
    if step.kind == 'journal':
        return 'v' if step.text.startswith('verdict') else 'j'
    if step.kind == 'harm':
        return 'h'
    return 'x' if step.error else 'e'


def _words(step: Step) -> str:
    text = html.escape(timeline.words_of(step))
    if step.fault:
        return f'{text} &#10007; {html.escape(step.fault)}'
    return f'{text} &#8594; {html.escape(step.error)}' if step.error else text
