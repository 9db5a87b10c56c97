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
"""A process that does the calls of a subject, is recorded or has a disk that fails, and is killed.

It is a fork of one that has imported everything, and never closes what it has opened.
"""

import dataclasses
import json
import os
import tempfile
from collections.abc import Callable

from migsafe import exceptions
from migsafe.tests.durability import library
from migsafe.tests.durability.workloads import Memory, NotTried, Subject

#: What became of a call, or of the opening.
DONE, FAILED, UNKNOWN, NOT_TRIED, FOREIGN = 'done', 'failed', 'unknown', 'not tried', 'foreign'


@dataclasses.dataclass(frozen=True)
class Report:
    """What the process said before its end.

    :param opening: what became of it
    :param calls: what became of each
    :param texts: of all errors
    :param struck: how many operations have failed
    :param met_opening: how many could have while it was opened
    :param met: how many could have in all
    :param afterwards: what became of opening and of a write when the disk was well again
    """

    opening: str
    calls: tuple[str, ...]
    texts: tuple[str, ...]
    struck: int
    met_opening: int
    met: int
    afterwards: str

    @property
    def done(self) -> tuple[int, ...]:
        """The calls that have returned."""
        return tuple(number for number, what in enumerate(self.calls) if what == DONE)


class _Run:
    """In the process."""

    def __init__(self, recorder: library.Recorder, subject: Subject, top: str) -> None:
        self.recorder, self.subject, self.top = recorder, subject, top
        self.texts: list[str] = []
        self.opened = None

    def tried(self, what: Callable[[], object]) -> str:
        """Do it; return what became of it."""
        try:
            what()
        except NotTried:
            return NOT_TRIED
        except exceptions.JournalWriteUnknown as error:
            self.texts.append(str(error))
            return UNKNOWN
        except exceptions.JournalError as error:
            self.texts.append(str(error))
            return FAILED
        except Exception as error:
            self.texts.append(f'{type(error).__name__}: {error}')
            return FOREIGN
        return DONE

    def open(self) -> None:
        """As the service that starts."""
        self.opened = self.subject.open(self.top)

    def all(self, fault: library.Fault | None) -> Report:
        """Open, do all calls, and see whether the service can go on when the disk is well."""
        self.recorder.fault(fault)
        opening, calls, memory = self.tried(self.open), [], Memory()
        met_opening = self.recorder.met
        self.recorder.mark('opened')
        for number, call in enumerate(self.subject.calls):
            calls.append(NOT_TRIED if self.opened is None else self.tried(
                lambda call=call: call(self.opened, memory)))
            self.recorder.mark(f'{number}')
        struck, met = self.recorder.struck, self.recorder.met
        self.recorder.fault(None)
        afterwards = DONE if self.opened is not None else self.tried(self.open)
        if afterwards == DONE:
            afterwards = self.tried(lambda: self.subject.touch(self.opened))
        return Report(opening, tuple(calls), tuple(self.texts), struck, met_opening,
                      met, afterwards)


def killed(recorder: library.Recorder, subject: Subject, top: str,
           fault: library.Fault | None = None,
           before: Callable[[], None] = lambda: None) -> tuple[Report, list[library.Event]]:
    """Let a process do all calls below ``top``, and kill it.

    :param fault: of its disk
    :param before: done in the process before all
    :returns: what it said, and what it did to the files
    """
    with tempfile.TemporaryFile() as record, tempfile.TemporaryFile() as said:
        process = os.fork()
        if process == 0:
            try:
                before()
                recorder.start(top, record.fileno())
                # NOTE: what nobody refers to is closed, which a kill would not do.
                run = _Run(recorder, subject, top)
                report = run.all(fault)
                os.write(said.fileno(), json.dumps(dataclasses.asdict(report)).encode())
            finally:
                os._exit(0)
        os.waitpid(process, 0)
        said.seek(0)
        record.seek(0)
        fields = json.loads(said.read())
        report = Report(**{name: tuple(value) if isinstance(value, list) else value
                           for name, value in fields.items()})
        return report, list(library.read(record.read()))


def left_open(subject: Subject, top: str) -> None:
    """Let a process open it and write to it, and kill it: log and index stay."""
    process = os.fork()
    if process == 0:
        try:
            # see killed
            opened = subject.open(top)
            subject.touch(opened)
        finally:
            os._exit(0)
    os.waitpid(process, 0)
