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
"""The sample of scenarios that a run takes."""

from __future__ import annotations

import testtools

from migsafe.tests.cloud import gate
from migsafe.tests.cloud.scenarios import SCENARIOS


class TestDrawn(testtools.TestCase):

    def drawn(self, minutes: float = 90.0, seed: str = 'x') -> list[str]:
        return gate.drawn(SCENARIOS, minutes, seed)

    def test_known(self) -> None:
        self.assertLessEqual({*gate.LONGER, *gate.ALWAYS}, set(SCENARIOS))

    def test_fits(self) -> None:
        for seed in map(str, range(200)):
            seconds = sum(gate.LONGER.get(one, gate.USUAL) for one in self.drawn(seed=seed))
            self.assertLessEqual(seconds + gate.BEGIN, 90 * 60 + max(gate.LONGER.values()) / 2)
            self.assertGreater(seconds, 3600)

    def test_by_the_seed_alone(self) -> None:
        self.assertEqual(self.drawn(), self.drawn())
        self.assertNotEqual(self.drawn(), self.drawn(seed='y'))
        self.assertEqual(list(gate.ALWAYS), self.drawn(minutes=0))

    def test_all_come_up(self) -> None:
        found = {name for seed in range(100) for name in self.drawn(seed=str(seed))}
        self.assertEqual(set(SCENARIOS), found)
