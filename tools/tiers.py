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
"""Run every tier of tests and count what really happened.

``tools/test.sh`` calls this in an environment that has everything. Steps of
one stage run side by side. The last line printed is ``N passed, N failed, N
skipped``: tests from their subunit streams, each check as one, and a step
that gave no result as one failure under its own name.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from migsafe.tests.nova_armed import outcomes  # noqa: E402  (needs the path above)

RESULTS = ROOT / "build" / "test"
HEARTBEAT = 60  # seconds between two signs of life
SHOWN = 20  # failing tests, and lines of a log, that are printed


STARTED: list[subprocess.Popen[bytes]] = []


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process and all that it has started, if it still runs."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)


def stop(number: int, _frame: object) -> None:
    """Leave nothing running behind when this is told to end."""
    for process in STARTED:
        end(process)
    os._exit(128 + number)


@dataclasses.dataclass
class Step:
    """One thing to run.

    :param name: also the name of its directory below build/test.
    :param command: run from the top of the project.
    :param count: turns what the command left into counts and lines to print.
    :param environ: added to the environment.
    :param timeout: seconds after which it is ended and has failed.
    """

    name: str
    command: list[str]
    count: Callable[["Step", int], tuple[Counter[str], list[str]]]
    environ: dict[str, str] = dataclasses.field(default_factory=dict)
    timeout: int = 2700
    seconds: float = 0.0
    counts: Counter[str] = dataclasses.field(default_factory=Counter)

    @property
    def directory(self) -> pathlib.Path:
        return RESULTS / self.name

    @property
    def log(self) -> pathlib.Path:
        return self.directory / "log"

    def run(self) -> list[str]:
        """Run it, count, and give the lines to print."""
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir(parents=True)
        start = time.monotonic()
        with self.log.open("wb") as log:
            process = subprocess.Popen(
                self.command,
                cwd=ROOT,
                env=os.environ | self.environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # so that what it started can be ended with it
            )
            late = False
            STARTED.append(process)
            try:
                process.wait(self.timeout)
            except subprocess.TimeoutExpired:
                late = True
                end(process)
                process.wait()
        self.counts, lines = self.count(self, process.returncode)
        if late:
            lines.append(f"ended after {self.timeout} s without a result")
            self.counts["failed"] += 1
        elif process.returncode and not self.counts["failed"]:
            lines.append(f"exit code {process.returncode}")
            self.counts["failed"] += 1
        elif not sum(self.counts.values()):
            lines.append("it gave no result at all")
            self.counts["failed"] += 1
        if self.counts["failed"]:
            lines += [f"  {line}" for line in _tail(self.log)]
        self.seconds = time.monotonic() - start
        return lines


def _tail(path: pathlib.Path) -> list[str]:
    return path.read_text("utf-8", "replace").splitlines()[-SHOWN:]


def by_exit_code(step: Step, code: int) -> tuple[Counter[str], list[str]]:
    """A check passes or fails as a whole."""
    return Counter({"failed" if code else "passed": 1}), []


def by_subunit(step: Step, code: int) -> tuple[Counter[str], list[str]]:
    """Tests are counted from the stream that stestr keeps of its last run."""
    last = subprocess.run(
        [*stestr(step.name), "last", "--subunit"], cwd=ROOT, capture_output=True, check=False
    )
    (step.directory / "subunit").write_bytes(last.stdout)
    if not last.stdout.startswith(b"\xb3"):
        return Counter(), ["no test results"]
    found = outcomes.read(last.stdout)
    notable = [
        f"  {status}: {test}" for test, status in sorted(found.items()) if status != "success"
    ]
    if len(notable) > SHOWN:
        notable[SHOWN:] = [f"  ... and {len(notable) - SHOWN} more, see {step.directory}/subunit"]
    return outcomes.summary(found), notable


def by_json(step: Step, code: int) -> tuple[Counter[str], list[str]]:
    """A comparison of Nova's or os-brick's own tests counts for itself."""
    result = step.directory / "result.json"
    if not result.is_file():
        return Counter(), ["no comparison was made"]
    return Counter(json.loads(result.read_text("utf-8"))), []


def stestr(name: str) -> list[str]:
    """The stestr command for the tests of one step, with a repository of its own."""
    repository = ["--repo-url", str(RESULTS / name)]
    return [sys.executable, "-m", "stestr", *repository, "--test-path", f"./migsafe/tests/{name}"]


def check(name: str) -> Step:
    return Step(name, [sys.executable, "tools/check.py", name], by_exit_code)


def tests(name: str, workers: int) -> Step:
    command = [*stestr(name), "run", "--concurrency", str(workers)]
    return Step(name, command, by_subunit, {"OS_TEST_TIMEOUT": "300"})


def sphinx(name: str, source: str) -> Step:
    command = [sys.executable, "-m", "sphinx", "-E", "-W", "--keep-going", "-q", "-b", "html"]
    return Step(name, [*command, source, str(ROOT / "build" / name)], by_exit_code)


def nova_armed(workers: int) -> Step:
    name = "nova-armed"
    command = [sys.executable, "-m", "migsafe.tests.nova_armed.main", "--baseline"]
    command += ["--work-dir", str(RESULTS / name / "work"), "--workers", str(workers)]
    command += ["--mode", "armed", "--result", str(RESULTS / name / "result.json")]
    return Step(name, command, by_json, timeout=1800)


def brick_armed() -> Step:
    """os-brick's own tests of its connectors, plain and guarded."""
    name = "brick-armed"
    command = [sys.executable, "-m", "migsafe.tests.brick_armed.main"]
    command += ["--work-dir", str(RESULTS / name / "work")]
    command += ["--result", str(RESULTS / name / "result.json")]
    return Step(name, command, by_json)


