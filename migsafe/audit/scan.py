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
"""Runs the rules over a cloud, and looks again at what they have found.

The databases are read one after another, so that an operation between two of them looks like
residue. What is found is read once more, in new snapshots, and only what is still there is told.
"""

from __future__ import annotations

import contextlib
import datetime
import functools
import time
from collections.abc import Callable, Container, Iterator

from migsafe.audit import clocks, named, opening
from migsafe.audit.activity import Clock, Spans
from migsafe.audit.cases import Cases, Look, Only
from migsafe.audit.checkpoint import Checkpoint, Identity
from migsafe.audit.checkpoint import Progress as Before
from migsafe.audit.clocks import Clocks
from migsafe.audit.facts import Case
from migsafe.audit.findings import Finding
from migsafe.audit.notes import Notes
from migsafe.audit.opening import Sources
from migsafe.audit.readers import database
from migsafe.audit.report import Asked, Report, order
from migsafe.audit.rules import RULES, USES

#: Told how many instances are done, and of how many.
Progress = Callable[[int, int], None]


def audit(sources: Sources, asked: Asked, spans: Spans, local: datetime.datetime,
          progress: Progress, kept: Checkpoint | None = None) -> Report:
    """Look at a cloud twice.

    :param local: the time of this machine, UTC
    :param kept: how far another audit came that was interrupted, and this one comes
    :raises Unreadable: no database of Nova can be read, or what was found cannot be looked at
        again
    """
    began, report = time.monotonic(), Report()
    notes, before = Notes(), kept.read() if kept else Before()
    notes.go_on(before.notes)
    report.counts.update(before.counts)
    found, after = set(before.found), before.after
    for page in _look(sources, asked, spans, local, report, notes, progress, kept, before):
        found |= page.found
        # NOTE: what was found without a database that failed is not all, and what comes after
        # the last instance is read anew.
        if kept and not report.failed and page.after != after:
            kept.write(Before(page.after, found, report.counts, notes.kept(),
                              before.begun or report.now))
        after = page.after
    if found:
        _confirm(sources, asked, spans, local, found, report)
    whole = not report.failed
    report.end()
    report.failed = report.failed or notes.has('odd')
    report.unseen += notes.sentences()
    report.seconds = time.monotonic() - began
    if kept and whole:
        kept.end()
    return report


def _look(sources: Sources, asked: Asked, spans: Spans, local: datetime.datetime, report: Report,
          notes: Notes, progress: Progress, kept: Checkpoint | None,
          before: Before) -> Iterator[Before]:
    """The first look, in which addresses are only compared: what is found, page by page."""
    with contextlib.ExitStack() as stack:
        look = opening.look(stack, sources, report, hash)
        told = clocks.of_cloud(look, spans, local)
        report.now = told.newest.now
        report.unseen += told.sentences()
        if kept and before.after:
            kept.check(before, report.now, spans)
            report.unseen.append(
                f'This audit was begun at {before.begun} UTC, and went on from its checkpoint: '
                'what has come about since then in the first '
                f'{report.counts["instances"]} instances.')
        cases = _cases(look, notes, told, asked, report)
        done, total = report.counts['instances'], (len(cases.only.instances) if cases.only else
                                                   sum(nova.count() for nova in look.cells))
        try:
            for page in cases.pages(before.after):
                found: set[Identity] = set()
                for case in page:
                    done += case.instance.life.value == 'live'
                    report.counts.update(instances=1, rows=len(case.rows),
                                         attachments=len(case.attachments))
                    found.update(one.identity for one in _judged(
                        case, cases.clock, asked, notes))
                yield Before(dict(cases.read), found)
                progress(done, max(total, done))
            report.nowhere = named.nowhere(look, cases.hosts.values(), asked)
        except database.Unreadable as error:
            report.failed = True
            report.lost.add('Nova')
            report.unseen.append(f'Everything after {done} of {total} instances: {error}')


