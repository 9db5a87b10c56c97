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
"""The queue that all workers take their work from, the longest first."""

import dataclasses
import threading
from collections.abc import Iterable

from migsafe.tests.sampling import Group
from tools.suite.steps import Step
from tools.suite.table import Tier


@dataclasses.dataclass(frozen=True)
class Job:
    """A step; or a group of a tier; or, without a group, to find out which groups a tier has.

    :param seconds: how long it takes, as far as that is known. To find the groups stands for all
        of them, so that the largest tier is begun first.
    """

    owner: Step | Tier
    seconds: float
    group: Group | None = None

    @property
    def name(self) -> str:
        """Of the tier or step."""
        return self.owner.name


class Queue:
    """Jobs that wait, and those that somebody does."""

    def __init__(self, jobs: Iterable[Job]) -> None:
        self._waiting = list(jobs)
        self._running: list[Job] = []
        self._change = threading.Condition()

    def take(self, waits: bool, holding: str = "") -> Job | None:
        """The next job, or None when there is nothing more to do.

        :param waits: whether one is wanted that waits more than it works.
        :param holding: the tier whose worker the caller has already: to begin another one costs
            seconds.
        """
        with self._change:
            while True:
                ready = self._ready(waits)
                if ready:
                    job = self._best(ready, holding)
                    self._waiting.remove(job)
                    self._running.append(job)
                    return job
                if not self._may_come(waits):
                    return None
                self._change.wait()

    def done(self, job: Job, more: Iterable[Job] = (), lost: bool = False) -> list[Job]:
        """Say that a job has ended.

        :param more: what it has found to do.
        :param lost: what needs it can't be done.
        :returns: what can't be done
        """
        with self._change:
            self._running.remove(job)
            self._waiting += more
            left = [other for other in self._waiting if lost and other.owner.needs == job.name]
            self._waiting = [other for other in self._waiting if other not in left]
            self._change.notify_all()
            return left

    def close(self) -> list[Job]:
        """No more; what nobody has begun is given back."""
        with self._change:
            left, self._waiting = self._waiting, []
            self._change.notify_all()
            return left

    def open(self, name: str) -> bool:
        """Whether something of a tier or step is to be done yet, or is being done."""
        with self._change:
            return any(job.name == name for job in (*self._waiting, *self._running))

    def running(self) -> str:
        """For a sign of life."""
        with self._change:
            left = sum(job.seconds for job in self._waiting)
            names = ", ".join(sorted({job.name for job in self._running}))
            return f"running: {names}; some {left / 60:.0f} minutes of work wait"

    def _ready(self, waits: bool) -> list[Job]:
        missing = {job.name for job in (*self._waiting, *self._running)}
        return [
            job
            for job in self._waiting
            if job.owner.waits == waits and job.owner.needs not in missing
        ]

    def _may_come(self, waits: bool) -> bool:
        """Jobs that need another one first; or groups that somebody is looking for."""
        return any(
            job.owner.waits == waits
            for job in (
                *self._waiting,
                *(j for j in self._running if isinstance(j.owner, Tier) and not j.group),
            )
        )

    def _best(self, ready: list[Job], holding: str) -> Job:
        needed = {job.owner.needs for job in self._waiting}
        weights: dict[str, float] = {}
        for job in ready:
            weights[job.name] = weights.get(job.name, 0.0) + job.seconds
        return max(
            ready,
            key=lambda job: (
                job.name == holding,
                job.name in needed,
                weights[job.name],
                job.seconds,
            ),
        )
