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
"""The n-th operation on a file fails, at the first start and in all calls of a service."""

import contextlib
import errno
import os
import random
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping

from migsafe.tests.durability import killed, library, states
from migsafe.tests.durability.workloads import STATE, Subject

# What can fail for want of room, and what on a file system that has become read-only.
_ROOM = ''.join((library.CREATE, library.WRITE, library.SYNC, library.TRUNCATE, library.MKDIR,
                 library.LINK, library.RENAME))
_CHANGES = ''.join((_ROOM, library.OPEN_TO_WRITE, library.UNLINK, library.CHMOD))
_ALL = ''.join((_CHANGES, library.OPEN_TO_READ, library.READ, library.MAP))
#: errno -> what fails with it.
KINDS = {errno.ENOSPC: _ROOM, errno.EDQUOT: _ROOM, errno.EIO: _ALL, errno.EROFS: _CHANGES}
#: More operations than any run has.
NEVER = 10 ** 6
#: Runs after which it says how far it is.
SOME = 500
#: With a file that is not there yet, and with one that is.
FIRST, LATER = 'first start', 'later start'


def faults(last: Mapping[int, int]) -> Iterator[library.Fault]:
    """Give each of them.

    :param last: number of the last operation that can fail, by errno
    """
    for error, kinds in KINDS.items():
        for number in range(1, last[error] + 1):
            for for_good in (False, True):
                yield library.Fault(kinds, number, error, for_good)
            if error in (errno.ENOSPC, errno.EDQUOT):
                yield library.Fault(kinds, number, error, False, half=True)


class Trial:
    """Runs a subject with a fault.

    :param recorder: of this process
    :param before: what a control takes away
    """

    def __init__(self, recorder: library.Recorder, subject: Subject,
                 before: Callable[[], None]) -> None:
        self.recorder, self.subject, self.before = recorder, subject, before
        self.struck, self.runs = 0, 0
        self._left_open: tempfile.TemporaryDirectory[str] | None = None
        self.wrong: list[str] = []

    def run(self, when: str, fault: library.Fault) -> None:
        """Do all calls with this fault, kill the process, and start again without it."""
        with self.place(when) as top:
            report, _events = killed.killed(
                self.recorder, self.subject, top, fault, self.before)
            self.runs += 1
            self.struck += bool(report.struck)
            self.wrong += [f'{self.subject.name} {when} {fault}: {what}'
                           for what in self._wrong(report, top)]
        if self.runs % SOME == 0:
            print(f'{self.subject.name}: {self.runs} runs, wrong: {self.wrong}', file=sys.stderr)

    @contextlib.contextmanager
    def place(self, when: str) -> Iterator[str]:
        """Give a directory with what is there before."""
        with tempfile.TemporaryDirectory() as top:
            if when == LATER:
                shutil.copytree(self._left(), top, dirs_exist_ok=True)
            yield top

    def _left(self) -> str:
        if self._left_open is None:
            self._left_open = tempfile.TemporaryDirectory()
            killed.left_open(self.subject, self._left_open.name)
        return self._left_open.name

    def _wrong(self, report: killed.Report, top: str) -> Iterator[str]:
        if killed.FOREIGN in (report.opening, report.afterwards, *report.calls):
            yield f'an error that is none of migsafe: {report.texts}'
        nameless = [text for text in report.texts if os.path.join(top, STATE) not in text]
        if nameless:
            yield f'a message that names no file: {nameless[0]}'
        if report.afterwards != killed.DONE:
            yield f'it does not go on when the disk is well: {report.texts[-1]}'
        found = states.Checker(self.subject).opened(top, self._allowed(report))
        if found:
            yield f'after a start: {found} (before: {report.texts[:1]})'

    def _allowed(self, report: killed.Report) -> list[tuple[int, ...]]:
        """What may have been done: all that was answered, and what may be there beside it."""
        done = report.done
        maybe = [number for number, what in enumerate(report.calls)
                 if what == killed.UNKNOWN or (
                     what == killed.FAILED
                     and self.subject.calls[number] in self.subject.partly)]
        return [done, *(tuple(sorted((*done, number))) for number in maybe)]


def numbers(trial: Trial, when: str) -> dict[int, int]:
    """How many operations there are that can fail, by errno: a run without a fault counts.

    At the first start it is those of opening: what comes then is the same as at a later one.
    """
    found = {}
    for kinds in set(KINDS.values()):
        with trial.place(when) as top:
            report, _events = killed.killed(trial.recorder, trial.subject, top, library.Fault(
                kinds, NEVER, errno.EIO, False))
        found[kinds] = report.met if when == LATER else report.met_opening
    return {error: found[kinds] for error, kinds in KINDS.items()}


def each(trial: Trial, kinds: str) -> int:
    """Have each operation of some kinds at a later start fail once; return how many there are."""
    with trial.place(LATER) as top:
        last = killed.killed(trial.recorder, trial.subject, top, library.Fault(
            kinds, NEVER, errno.EIO, False))[0].met
    for number in range(1, last + 1):
        trial.run(LATER, library.Fault(kinds, number, errno.EIO, False))
    return last


def all_of(trial: Trial, count: int, seed: str) -> int:
    """Run each fault, or some of them; return how many there are.

    :param count: how many, 0 for all
    """
    total = 0
    for when in (FIRST, LATER):
        every = list(faults(numbers(trial, when)))
        total += len(every)
        chosen = random.Random(f'{seed}-{when}').sample(every, count) if count else every
        for fault in chosen:
            trial.run(when, fault)
    return total
