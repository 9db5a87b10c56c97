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
"""The commands of tools/cloud, with nothing behind them."""

from __future__ import annotations

import argparse
import pathlib

import fixtures
import testtools

from migsafe.tests.cloud import bystander, command, places, play, report, side, space
from migsafe.tests.cloud.scenarios import SCENARIOS


class TestRun(testtools.TestCase):

    def setUp(self) -> None:
        super().setUp()
        home = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        (home / 'ready').touch()
        (home / 'report').mkdir()
        (home / 'report' / 'report.rst').touch()
        for name, value in (('MIGSAFE_CLOUD', str(home)), (space.INSIDE, '1')):
            self.useFixture(fixtures.EnvironmentVariable(name, value))
        self.assertEqual(home, places.home())
        self.first, self.second = (
            bystander.Bystander(name, 'other', {}) for name in ('first', 'second'))
        self.patch(bystander, 'there', lambda: self.first)
        self.sides: list[str] = []
        self.patch(side, 'take', self.sides.append)
        self.patch(play, 'play', self.play)
        self.patch(report, 'write', lambda outcomes: sum(map(report.is_bad, outcomes)))
        self.played: list[tuple[str, str, bystander.Bystander]] = []
        self.error = ''

    def play(self, name: str, one: str, _scenario: object, stage: play.Stage) -> play.Outcome:
        self.played.append((name, one, stage.beside))
        if (name, one) == ('i', 'plain'):
            stage.beside = self.second
        return play.Outcome(name, one, 1.0, [], [], [], error=self.error)

    def run_them(self, *scenarios: str, **words: object) -> int:
        return command._run(argparse.Namespace(
            **{'scenario': list(scenarios), 'side': None, 'minutes': None, 'seed': '', **words}))

    def test_one_side_after_the_other(self) -> None:
        self.assertEqual(0, self.run_them('a', 'b'))
        self.assertEqual(['plain', 'armed'], self.sides)
        self.assertEqual([('a', 'plain'), ('b', 'plain'), ('a', 'armed'), ('b', 'armed')],
                         [one[:2] for one in self.played])

    def test_what_one_side_has_harmed_is_no_witness_of_the_next(self) -> None:
        self.run_them('h', 'i', 'j')
        self.assertEqual([self.first, self.first, *[self.second] * 4],
                         [one[2] for one in self.played])

    def test_all_or_a_sample_or_one_side(self) -> None:
        self.run_them(side=['armed'])
        self.assertEqual(list(SCENARIOS), [name for name, _one, _beside in self.played])
        self.played.clear()
        self.run_them(minutes=1.0, seed='x', side=['plain'])
        self.assertEqual({('a', 'plain'), ('i', 'plain')},
                         {('a', 'plain'), ('i', 'plain')} & {one[:2] for one in self.played})
        self.assertLess(len(self.played), len(SCENARIOS))

    def test_bad(self) -> None:
        self.error = 'it was not brought to its end'
        self.assertEqual(1, self.run_them('a', side=['armed']))
