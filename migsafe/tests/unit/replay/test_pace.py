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
"""What is said before a replay begins."""

from oslotest import base

from migsafe.replay import pace


class PaceTest(base.BaseTestCase):
    def test_nothing_is_slow_on_two_free_processors(self):
        self.assertEqual(1, len(pace.notes(39, 2, 0.9)))

    def test_one_processor(self):
        found = ' '.join(pace.notes(39, 1, 0.0))
        self.assertIn('1 processor to share', found)
        self.assertIn('--fault NAME', found)

    def test_a_busy_machine(self):
        found = ' '.join(pace.notes(1, 2, 8.04))
        self.assertIn('a load of 8.0 on 2 processors', found)
        self.assertIn('1 fault and', found)
        self.assertNotIn('--fault NAME', found)

    def test_this_machine(self):
        self.assertIn('39 faults', pace.here(39)[0])
