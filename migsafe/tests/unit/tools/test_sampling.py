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
"""What a sample of a tier has in it."""

import testtools

from migsafe.tests import sampling
from migsafe.tests.sampling import Group, Share
from tools.suite import steps

SOME = Share(200)
COMMITS = [f"{number:012x}" for number in range(100)]


def groups(count=60, seconds=10.0):
    """In three modules, and in two kinds of the fault matrix."""
    tests = [f"migsafe.tests.it.test_{n % 3}.Test.test_{n}" for n in range(count)]
    tests += [f"migsafe.tests.it.matrix.test_matrix.{kind}.a.B:{n}"
              for kind in ("kill", "pair") for n in range(count // 2)]
    return [Group(name, (name,), seconds) for name in tests]


class TestDraw(testtools.TestCase):
    def names(self, seed, share=SOME, among=None):
        return {group.name for group in sampling.draw(among or groups(), share, seed)}

    def test_a_seed_draws_the_same_again(self):
        self.assertEqual(self.names("a"), self.names("a", among=groups()[::-1]))
        self.assertNotEqual(self.names("a"), self.names("b"))

    def test_it_takes_its_share_of_time(self):
        for seed in COMMITS:
            self.assertEqual(20, len(self.names(seed)))

    def test_over_some_commits_everything_is_drawn(self):
        found = set.union(*(self.names(seed) for seed in COMMITS))
        self.assertEqual({group.name for group in groups()}, found)

    def test_one_that_is_longer_than_the_share_is_drawn_too(self):
        long = Group("migsafe.tests.it.test_0.Test.test_long", ("long",), 1000.0)
        among = [*groups(), long]
        # its kind is there already, so that it is not drawn for that
        share = Share(200, always=("test_0.Test.test_0$",))
        found = [seed for seed in COMMITS if long.name in self.names(seed, share, among)]
        self.assertTrue(found)
        self.assertLess(len(found), len(COMMITS))

    def test_each_kind_is_in_each_sample(self):
        kinds = {group.kind for group in groups()}
        self.assertEqual({"migsafe.tests.it.test_0", "migsafe.tests.it.test_1",
                          "migsafe.tests.it.test_2", "migsafe.tests.it.matrix.test_matrix.kill",
                          "migsafe.tests.it.matrix.test_matrix.pair"}, kinds)
        for seed in COMMITS:
            drawn = sampling.draw(groups(), Share(0), seed)
            self.assertEqual((kinds, len(kinds)), ({group.kind for group in drawn}, len(drawn)))

    def test_a_part_of_the_kinds_is_in_each_sample_and_none_is_left_out_for_good(self):
        among = [Group(f"m.test_{n}.T.test_it", ("x",), 10.0) for n in range(100)]
        drawn = [self.names(seed, Share(0, kinds=0.6), among) for seed in COMMITS]
        for found in drawn:
            self.assertTrue(40 < len(found) < 80, len(found))
        self.assertEqual({group.name for group in among}, set.union(*drawn))

    def test_what_is_always_in_it_is_in_each_sample(self):
        share = Share(0, always=("test_1$", r"\.pair\..*:7"))
        for seed in COMMITS:
            found = self.names(seed, share)
            self.assertIn("migsafe.tests.it.test_1.Test.test_1", found)
            self.assertIn("migsafe.tests.it.matrix.test_matrix.pair.a.B:7", found)

    def test_quick_ones_are_in_each_sample_and_cost_nothing(self):
        quick = [Group(f"m.test_9.T.test_{n}", ("x",), 0.1) for n in range(500)]
        share = Share(SOME.seconds, quick=1)
        for seed in COMMITS[:5]:
            found = self.names(seed, share, [*groups(), *quick])
            self.assertLessEqual({group.name for group in quick}, found)
            self.assertEqual(520, len(found))

    def test_another_test_changes_nobodys_place(self):
        order = sorted(groups(), key=lambda group: sampling.rank("a", group.name))
        more = sorted(groups(count=62), key=lambda group: sampling.rank("a", group.name))
        known = {group.name for group in order}
        self.assertEqual([group.name for group in order],
                         [group.name for group in more if group.name in known])


class TestSeed(testtools.TestCase):
    def test_it_is_the_commit(self):
        self.assertRegex(sampling.seed_of(steps.ROOT), r"^([0-9a-f]{12}|\d{4}-\d\d-\d\d)$")

    def test_without_git_it_is_the_day(self):
        self.assertRegex(sampling.seed_of("/proc"), r"^\d{4}-\d\d-\d\d$")
