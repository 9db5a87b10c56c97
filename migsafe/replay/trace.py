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
"""Makes the lines of a timeline from the laboratory's trace and what was noted about it."""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterator

from migsafe.replay import record
from migsafe.replay import stage as replay_stage
from migsafe.replay.lab import world
from migsafe.replay.outcome import Step, Verdict

#: How the names of effects that only look begin, or end.
_READS = ('GET ', 'list_', 'show_', 'attachments.show', 'attachments.list', 'check_')
_GETS = ('.get', '.list')

#: Journal commits that are no line of a transaction.
_SILENT = ('a test of writing', 'the status', 'purging')

_PATH = re.compile(r'/dev/disk/by-path/\S+-lun-(\d+)')
_LUN = r'LUN \1'


def steps(stage: replay_stage.Stage) -> tuple[Step, ...]:
    """Everything that happened in the last case, in order."""
    notes = stage.notes
    harms: dict[int, list[world.Harm]] = {}
    for index, harm in notes.harms:
        harms.setdefault(index, []).append(harm)
    phases = sorted(notes.phases, key=lambda phase: phase[0])
    found: list[Step] = []
    begun = 0
    for effect in stage.world.trace:
        reached = bisect.bisect_right(phases, effect.index, key=lambda phase: phase[0])
        found += [Step('', 'phase', text) for _, text in phases[begun:reached]]
        begun = max(begun, reached)
        found += _journal(effect, notes) if effect.kind == 'journal' else [_effect(effect, notes)]
        found += [Step(h.host, 'harm', f'{world.HARMS[h.kind]}: '
                                       f'{stage.named(_PATH.sub(_LUN, h.detail))}')
                  for h in harms.get(effect.index, ())]
    return tuple(found)


def _effect(effect: world.Effect, notes: record.Notes) -> Step:
    reads = effect.name.startswith(_READS) or effect.name.endswith(_GETS)
    return Step(effect.host, effect.kind, effect.name, effect.volume,
                notes.faults.get(effect.index, ''), notes.errors.get(effect.index, ''), reads)


def _journal(effect: world.Effect, notes: record.Notes) -> Iterator[Step]:
    """A commit: the lines that it wrote, or what it was for if it wrote none."""
    if effect.name in _SILENT:
        return
    for text in notes.lines.get(effect.index) or (effect.name,):
        yield Step(effect.host, 'journal', text)


def verdicts(stage: replay_stage.Stage) -> tuple[Verdict, ...]:
    """How the last guest's transactions stand; none on a plain Nova."""
    if stage.books is None or stage.server is None:
        return ()
    with stage.world.looking():
        return tuple(one for host in stage.parts.hosts
                     for one in stage.books.verdicts(host, stage.server.uuid))
