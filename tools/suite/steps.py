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
"""Commands that are run as a whole, and how their results are counted."""

import dataclasses
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable

from tools.suite import processes
from tools.suite.results import Tally, tail

ROOT = pathlib.Path(__file__).resolve().parents[2]
RESULTS = ROOT / "build" / "test"
Count = Callable[["Step", int], tuple[Counter[str], list[str]]]


@dataclasses.dataclass(frozen=True)
class Step:
    """One command.

    :param name: also the name of its directory below build/test.
    :param command: run from the top of the project.
    :param count: turns what the command left into counts and lines to print.
    :param sample: words added to the command for a sample; {seed} stands for what draws it.
    :param needs: the step that comes before it.
    :param waits: it waits more than it works, and runs beside the others.
    """

    name: str
    command: tuple[str, ...]
    count: Count
    sample: tuple[str, ...] = ()
    needs: str = ""
    waits: bool = False

    @property
    def directory(self) -> pathlib.Path:
        """Where it leaves what it finds."""
        return RESULTS / self.name

    def run(self, limit: float, seed: str | None) -> Tally:
        """Run it and count.

        :param limit: seconds after which it is ended and has failed
        :param seed: of the sample; None runs the whole
        """
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir(parents=True)
        start = time.monotonic()
        more = tuple(word.format(seed=seed) for word in self.sample) if seed else ()
        log = self.directory / "log"
        with log.open("wb") as out:
            process = processes.start((*self.command, *more), ROOT, out, {})
            late = _late(process, limit)
        counts, lines = self.count(self, process.returncode)
        tally = Tally(counts, seconds=time.monotonic() - start, lines=lines)
        tally.not_drawn = counts.pop("not drawn", 0)
        if late:
            tally.fail(f"HUNG, ended after {limit:.0f} s without a result")
        elif process.returncode and not counts["failed"]:
            tally.fail(f"exit code {process.returncode}")
        elif not counts.total():
            tally.fail("it gave no result at all")
        if tally.counts["failed"]:
            tally.lines += tail(log.read_text("utf-8", "replace"))
        return tally


def _late(process: subprocess.Popen[bytes], limit: float) -> bool:
    """Wait for its end, and bring it about when the time is over."""
    try:
        process.wait(limit)
    except subprocess.TimeoutExpired:
        processes.end(process)
        processes.ended(process)
        return True
    processes.ended(process)
    return False


def by_exit_code(step: Step, code: int) -> tuple[Counter[str], list[str]]:
    """A check passes or fails as a whole."""
    return Counter({"failed" if code else "passed": 1}), []


def by_json(step: Step, code: int) -> tuple[Counter[str], list[str]]:
    """A comparison of Nova's or os-brick's own tests counts for itself."""
    result = step.directory / "result.json"
    if not result.is_file():
        return Counter(), ["no comparison was made"]
    return Counter(json.loads(result.read_text("utf-8"))), _unsteady(step)


def _unsteady(step: Step) -> list[str]:
    """Nova's tests that ended differently once, and alike when they were run again."""
    log = (step.directory / "log").read_text("utf-8", "replace")
    return [f"FLAKY {line}" for line in log.splitlines() if line.startswith("unsteady")]


def check(name: str) -> Step:
    """One check of tools/check.py."""
    return Step(name, (sys.executable, "tools/check.py", name), by_exit_code)


def sphinx(name: str, source: str) -> Step:
    """The documents; a warning is an error."""
    command = (sys.executable, "-m", "sphinx", "-E", "-W", "--keep-going", "-q", "-b", "html")
    return Step(name, (*command, source, str(ROOT / "build" / name)), by_exit_code)


def comparison(name: str, package: str, *options: str, sample: tuple[str, ...] = ()) -> Step:
    """The own tests of Nova or os-brick, armed, and compared with what plain ones do."""
    command = (sys.executable, "-m", f"migsafe.tests.{package}.main", *options)
    command += ("--work-dir", os.fspath(RESULTS / name / "work"))
    command += ("--result", os.fspath(RESULTS / name / "result.json"))
    return Step(name, command, by_json, sample)


def storage_image() -> Step:
    """The disk of the storage tests, and their first machine: made once, and kept until their
    inputs change."""
    command = (sys.executable, "-m", "migsafe.tests.storage.vm")
    return Step("storage-image", command, by_exit_code, waits=True)
