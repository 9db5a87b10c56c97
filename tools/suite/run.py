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
"""One run of tiers and steps: workers that take from the queue, and what became of it all."""

import functools
import pathlib
import re
import shutil
import signal
import threading
import time
from collections.abc import Iterable, Sequence

from migsafe.tests import sampling
from migsafe.tests.sampling import Group
from tools.suite import durations, processes, results
from tools.suite.again import Failure, once_more
from tools.suite.results import Found, Tally, line_of, say
from tools.suite.steps import RESULTS, Step
from tools.suite.table import Tier
from tools.suite.work import Job, Queue
from tools.suite.workers import Ended, Worker

HEARTBEAT = 60  # seconds between two signs of life


class Run:
    """Everything that is wanted, once.

    :param wanted: tiers and steps.
    :param seed: by which samples are drawn; None runs the whole of each.
    :param at_a_time: processes that work; one that waits is beside them.
    :param only: a regular expression that the names of tests, or of their class, have to match.
    """

    def __init__(
        self,
        wanted: Sequence[Step | Tier],
        seed: str | None,
        at_a_time: int,
        only: str = "",
    ) -> None:
        self._seed, self._at_a_time, self._only = seed, at_a_time, only
        self._start = time.monotonic()
        self._known = durations.load()
        self.tallies = {owner.name: Tally() for owner in wanted}
        self._queue = Queue(self._first(owner) for owner in wanted)
        self._wanted = {owner.name for owner in wanted}
        self._failures: list[Failure] = []
        self._measured: dict[str, dict[str, float]] = {owner.name: {} for owner in wanted}
        self._lock = threading.Lock()
        self._over = threading.Event()

    def _first(self, owner: Step | Tier) -> Job:
        if isinstance(owner, Tier) and owner.share and self._seed:
            return Job(owner, owner.share.seconds)
        whole = isinstance(owner, Tier) or not self._seed
        return Job(
            owner, durations.known(self._known, owner.name, durations.WHOLE if whole else "")
        )

    def run(self, minutes: float | None) -> None:
        """Work until nothing is left, or until the time is over."""
        threads = [
            threading.Thread(target=self._work, args=[waits], daemon=True)
            for waits in (*[False] * self._at_a_time, True)
        ]
        threading.Thread(target=self._beat, daemon=True).start()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(self._left(minutes))
        late = any(thread.is_alive() for thread in threads)
        if late:
            self._give_up(minutes, threads)
        alone = None if late else functools.partial(self._alone, minutes)
        once_more(self._failures, self.tallies, alone, self._log)
        self._over.set()

    def _left(self, minutes: float | None) -> float | None:
        return None if minutes is None else max(0.0, self._start + minutes * 60 - time.monotonic())

    def _give_up(self, minutes: float | None, threads: Iterable[threading.Thread]) -> None:
        """End what runs, too: it counts as failed."""
        with self._lock:
            for name in sorted({job.name for job in self._queue.close()}):
                self.tallies[name].fail(f"not all of it could run within {minutes} minutes")
        number = signal.SIGTERM
        while any(thread.is_alive() for thread in threads):
            processes.end_all(number)
            number = signal.SIGKILL
            for thread in threads:
                thread.join(processes.MANNERS)

    def _work(self, waits: bool) -> None:
        """Take one job after the other, and keep the worker for as long as it is of use."""
        worker: Worker | None = None
        while job := self._queue.take(waits, worker.tier if worker else ""):
            if worker and worker.tier != job.name:
                worker.close()
                worker = None
            start, lost = time.monotonic(), False
            more: list[Job] = []
            try:
                if isinstance(job.owner, Step):
                    lost = not self._step(job.owner, job.seconds)
                else:
                    worker = worker or self._worker(job.owner, imported=bool(job.group))
                    more, worker = self._tests(job, job.owner, worker)
            except Exception as error:
                with self._lock:
                    self.tallies[job.name].fail(f"could not run: {type(error).__name__}: {error}")
                if worker:
                    worker.kill()
                worker = None
            self._done(job, time.monotonic() - start, more, lost)
        if worker:
            worker.close()

    def _done(self, job: Job, seconds: float, more: Sequence[Job], lost: bool) -> None:
        with self._lock:
            tally = self.tallies[job.name]
            if isinstance(job.owner, Tier):
                tally.seconds += seconds
            for other in self._queue.done(job, more, lost):
                self.tallies[other.name].fail(f"not run, because {job.name} failed")
            if not self._queue.open(job.name):
                self.say(f"{job.name}: {line_of(tally.counts)}", *tally.lines)

    def _step(self, step: Step, seconds: float) -> bool:
        self.say(f"{step.name}: running")
        tally = step.run(durations.limit(seconds), self._seed)
        with self._lock:
            self.tallies[step.name] = tally
            whole = step.sample and self._seed is None
            self._measured[step.name][durations.WHOLE if whole else ""] = tally.seconds
        return not tally.counts["failed"]

    def _worker(self, tier: Tier, imported: bool) -> Worker:
        made = Worker(tier, RESULTS / tier.name)
        if imported:  # which is not to be measured with the first of its tests
            made.groups()
        return made

    def _tests(self, job: Job, tier: Tier, worker: Worker) -> tuple[list[Job], Worker | None]:
        """:returns: what there is to do now, and the worker if it can go on"""
        if job.group is None:
            return [Job(tier, group.seconds, group) for group in self._drawn(tier, worker)], worker
        used = worker.processor_seconds()
        stream, why = worker.run(job.group)
        used = worker.processor_seconds() - used
        found = results.read(stream, job.group.tests, why)
        with self._lock:
            if not why:
                self._measured[tier.name][job.group.name] = used
            self.tallies[tier.name].counts += found.counts()
            if found.failed:
                self._failures.append(Failure(tier, job.group, found))
        return [], None if why else worker

    def _drawn(self, tier: Tier, worker: Worker) -> list[Group]:
        self.say(f"{tier.name}: running")
        groups = [
            Group(name, tuple(tests), durations.known(self._known, tier.name, name))
            for name, tests in worker.groups().items()
            if re.search(self._only, name)
        ]
        if not groups:
            raise Ended("there are no tests")
        if self._seed is None or tier.share is None:
            return groups
        drawn = sampling.draw(groups, tier.share, self._seed)
        with self._lock:
            self.tallies[tier.name].not_drawn = _tests_of(groups) - _tests_of(drawn)
        names = sorted(group.name for group in groups if group not in drawn)
        path = RESULTS / tier.name / "not-drawn"
        path.write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
        return drawn

    def _alone(self, minutes: float | None, tier: Tier, group: Group, tests: list[str]) -> Found:
        self.say(f"{tier.name}: once more, alone: {', '.join(tests)}")
        worker = self._worker(tier, imported=False)
        stream, why = worker.run(group, tests, self._left(minutes))
        if not why:
            worker.close()
        return results.read(stream, tests, why)

    def _log(self, tier: str) -> pathlib.Path:
        return RESULTS / tier / "failures"

    def say(self, *lines: str) -> None:
        """With the time since the start."""
        minutes, seconds = divmod(int(time.monotonic() - self._start), 60)
        say(f"[{minutes:2}:{seconds:02}] {lines[0]}", *lines[1:])

    def _beat(self) -> None:
        while not self._over.wait(HEARTBEAT):
            self.say(self._queue.running())

    def measured(self) -> durations.Durations:
        """What each test and step has taken, for durations.json."""
        return durations.gather(self._measured, self._known)


def _tests_of(groups: Iterable[Group]) -> int:
    return sum(len(group.tests) for group in groups)


def forget(names: Iterable[str]) -> None:
    """What an earlier run has left."""
    for name in names:
        shutil.rmtree(RESULTS / name, ignore_errors=True)
    RESULTS.mkdir(parents=True, exist_ok=True)
