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
"""The report of the cloud tests, from outcomes that were made up."""

from __future__ import annotations

import dataclasses
import json

import fixtures
import testtools

from migsafe.tests.cloud import judge, report
from migsafe.tests.cloud.play import Outcome

R3 = judge.Finding('R3', 'v is mapped to iqn.<b>other')
R10 = judge.Finding('R10', 'v can be written by two')
FOREIGN = judge.Finding('foreign', 'somebody has written to v')
CLEAN = Outcome('a', 'armed', 61.4, [(1.5, 'asked for & begun')], [], [])
TITLES = {'a': 'there and back', 'c': 'killed'}


class TestReport(testtools.TestCase):
    """What is said of an outcome, and which of them are bad."""

    def test_words(self) -> None:
        for change, words, bad in (
                ({}, 'nothing left; 61 s', False),
                ({'at_first': [R3]}, 'nothing left, at first R3; 61 s', False),
                ({'findings': [R10, R3, R3]}, 'left: R3, R10; 61 s', True),
                ({'between': [FOREIGN]}, 'nothing left, meanwhile foreign; 61 s', True),
                ({'error': 'no guest'}, 'not brought to its end: no guest', True)):
            one = dataclasses.replace(CLEAN, **change)
            self.assertEqual((words, bad), (report.verdict(one), report.is_bad(one)))

    def test_plain_may_leave_what_it_leaves(self) -> None:
        one = dataclasses.replace(CLEAN, side='plain', findings=[R3], between=[FOREIGN])
        self.assertFalse(report.is_bad(one))
        self.assertTrue(report.is_bad(dataclasses.replace(one, error='it was not run')))

    def test_not_run(self) -> None:
        self.assertIn('- not run\n     - nothing left; 61 s', report.text([CLEAN], TITLES))

    def test_page_is_escaped(self) -> None:
        one = dataclasses.replace(CLEAN, findings=[R3], messages=[('cmp1', 'ERROR <script>')])
        page = report.page([one], TITLES, 'today')
        for text in ('iqn.&lt;b&gt;other', 'asked for &amp; begun', 'ERROR &lt;script&gt;'):
            self.assertIn(text, page)
        self.assertNotIn('<script>', page)

    def test_page_tells_what_was_not_brought_to_its_end(self) -> None:
        page = report.page([dataclasses.replace(CLEAN, error='no guest')], TITLES, 'today')
        self.assertIn('<li class="residue">no guest</li>', page)
        self.assertNotIn('nothing left</li>', page)

    def test_outcomes_add_up(self) -> None:
        home = self.useFixture(fixtures.TempDir()).path
        self.useFixture(fixtures.EnvironmentVariable('MIGSAFE_CLOUD', home))
        self.patch(report, 'PACKAGES', ())
        left = dataclasses.replace(CLEAN, scenario='c', findings=[R3])
        self.assertEqual(1, report.write([left]))
        self.assertEqual(1, report.write([CLEAN]))
        self.assertEqual(0, report.write([dataclasses.replace(left, findings=[])]))
        with open(f'{home}/report/outcomes.json', encoding='utf-8') as known:
            self.assertEqual(['a', 'c'], [one['scenario'] for one in json.load(known)])
