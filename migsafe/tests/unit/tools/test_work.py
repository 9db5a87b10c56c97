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
"""The order in which work is taken."""

import threading

import testtools

from migsafe.tests.sampling import Group
from tools.suite import steps, work
from tools.suite.table import Tier
from tools.suite.work import Job, Queue


def group(tier, name, seconds):
    return Job(tier, seconds, Group(name, (name,), seconds))


class TestQueue(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.one, self.other = Tier("one"), Tier("other")

    def taken(self, queue, **how):
        how = {"waits": False} | how
        found = []
        while job := queue.take(**how):
            queue.done(job)
            found.append(job.group.name if job.group else job.name)
        return found

    def test_the_longest_comes_first(self):
        queue = Queue(group(self.one, f"{n}", float(n)) for n in (3, 1, 2))
        self.assertEqual(["3", "2", "1"], self.taken(queue))

    def test_the_largest_tier_comes_first(self):
        queue = Queue([group(self.one, "a", 5.0), group(self.other, "b", 3.0),
                       group(self.other, "c", 3.0)])
        self.assertEqual("b", queue.take(False).group.name)

    def test_a_worker_stays_with_its_tier(self):
        queue = Queue([group(self.one, "a", 1.0), group(self.other, "b", 9.0)])
        self.assertEqual("a", queue.take(False, "one").group.name)
        self.assertEqual("b", queue.take(False, "one").group.name)

    def test_what_another_one_needs_comes_first(self):
        queue = Queue([Job(steps.check("large"), 99.0), Job(steps.check("small"), 1.0),
                       Job(Tier("t", needs="small"), 1.0)])
        self.assertEqual("small", queue.take(False).name)
        self.assertEqual("large", queue.take(False).name)

    def test_it_waits_for_what_is_needed(self):
        queue = Queue([Job(steps.check("first"), 1.0), Job(Tier("t", needs="first"), 1.0)])
        first = queue.take(False)
        found = []
        waiting = threading.Thread(target=lambda: found.append(queue.take(False)), daemon=True)
        waiting.start()
        self.assertEqual([], found)
        queue.done(first)
        waiting.join()
        self.assertEqual(["t"], [job.name for job in found])

    def test_what_needs_something_that_failed_is_given_back(self):
        queue = Queue([Job(steps.check("first"), 1.0), Job(Tier("t", needs="first"), 1.0)])
        left = queue.done(queue.take(False), lost=True)
        self.assertEqual(["t"], [job.name for job in left])
        self.assertIsNone(queue.take(False))

    def test_groups_that_are_looked_for_are_waited_for(self):
        queue = Queue([Job(self.one, 1.0)])
        looking = queue.take(False)
        found = []
        waiting = threading.Thread(target=lambda: found.append(queue.take(False)), daemon=True)
        waiting.start()
        queue.done(looking, [group(self.one, "a", 1.0)])
        waiting.join()
        self.assertEqual(["a"], [job.group.name for job in found])

    def test_what_waits_runs_beside(self):
        queue = Queue([Job(Tier("w", waits=True), 1.0), Job(Tier("c"), 1.0)])
        self.assertEqual(["c"], self.taken(queue))
        self.assertEqual(["w"], self.taken(queue, waits=True))

    def test_closed(self):
        queue = Queue([Job(self.one, 1.0)])
        self.assertEqual(["one"], [job.name for job in queue.close()])
        self.assertIsNone(queue.take(False))
        self.assertFalse(queue.open("one"))


class TestNames(testtools.TestCase):
    def test_a_job_is_called_as_what_it_belongs_to(self):
        self.assertEqual("one", work.Job(Tier("one"), 1.0).name)
