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
#: Schedules for each control of the table.
FEW, MANY = 100, 800
#: Rows that speak against an evacuation, and those of them that stand before what proves a death.
#: No schedule comes to the others.
GUARDS = [row.name for row in verdict.TABLE if row.verdict is not HostVerdict.DEAD
          and row.name not in ('alone', 'too-few-looks', 'word-unheard', 'nothing')]
BEFORE = ('blind', 'storm')
NAIVE = ('heartbeat', 'matrix')
TABLES = [name for name in main.RULES if name not in NAIVE]


class TestDrawn(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.before = {}
        cls.counts = main.run(range(COUNT), main.RULES | main.CONTROLS)

    def test_nothing_is_started_twice(self):
        for name in TABLES:
            self.assertEqual(0, main.wrong(self.counts[name]), name)
        self.assertGreater(self.counts['table and commands that fence']['cut'], 0)

    def test_a_false_word_is_no_proof_where_two_are_wanted(self):
        self.assertEqual(0, self.counts['table, two proofs']['double'])
        # the control: whoever believes it starts guests twice
        self.assertGreater(self.counts['table, default probes']['false word'], 0)

    def test_hosts_that_were_fenced_are_evacuated(self):
        for name in TABLES:
            count = self.counts[name]
            self.assertGreater(count['in time'], count['said'] // 2, name)

    def test_simpler_rules_start_much_twice(self):
        """The control: the schedules are such that it can happen."""
        for name in (*NAIVE, *main.CONTROLS):
            self.assertGreater(self.counts[name]['double'], 0, name)

    def played(self, count):
        """Double starts, whatever has caused them."""
        rules.judged.cache_clear()
        self.addCleanup(rules.judged.cache_clear)
        tried = {'believing': rules.Table(), 'sceptical': rules.Table(believes=False)}
        return {name: found['double'] for name, found in main.run(range(count), tried).items()}

    def raised(self, row, table):
        """Whether another table starts more guests twice; most do within few schedules."""
        for count in (FEW, MANY):
            before = self.before.get(count) or self.before.setdefault(count, self.played(count))
            with mock.patch.object(verdict, 'TABLE', table):
                found = self.played(count)
            if any(found[name] > before[name] for name in before):
                return
        self.fail(f'{row} is not needed: {before}, {found}')

    def test_a_row_that_is_turned_round(self):
        """The control of the table: each row that speaks against an evacuation is needed."""
        for row in GUARDS:
            self.raised(row, tuple(dataclasses.replace(one, verdict=HostVerdict.DEAD)
                                   if one.name == row else one for one in verdict.TABLE))

    def test_a_row_that_is_left_out(self):
        """The same of those that stand before what proves a death."""
        for row in BEFORE:
            self.raised(row, tuple(one for one in verdict.TABLE if one.name != row))

    def test_one_look_is_too_few(self):
        found = main.run(range(MANY), {
            looks: rules.Table(rules.DEFAULT, looks=looks) for looks in (1, 3)})
        self.assertGreater(found[1]['double'], found[3]['double'])
