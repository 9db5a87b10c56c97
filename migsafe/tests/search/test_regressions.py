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
"""Schedules that once broke an invariant, each a file in ``regressions``."""

import pathlib
import unittest

from migsafe.tests.search import run, script, seams

HERE = pathlib.Path(__file__).parent / 'regressions'


class TestRegressions(unittest.TestCase):
    def test_each(self):
        files = sorted(HERE.glob('*.txt'))
        self.assertTrue(files)
        for path in files:
            schedule = script.parse(path.read_text('utf-8'))
            with self.subTest(path.name), seams.installed():
                result = run.run(schedule)
                self.assertEqual([], [str(one) for one in result.breaches], path.name)
                self.assertEqual([], [str(one) for one in result.plain], path.name)

    def test_faults_of_each_fire(self):
        for path in sorted(HERE.glob('*.txt')):
            schedule = script.parse(path.read_text('utf-8'))
            with self.subTest(path.name), seams.installed():
                fired = {tuple(map(str, key)) for key in run.run(schedule).fired}
                self.assertTrue(not schedule.faults or fired & set(schedule.faults),
                                (fired, schedule.faults))
