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
"""The search itself, in a process that has the library of ``recorder.c``."""

import argparse
import dataclasses
import functools
import json
import logging
import sys
import tempfile
import time
from collections.abc import Callable, Sequence

from migsafe.journal import engine, store
from migsafe.tests.durability import faults, killed, library, states, workloads
from migsafe.tests.durability.workloads import Subject

CHECKPOINT = 'wal_autocheckpoint = 30'
CARELESS = 'synchronous = NORMAL'


def _nothing() -> None:
    """Change nothing in the process that is killed."""


def _careless() -> None:
    engine._PRAGMAS = tuple(
        CARELESS if pragma == 'synchronous = FULL' else pragma for pragma in engine._PRAGMAS)


def _nothing_for_nothing() -> None:
    engine.write_something = lambda _connection: None


def _never_again() -> None:
    store.READ_ONLY = 'no error says this'


def crash_states(recorder: library.Recorder, subject: Subject, count: int, seed: str,
                 before: Callable[[], None]) -> dict[str, object]:
    """Record a run, and look at its states.

    :param count: how many, 0 for all
    :param before: what a control takes away
    """
    with tempfile.TemporaryDirectory() as top:
        report, events = killed.killed(recorder, subject, top, before=before)
        checker = states.Checker(subject)
        all_of = list(states.places(events))
        chosen = set(states.sample(all_of, count, seed))
        for name, returned, tree in states.states(events, top, seed, chosen):
            checker.check(name, returned, top, tree)
    assert set(report.calls) == {killed.DONE}, report
    return {'counts': dict(checker.counts), 'of': len(all_of), 'wrong': checker.wrong}


def disk_faults(recorder: library.Recorder, subject: Subject, count: int, seed: str,
                before: Callable[[], None]) -> dict[str, object]:
    """Run with faults; see :func:`crash_states`."""
    trial = faults.Trial(recorder, subject, before)
    total = faults.all_of(trial, count, seed)
    return {'counts': {'runs': trial.runs, 'struck': trial.struck}, 'of': total,
            'wrong': trial.wrong}


def once_each(kinds: str, recorder: library.Recorder, subject: Subject, _count: int, _seed: str,
              before: Callable[[], None]) -> dict[str, object]:
    """Run with each operation of some kinds failing once; see :func:`crash_states`."""
    trial = faults.Trial(recorder, subject, before)
    total = faults.each(trial, kinds)
    return {'counts': {'runs': trial.runs, 'struck': trial.struck}, 'of': total,
            'wrong': trial.wrong}


@dataclasses.dataclass(frozen=True)
class Kind:
    """One thing to search.

    :param before: what a control takes away; it has to find something wrong
    """

    search: Callable[..., dict[str, object]]
    subjects: Sequence[Subject]
    before: Callable[[], None] = _nothing


_SYNCS = functools.partial(once_each, library.SYNC)
_OPENS = functools.partial(once_each, library.OPEN_TO_WRITE)
KINDS = {
    'states': Kind(crash_states, workloads.SUBJECTS),
    'states-control': Kind(crash_states, workloads.SUBJECTS, _careless),
    'faults': Kind(disk_faults, workloads.SUBJECTS),
    'doubts': Kind(_SYNCS, (workloads.TAKEN_BACK,)),
    'doubts-control': Kind(_SYNCS, (workloads.TAKEN_BACK,), _nothing_for_nothing),
    'opens': Kind(_OPENS, workloads.SUBJECTS),
    'opens-control': Kind(_OPENS, workloads.SUBJECTS, _never_again),
}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog='migsafe.tests.durability')
    parser.add_argument('--only', choices=KINDS, action='append')
    parser.add_argument('--subject', action='append', help='journal, ledger; all if not given')
    parser.add_argument('--count', type=int, default=0, help='of each, 0 for all')
    parser.add_argument('--seed', default='1')
    return parser.parse_args()


def main() -> int:
    """Search, and print one JSON line for each kind and database.

    :returns: 0 if nothing is wrong, but in the controls
    """
    given, recorder = _arguments(), library.Recorder()
    recorder.sync_nothing()
    # NOTE: oslo.db writes a traceback for each error that it does not know.
    logging.disable()
    engine._PRAGMAS = (*engine._PRAGMAS, CHECKPOINT)
    bad = 0
    for name in given.only or KINDS:
        kind = KINDS[name]
        for subject in kind.subjects:
            if subject.name not in (given.subject or (subject.name,)):
                continue
            began = time.monotonic()
            found = kind.search(recorder, subject, given.count, given.seed, kind.before)
            bad += bool(found['wrong']) is not (kind.before is not _nothing)
            print(json.dumps({'kind': name, 'subject': subject.name, **found,
                              'seconds': round(time.monotonic() - began)}), flush=True)
    return min(bad, 1)


if __name__ == '__main__':
    sys.exit(main())