def storage_image() -> Step:
    """The disk of the storage tests, and their first machine: made once, and kept until their
    inputs change."""
    command = [sys.executable, "-m", "migsafe.tests.storage.vm"]
    return Step("storage-image", command, by_exit_code)


# Each stage starts when the one before it has ended; its lanes run side by
# side, and the steps of a lane one after the other.
STAGES: list[list[list[Step]]] = [
    [
        [check(name) for name in ("ruff", "layers", "circles", "aliases", "mypy", "sample")]
        + [sphinx("docs", "doc/source"), sphinx("releasenotes", "releasenotes/source")]
        + [tests("cinder", workers=1)],
        [tests("unit", workers=1), brick_armed()],
    ],
    [
        [tests("functional", workers=2)],
        [nova_armed(workers=1), storage_image()],
    ],
    # emulated processors, which is work and no waiting: one for each of CI's two
    [
        [tests("storage", workers=2)],
    ],
]


class Progress:
    """What is running, for signs of life while nothing ends."""

    def __init__(self) -> None:
        self.start = time.monotonic()
        self._lock = threading.Lock()
        self._running: set[str] = set()

    def say(self, text: str) -> None:
        minutes, seconds = divmod(int(time.monotonic() - self.start), 60)
        with self._lock:
            print(f"[{minutes:2}:{seconds:02}] {text}", flush=True)

    def run(self, lane: list[Step]) -> None:
        for step in lane:
            self._running.add(step.name)
            self.say(f"{step.name}: running")
            try:
                lines = step.run()
            except Exception as exc:
                step.counts = Counter(failed=1)
                lines = [f"could not run: {type(exc).__name__}: {exc}"]
            self._running.discard(step.name)
            self.say("\n".join([f"{step.name}: {line_of(step.counts)}", *lines]))

    def beat(self, ended: threading.Event) -> None:
        while not ended.wait(HEARTBEAT):
            self.say(f"still running: {', '.join(sorted(self._running))}")


def line_of(counts: Counter[str]) -> str:
    return ", ".join(f"{counts[what]} {what}" for what in ("passed", "failed", "skipped"))


def main() -> int:
    """Run all tiers, or the named ones. Exit code 0: nothing failed."""
    names = [step.name for stage in STAGES for lane in stage for step in lane]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="TIER", help=", ".join(names))
    wanted = parser.parse_args().names or names
    if unknown := sorted(set(wanted) - set(names)):
        parser.error(f"no such tier: {', '.join(unknown)}; there are {', '.join(names)}")
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, stop)
    progress = Progress()
    ended = threading.Event()
    threading.Thread(target=progress.beat, args=[ended], daemon=True).start()
    done: list[Step] = []
    for stage in STAGES:
        lanes = [[step for step in lane if step.name in wanted] for lane in stage]
        threads = [threading.Thread(target=progress.run, args=[lane]) for lane in lanes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        done += [step for lane in lanes for step in lane]
    ended.set()
    print(f"\n{'tier':14}{'passed':>8}{'failed':>8}{'skipped':>8}{'seconds':>9}")
    for step in done:
        numbers = "".join(f"{step.counts[what]:8}" for what in ("passed", "failed", "skipped"))
        print(f"{step.name:14}{numbers}{step.seconds:9.0f}")
    total = sum((step.counts for step in done), Counter[str]())
    print(line_of(total), flush=True)
    return 1 if total["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
