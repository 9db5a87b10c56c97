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
"""One self-contained page: the story, the table, and a timeline per transaction.

No script, no font, no picture and no address: it can be mailed and read anywhere.
"""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

from migsafe.replay import lanes, page_table, words
from migsafe.replay.page_table import esc
from migsafe.replay.summary import Report

_STYLE = pathlib.Path(__file__).parent / 'data' / 'style.css'

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"

def render(report: Report) -> str:
    """The whole page."""
    parts = (*_head(), *_scores(report), *_story(report), *page_table.render(report),
             *_timelines(report), *_method(report), '</main></body></html>')
    return '\n'.join(parts) + '\n'


def _head() -> Iterator[str]:
    yield '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
    yield f'<meta http-equiv="Content-Security-Policy" content="{esc(_POLICY)}">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield '<title>Failed live migrations: plain Nova and migsafe</title>'
    yield f'<style>{_STYLE.read_text(encoding="utf-8")}</style></head><body><main>'
    yield '<h1>What a failed live migration leaves behind</h1>'


def _scores(report: Report) -> Iterator[str]:
    n = report.counts()
    total = n['faults']
    yield (f'<p class="soft">{total} faults, each injected into a live migration of a '
           f'volume-backed VM: once with plain Nova {esc(report.about.get("nova", "?"))}, once '
           f'with migsafe {esc(report.about.get("migsafe", "?"))} switched on.</p>')
    yield '<div class="score">'
    for who, number, what, style in (
            ('plain Nova', f'{n["plain_clean"]} of {total}', 'end clean', 'bad'),
            ('plain Nova', n['plain_foreign'],
             "next reboots open another tenant's LUN", 'worst'),
            ('plain Nova', n['plain_second_copy'],
             'next reboots start a second copy of a running guest', 'worst'),
            ('migsafe', f'{n["migsafe_clean"]} of {total}', 'end clean',
             'good' if n['migsafe_clean'] == total else 'worst')):
        yield (f'<div class="{style}"><span class="who">{who}</span><b>{number}</b>'
               f'{esc(what)}</div>')
    yield '</div>'
    if n['not_fired']:
        yield f'<p class="alarm">{n["not_fired"]} faults did not fire and prove nothing.</p>'
    for problem in report.problems:
        yield f'<p class="alarm mono">{esc(problem)}</p>'


def _story(report: Report) -> Iterator[str]:
    story = report.story
    yield '<h2>Incident 000</h2>'
    for paragraph in story.paragraphs():
        yield f'<p>{esc(paragraph)}</p>'
    own = dict(zip(report.luns, words.DISKS, strict=False))
    there = dict(zip(story.luns, words.DISKS, strict=False))
    yield '<div class="maps">'
    for host, mine in ((story.source, own), (story.destination, there)):
        yield f'<div class="map"><h3>The array, seen from {esc(host)}</h3>'
        for lun in sorted({*own, *there}):
            whose, style = ((f"the VM's {mine[lun]} disk", 'mine') if lun in mine
                            else ("another tenant's disk", 'other'))
            yield f'<div class="lun"><b>LUN {lun}</b><span class="{style}">{whose}</span></div>'
        yield '</div>'
    yield '</div>'
    if report.replayed():
        yield f'<p><b>{esc(report.replayed())}</b></p>'
    yield ('<p class="soft">The numbers of the replay: those of '
           f'{esc(story.destination)} are from the incident, those of {esc(story.source)} are '
           'not in the report and were chosen.</p>')


def _timelines(report: Report) -> Iterator[str]:
    yield ('<h2>Timelines</h2><p>Every external effect of the migration in the order in which it '
           'began, with one lane per host. Calls that only look are left out.</p>')
    yield lanes.LEGEND
    for number, pair in enumerate(report.pairs):
        yield from lanes.render(report, pair, unfolded=number == 0)


def _method(report: Report) -> Iterator[str]:
    yield '<h2>How this was measured</h2>'
    yield ('<p>Real: the whole of Nova (API, conductor, scheduler, Placement, two '
           'ComputeManagers and a third to which a VM is moved on, the libvirt driver, both '
           'databases), from its unmodified wheel, '
           f'with its own functional fixtures, on {esc(report.about.get("concurrency", "?"))}. '
           'In place of hardware: the array, Cinder, Neutron, the block layer of the hosts '
           'and QEMU; the array gives each host its own LUN numbers, and the block layer opens '
           'whatever disk has that number. After each fault what was killed is started again, '
           'late messages arrive, and migsafe has its periodic recovery. Then a judge that '
           'shares no code with migsafe compares every record with where the guest runs, and '
           "the owner's next step is really done. The faults were chosen for what they show; the "
           "project's functional tests try every external call and every kill point.</p>")
    control = [side for side in (report.control.plain, report.control.armed)
               if side and side.clean]
    yield (f'<p>Control: the same migration without a fault ended clean on {len(control)} of 2 '
           f'sides. The replay took {report.seconds:.0f} s. Make this page yourself: '
           f'<code>./tools/replay.sh --html FILE</code></p>')
