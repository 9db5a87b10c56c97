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
"""Drawn clouds of 1,000 hosts: nothing is started twice, where simpler rules start much twice.

The same schedules each time; ``tox -e fencing-drawn`` plays a million.
"""

import dataclasses
import unittest
from unittest import mock

from migsafe.fencing import verdict
from migsafe.fencing.verdict import HostVerdict
from migsafe.tests.fencing_drawn import main, rules

COUNT = 10000
NAIVE = ('heartbeat', 'matrix')
TABLES = [name for name in main.RULES if name not in NAIVE]


class TestDrawn(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.counts = main.run(range(COUNT), main.RULES | main.CONTROLS)

    def test_nothing_is_started_twice(self):
        for name in TABLES:
            self.assertEqual(0, self.counts[name]['double'], name)

    def test_no_power_is_cut_twice(self):
        for name in TABLES:
            self.assertEqual(0, self.counts[name]['cut twice'], name)
        self.assertGreater(self.counts['table and commands that fence']['cut'], 0)

    def test_hosts_that_were_fenced_are_evacuated(self):
        for name in TABLES:
            count = self.counts[name]
            self.assertGreater(count['in time'], count['said'] // 2, name)

    def test_simpler_rules_start_much_twice(self):
        """The control: the schedules are such that it can happen."""
        for name in (*NAIVE, *main.CONTROLS):
            self.assertGreater(self.counts[name]['double'], 0, name)

    def test_table_without_a_row_that_guards(self):
        """The control of the table: with one of its rows turned round it starts guests twice."""
        strict = {'turned': rules.Table(believes=False, scripts=True)}
        for row in ('silence', 'off-alone', 'contradiction-word', 'guest-runs'):
            turned = tuple(dataclasses.replace(one, verdict=HostVerdict.DEAD)
                           if one.name == row else one for one in verdict.TABLE)
            rules.judged.cache_clear()
            self.addCleanup(rules.judged.cache_clear)
            with mock.patch.object(verdict, 'TABLE', turned):
                count = main.run(range(200), strict)['turned']
            self.assertGreater(count['double'], 0, row)
