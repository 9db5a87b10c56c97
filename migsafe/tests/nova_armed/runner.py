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
"""Run Nova's tests in their own processes, plain or armed."""

import dataclasses
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import migsafe
from migsafe.tests.nova_armed import inject, outcomes, watch

HOOK_DIR = pathlib.Path(__file__).parent / "hook"
# Nova's slowest tests wait for half a minute; one that hangs must not take
# the whole run with it. Seconds, per test; then it is ended from outside.
TEST_TIMEOUT = 480
HUNG = TEST_TIMEOUT + 30
# More than this is no unlucky test any more.
MAX_HUNG = 3
# The first byte of each packet of a subunit v2 stream.
SUBUNIT_V2 = b"\xb3"


@dataclasses.dataclass(frozen=True)
class Proof:
    """What shows that an armed run was armed."""

    processes: int = 0
    wrapped: tuple[str, ...] = ()
    journals: int = 0


@dataclasses.dataclass(frozen=True)
class Runner:
    """How to run; one instance serves plain and armed runs.

    :param top: the directory made by :mod:`.topdir`.
    :param work: where repositories, logs and journals go.
    :param test_path: under nova/tests: "functional" or "unit".
    :param concurrency: "eventlet" or "threads".
    :param workers: processes at a time.
    :param excluded: regular expressions of tests that are left out.
    """

    top: pathlib.Path
    work: pathlib.Path
    test_path: str
    concurrency: str
    workers: int
    excluded: tuple[str, ...] = ()

    def run(
        self, mode: str, tests: list[str], exact: bool = False
    ) -> tuple[outcomes.Outcomes, Proof]:
        """Run tests and give their outcomes.

        Tests that a hung one kept from running are run after it.

        :param mode: "plain" or "armed".
        :param tests: regular expressions, or test ids if exact.
        :raises RuntimeError: when the run could not even start.
        """
        state = pathlib.Path(tempfile.mkdtemp(prefix="state.", dir=self.work))
        found: outcomes.Outcomes = {}
        hung: list[str] = []
        try:
            while tests:
                new = self._stestr(mode, state, tests, exact)
                found |= outcomes.read(self._last(mode)) | dict.fromkeys(new, "inprogress")
                hung += new
                if not new or len(hung) >= MAX_HUNG:
                    break
                tests = [t for t in self._listed(mode, state, tests, exact) if t not in found]
                exact = True
            return found, _proof(state)
        finally:
            shutil.rmtree(state, ignore_errors=True)

    def _stestr(self, mode: str, state: pathlib.Path, tests: list[str], exact: bool) -> list[str]:
        """Run tests; those that hung are given back."""
        shutil.rmtree(self.work / f"stestr.{mode}", ignore_errors=True)
        (self.work / f"stestr.{mode}").mkdir()
        workers = "1" if exact else str(self.workers)
        command = [*self._command(mode), "run", "--concurrency", workers]
        command += self._selection(mode, tests, exact)
        log = self.work / f"{mode}.log"
        with log.open("ab") as output, watch.Watch(state, HUNG) as seen:
            # A non-zero exit only says that a test failed; the stream says which.
            subprocess.run(
                command,
                cwd=self.top,
                env=self.environment(mode, state),
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
            )
        for test, stacks in seen.hung.items():
            print(f"HUNG {mode}: {test}; where it was, is in {log}.hung")
            with open(f"{log}.hung", "a", encoding="utf-8") as out:
                print(f"{test}\n{stacks}", file=out)
        return list(seen.hung)

    def _command(self, mode: str) -> list[str]:
        stestr = [sys.executable, "-m", "stestr", "--top-dir", ".", "--repo-url"]
        return [
            *(*stestr, str(self.work / f"stestr.{mode}")),
            *("--test-path", f"./nova/tests/{self.test_path}"),
        ]

    def _selection(self, mode: str, tests: list[str], exact: bool) -> list[str]:
        wanted = self.work / f"tests.{mode}"
        wanted.write_text("\n".join(tests) + "\n", encoding="utf-8")
        unwanted = self.work / f"excluded.{mode}"
        unwanted.write_text("\n".join(self.excluded) + "\n", encoding="utf-8")
        if exact:
            return ["--load-list", str(wanted)]
        return ["--include-list", str(wanted), "--exclude-list", str(unwanted)]

    def _last(self, mode: str) -> bytes:
        last = subprocess.run(
            [*self._command(mode), "last", "--subunit"],
            cwd=self.top,
            capture_output=True,
            check=False,
        )
        if not last.stdout.startswith(SUBUNIT_V2):
            log = self.work / f"{mode}.log"
            raise RuntimeError(f"the {mode} run gave no results; its output is in {log}")
        return last.stdout

    def _listed(
        self, mode: str, state: pathlib.Path, tests: list[str], exact: bool
    ) -> list[str]:
        """The ids of all tests that a run would take."""
        if exact:
            return tests
        shown = subprocess.run(
            [*self._command(mode), "list", *self._selection(mode, tests, exact)],
            cwd=self.top,
            env=self.environment(mode, state),
            capture_output=True,
            text=True,
            check=True,
        )
        return [line for line in shown.stdout.splitlines() if line.startswith("nova.tests.")]

    def environment(self, mode: str, state: pathlib.Path) -> dict[str, str]:
        """The environment of the test processes."""
        paths = [HOOK_DIR, pathlib.Path(migsafe.__file__).parent.parent]
        return os.environ | {
            "PYTHONPATH": os.pathsep.join(str(path) for path in paths),
            "OS_NOVA_DISABLE_EVENTLET_PATCHING": str(self.concurrency == "threads"),
            "OS_TEST_TIMEOUT": str(TEST_TIMEOUT),
            inject.MODE: mode,
            inject.STATE_DIR: str(state),
        }


def _proof(state: pathlib.Path) -> Proof:
    notes = [json.loads(path.read_text("utf-8")) for path in state.glob("armed.*.json")]
    wrapped = {name for note in notes for name in note["wrapped"]}
    journals = sum(1 for _ in state.glob("*/*.sqlite"))
    return Proof(len(notes), tuple(sorted(wrapped)), journals)
