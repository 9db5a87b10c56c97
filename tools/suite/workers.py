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
"""The handle of a worker: a process that runs the tests of one tier, group by group."""

import json
import os
import pathlib
import select
import signal
import sys
import time
from collections.abc import Sequence
from typing import IO, Any

from migsafe.tests.sampling import Group
from tools.suite import processes
from tools.suite.durations import limit
from tools.suite.table import Tier

ROOT = pathlib.Path(__file__).resolve().parents[2]
#: Seconds for a process that hangs to write down where it is.
LAST_WORDS = 10
#: Seconds for the tests of a tier to be imported and their cases to be found.
IMPORTED = 300.0
#: Libraries of OpenStack end a test of theirs after so many seconds.
OS_TEST_TIMEOUT = "900"


class Ended(Exception):
    """The worker is gone before it had answered."""


class Worker:
    """One process.

    :param tier: which tests.
    :param directory: where its log and its results go.
    """

    def __init__(self, tier: Tier, directory: pathlib.Path) -> None:
        self.tier = tier.name
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self.log = directory / f"log.{time.monotonic_ns()}"
        command = (sys.executable, "-m", "tools.suite.worker", os.fspath(ROOT / tier.path))
        environ = {"OS_TEST_TIMEOUT": OS_TEST_TIMEOUT, **tier.environ}
        with self.log.open("wb") as log:
            self._process = processes.start(command, ROOT, log, environ, piped=True)

    def groups(self) -> dict[str, list[str]]:
        """Group -> its tests."""
        found: dict[str, list[str]] = json.loads(self._ask({}, limit(IMPORTED)))
        return found

    def run(
        self, group: Group, tests: Sequence[str] = (), most: float | None = None
    ) -> tuple[bytes, str]:
        """Run a group, or some tests of it.

        :param most: seconds that are left for it
        :returns: the subunit stream, and why it is not complete; empty if it is
        """
        seconds = limit(group.seconds) + IMPORTED
        seconds = seconds if most is None else min(seconds, most)
        try:
            return self._ask({"group": group.name, "tests": list(tests)}, seconds), ""
        except Ended as error:
            return (self._out.read_bytes() if self._out.is_file() else b""), str(error)

    def _ask(self, request: dict[str, Any], seconds: float) -> bytes:
        self._out = self._directory / f"result.{time.monotonic_ns()}"
        pipe, answers = self._process.stdin, self._process.stdout
        if pipe is None or answers is None:
            raise Ended("it has no pipes")
        try:
            pipe.write(json.dumps(request | {"out": str(self._out)}).encode() + b"\n")
            pipe.flush()
        except BrokenPipeError as error:
            raise Ended(f"the process has ended; see {self.log}") from error
        self._answered(answers, seconds)
        return self._out.read_bytes()

    def _answered(self, answers: IO[bytes], seconds: float) -> None:
        """:raises Ended: if it does not answer, for it has ended or hangs"""
        ready, _, _ = select.select([answers], [], [], seconds)
        if not ready:
            self._process.send_signal(signal.SIGUSR1)
            select.select([answers], [], [], LAST_WORDS)
            self.kill()
            raise Ended(f"HUNG, ended after {seconds:.0f} s; where it was is in {self.log}")
        if not os.read(answers.fileno(), 64):
            self.kill()
            raise Ended(f"the process has ended: {self._process.returncode}; see {self.log}")

    def processor_seconds(self) -> float:
        """What it and what it has started have used of processors until now."""
        return processes.processor_seconds(self._process)

    def close(self) -> None:
        """Have it end by itself, with all that it has to clean up."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                pipe.close()
        processes.ended(self._process)

    def kill(self) -> None:
        """End it, and what it has started."""
        processes.end(self._process, signal.SIGKILL)
        processes.ended(self._process)