def _confirm(sources: Sources, asked: Asked, spans: Spans, local: datetime.datetime,
             found: set[Identity], report: Report) -> None:
    """Tell what is still there of what was found; without Cinder, if that has gone meanwhile."""
    again = Only(frozenset(one[1] for one in found if one[1]),
                 frozenset(one[2] for one in found if one[2]))
    if 'Cinder' in report.lost:
        sources = sources.without_cinder()
    try:
        _again(sources, asked, again, spans, local, found, report)
    except database.Unreadable as error:
        if sources.cinder_label is None or error.kwargs.get('label') != sources.cinder_label:
            raise
        opening.lost(report, 'Cinder', error, '{}, which was to be looked at again')
        report.missed.add('Cinder')
        report.findings.clear()
        _again(sources.without_cinder(), asked, again, spans, local, found, report)
    report.findings.sort(key=order)
    told = {one.identity for one in report.findings}
    # NOTE: of what the second look could not read, it cannot say that it has gone.
    unsure = [one for one in found - told if USES[one[0]] & report.missed]
    report.doubts = len(found) - len(told) - len(unsure)
    if unsure:
        report.unseen.append(
            f'{len(unsure)} findings of {", ".join(sorted({one[0] for one in unsure}))}, which '
            'could not be looked at again: what they go by could not be read any more.')


def _cases(look: Look, notes: Notes, told: Clocks, asked: Asked, report: Report) -> Cases:
    """The cases; without Cinder if that fails while its attachments are read."""
    try:
        return _of(look, notes, told, asked, report)
    except database.Unreadable as error:
        if look.cinder is None or error.kwargs.get('label') != look.cinder.label:
            raise
        opening.lost(report, 'Cinder', error)
        look.cinder = None
        return _of(look, notes, told, asked, report)


def _of(look: Look, notes: Notes, told: Clocks, asked: Asked, report: Report) -> Cases:
    only = None
    if asked.instances or asked.volumes:
        only = look.widened(asked.instances, asked.volumes)
    return Cases(look, notes, told.oldest, only, functools.partial(opening.lost, report),
                 told.cells)


def _again(sources: Sources, asked: Asked, only: Only, spans: Spans, local: datetime.datetime,
           first: Container[tuple[str, ...]], report: Report) -> None:
    """The second look, at suspects only, in which addresses are kept for people."""
    with contextlib.ExitStack() as stack:
        seen = Report()
        look, notes = opening.look(stack, sources, seen, None), Notes()
        now = clocks.of_cloud(look, spans, local)
        wide = look.widened(only.instances, only.volumes)
        told = set()
        cases = Cases(look, notes, now.oldest, wide, functools.partial(opening.lost, seen),
                      now.cells)
        for page in cases.pages():
            for case in page:
                for one in _judged(case, cases.clock, asked, notes):
                    if one.identity in first and one.identity not in told:
                        told.add(one.identity)
                        report.findings.append(one)
                        report.see(case, one)
    report.unseen += [one for one in seen.unseen if one not in report.unseen]
    report.failed = report.failed or seen.failed
    report.lost |= seen.lost
    report.missed |= seen.lost


def _judged(case: Case, clock: Clock, asked: Asked, notes: Notes) -> list[Finding]:
    """The same; nothing of a case with values that no rule expects, which hides no other one."""
    try:
        return list(judged(case, clock, asked))
    except Exception as error:
        # NOTE: whatever it is, other cases are to be told.
        notes.add('odd', [f'{case.instance.uuid} ({type(error).__name__})'])
        return []


def judged(case: Case, clock: Clock, asked: Asked) -> Iterator[Finding]:
    """What the rules that were asked for say of a case."""
    for rule, judge in RULES.items():
        if not asked.rules or rule in asked.rules:
            yield from filter(asked.wants, judge(case, clock))


def clock_of_cloud(look: Look, spans: Spans, local: datetime.datetime) -> Clock:
    """The clock of all cells."""
    return clocks.of_cloud(look, spans, local).oldest
