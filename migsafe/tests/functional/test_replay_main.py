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
"""The command as a person and as a script use it."""

import json
import os
import subprocess
import sys

import fixtures
import testtools

from migsafe.replay import catalogue


class MainTest(testtools.TestCase):
    def command(self, *arguments, expect=0):
        done = subprocess.run([sys.executable, '-m', 'migsafe.replay.main', *arguments],
                              capture_output=True, text=True, timeout=1200)
        self.assertEqual(expect, done.returncode, done.stdout + done.stderr)
        return done

    def test_list_names_every_fault(self):
        shown = self.command('--list').stdout
        for entry in catalogue.ENTRIES:
            self.assertIn(f'{entry.name} ', shown)

    def test_unknown_fault_is_a_usage_error(self):
        self.assertIn('user-abort', self.command('--fault', 'user-abrot', expect=2).stderr)

    def test_a_file_that_cannot_be_written_is_found_out_at_once(self):
        self.assertIn('/nowhere', self.command('--html', '/nowhere/page', expect=2).stderr)

    def test_one_fault_on_both_sides(self):
        page = os.path.join(self.useFixture(fixtures.TempDir()).path, 'page.html')
        done = self.command('--fault', 'user-abort', '--json', '-', '--html', page)
        found = json.loads(done.stdout)
        self.assertTrue(found['good'])
        (pair,) = found['faults']
        self.assertEqual(['R6'], sorted({r['kind'] for r in pair['plain']['residue']}))
        self.assertTrue(pair['migsafe']['clean'])
        for shown in ('Incident 000', 'user-abort: plain Nova', 'user-abort: migsafe',
                      'verdict ABORT', found['summary'][:30]):
            self.assertIn(shown, done.stderr)
        with open(page) as file:
            self.assertIn('id="user-abort"', file.read())
