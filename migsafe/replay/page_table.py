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
"""The fault table of the page."""

from __future__ import annotations

import html
from collections.abc import Iterator

from migsafe.replay import damage, words
from migsafe.replay.outcome import Outcome
from migsafe.replay.summary import Pair, Report


def esc(text: object) -> str:
    """Text that means itself in HTML."""
    return html.escape(str(text))


def render(report: Report) -> Iterator[str]:
    """The table and what its abbreviations mean."""
    yield '<h2>Fault by fault</h2><dl class="kinds">'
    found = {kind for pair in report.pairs for side in pair.sides().values() if side
             for kind in words.kinds((*side.residue, *(side.waiting or ())))}
    for kind in (k for k in words.KINDS if k in found):
        yield f'<dt>{kind}</dt><dd>{esc(words.KINDS[kind])}</dd>'
    yield '</dl><table class="faults"><colgroup><col style="width:25%"><col style="width:36%">'
    yield '<col style="width:23%"><col style="width:16%"></colgroup><tr>'
    for title in ('What goes wrong', 'Plain Nova leaves', "Plain Nova's next reboot",
                  'migsafe leaves'):
        yield f'<th>{esc(title)}</th>'
    yield '</tr>'
    group = ''
    for pair in report.pairs:
        if pair.entry.group != group:
            group = pair.entry.group
            yield f'<tr class="group"><td colspan="4">{esc(group)}</td></tr>'
        for cells in _rows(pair):
            yield f'<tr>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>'
    yield '</table>'


def _rows(pair: Pair) -> Iterator[tuple[str, ...]]:
    name = pair.entry.name
    yield (f'<a class="mono" href="#{esc(name)}">{esc(name)}</a><br>{esc(pair.entry.text)}',
           _left(pair.plain), _after(pair.plain), _armed(pair.armed))
    if pair.entry.mended:
        yield f'<i>{esc(words.UNMENDED)}</i>', _left(pair.before), _after(pair.before), ''


def _problem(outcome: Outcome | None) -> str:
    problem = words.problem(outcome) if outcome else 'not replayed'
    return f'<span class="pill worst">ERROR</span> {esc(problem)}' if problem else ''


def _left(outcome: Outcome | None) -> str:
    """What is left, as a list."""
    problem = _problem(outcome)
    if problem or outcome is None:
        return problem
    items = [f'<li><span class="k">{kind}</span>{esc(text)}</li>'
             for kind, text in words.residue(outcome.residue)]
    items += [f'<li class="worst"><span class="k worst">!</span>damage: {esc(text)}</li>'
              for text in damage.damage(outcome.harms)]
    return (f'<ul class="left">{"".join(items)}</ul>' if items
            else '<span class="pill good">nothing</span>')


def _after(outcome: Outcome | None) -> str:
    """What the owner's next step did."""
    if outcome is None or _problem(outcome) or outcome.next is None:
        return ''
    step = outcome.next
    style = 'good' if step.done and not step.harms else 'worst'
    return f'<span class="{style}">{esc(words.next_step(step))}</span>'


def _armed(outcome: Outcome | None) -> str:
    """What migsafe left, and whether it had to wait."""
    problem = _problem(outcome)
    if problem or outcome is None:
        return problem
    held = '<span class="pill bad">HOLD</span> while it had to wait, and then ' \
        if outcome.pending else ''
    return held + _left(outcome) + ('' if outcome.clean else f'<br>{_after(outcome)}')
