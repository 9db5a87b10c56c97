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
"""A kill or an error at every point of an attach and a detach, plain and guarded."""

from collections import Counter

from cinder import exception

from migsafe.tests.cinder import world


class Crashes(world.World):
    """The scenarios; each gives the points it has come to."""

    def attaching(self, number, kind):
        """Nova reserves an attachment, updates it, and deletes it when that has failed."""
        self.begin()
        attachment = self.reserve()
        self.inject(number, kind)
        failed = self.quietly(self.attach, attachment)
        return self.end(failed, attachment)

    def detaching(self, number, kind):
        """Nova deletes an attachment, and again when that has failed."""
        self.begin()
        attachment = self.reserve()
        self.attach(attachment)
        self.inject(number, kind)
        failed = self.quietly(self.detach, attachment)
        return self.end(failed, attachment)

    def begin(self):
        self.faults.quiet = True
        self.array.targets.clear()
        self.volume = self.make_volume()

    def end(self, failed, attachment):
        if self.faults.dead:
            self.restart()
        else:
            self.recover()
        if failed is not None:
            self.detach(attachment)
        self.recover()
        return self.faults

    def all_points(self, scenario, kind):
        """Run a scenario with a fault at each point that it has; count those that leave a leak."""
        number, leaks = 0, Counter()
        while True:
            faults = scenario(number, kind)
            if not faults.struck:
                self.assertEqual(set(), self.leaks())
                return number, leaks
            for _leak in self.leaks():
                leaks[faults.points[number]] += 1
            number += 1


SCENARIOS = ('attaching', 'detaching')
KINDS = (world.Killed, exception.CinderException)


class TestPlain(Crashes):
    """The control: plain Cinder leaks, so the faults strike and leaks are seen."""

    guarded = False

    def test_every_point(self):
        leaking = {}
        for scenario in SCENARIOS:
            for kind in KINDS:
                points, leaks = self.all_points(getattr(self, scenario), kind)
                self.assertGreaterEqual(points, 8 if scenario == 'attaching' else 4)
                leaking[scenario, kind.__name__] = len(leaks)
        # Measured with Cinder 29: the target, the mapping or both stay.
        self.assertGreaterEqual(leaking['attaching', 'Killed'], 5)
        self.assertGreaterEqual(leaking['attaching', 'CinderException'], 3)
        self.assertGreaterEqual(leaking['detaching', 'CinderException'], 1)


class TestGuarded(Crashes):
    """None with the guard, also at the points that it adds."""

    def test_every_point(self):
        for scenario in SCENARIOS:
            for kind in KINDS:
                points, leaks = self.all_points(getattr(self, scenario), kind)
                self.assertGreaterEqual(points, 12 if scenario == 'attaching' else 8)
                self.assertEqual({}, dict(leaks), (scenario, kind))
                self.assertEqual([], self.guard.ledger.due(), (scenario, kind))
