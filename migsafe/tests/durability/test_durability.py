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
"""States of a crash and faults of a disk: some of each, ``tox -e durability`` runs all."""

import json
import os
import pathlib
import subprocess
import sys
import unittest

from migsafe.tests import sampling

STATES, CONTROLS, FAULTS = 15, 40, 3
#: Each commit draws others; what has failed is run again with the seed that the failure shows.
SEED = os.environ.get('MIGSAFE_SEED') or sampling.seed_of(pathlib.Path(__file__).parent)


def search(kind, count, *more):
    """Run the search in a process of its own; return its answers, and what is to be shown."""
    ended = subprocess.run(
        [sys.executable, '-W', 'ignore', '-m', 'migsafe.tests.durability', '--seed', SEED,
         '--count', str(count), '--only', kind, *more],
        capture_output=True, text=True, check=False)
    found = [json.loads(line) for line in ended.stdout.splitlines()]
    return found, f'MIGSAFE_SEED={SEED}\n{json.dumps(found, indent=1)}\n{ended.stderr[-3000:]}'


class TestDurability(unittest.TestCase):
    """A journal and a ledger."""

    def test_no_crash_loses_what_was_answered(self):
        found, shown = search('states', STATES)
        self.assertEqual(['journal', 'ledger'], [one['subject'] for one in found], shown)
        for one in found:
            self.assertEqual([], one['wrong'], shown)
            self.assertEqual(STATES, sum(
                one['counts'].get(kind, 0) for kind in ('kill', 'torn', 'power cut')), shown)

    def test_the_search_finds_what_is_lost(self):
        """The control is what SQLite does with synchronous = NORMAL."""
        (found,), shown = search('states-control', CONTROLS, '--subject', 'ledger')
        self.assertNotEqual([], found['wrong'], shown)

    def test_a_write_that_failed_does_not_come_back(self):
        """What took it back was answered, and had nothing to change."""
        self.each_fails_once('doubts')

    def test_a_file_that_was_once_not_opened_for_writing_is_opened_again(self):
        """SQLite makes do with reading for as long as it has it open."""
        self.each_fails_once('opens', '--subject', 'journal')

    def each_fails_once(self, kind, *more):
        for name, wrong in ((kind, False), (f'{kind}-control', True)):
            (found,), shown = search(name, 0, *more)
            self.assertEqual(wrong, bool(found['wrong']), shown)
            self.assertGreater(found['of'], 1, shown)
            self.assertEqual(found['of'], found['counts']['struck'], shown)

    def test_no_fault_of_a_disk_stops_the_next_start(self):
        found, shown = search('faults', FAULTS)
        self.assertEqual(['journal', 'ledger'], [one['subject'] for one in found], shown)
        for one in found:
            self.assertEqual([], one['wrong'], shown)
            self.assertGreater(one['counts']['struck'], one['counts']['runs'] / 2, shown)
