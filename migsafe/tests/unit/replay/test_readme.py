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
import pathlib
import re

from oslotest import base

from migsafe.replay import catalogue, rst, words

ROOT = pathlib.Path(__file__).resolve().parents[4]
TABLE = ROOT / 'doc' / 'source' / 'cli' / 'replay-table.inc'
PICTURE = 'doc/source/_images/replay.png'
KILOBYTES = 200


class TableTest(base.BaseTestCase):
    """What the documentation shows is what a replay has written."""

    def setUp(self):
        super().setUp()
        self.text = TABLE.read_text(encoding='utf-8')

    def test_it_has_the_faults_of_the_catalogue(self):
        named = re.findall(r'^   \* - ``([a-z0-9-]+)``', self.text, re.MULTILINE)
        self.assertEqual([entry.name for entry in catalogue.ENTRIES], named)

    def test_it_has_their_sentences(self):
        for entry in catalogue.ENTRIES:
            self.assertIn(rst.escape(entry.text), self.text)

    def test_it_is_of_a_run_that_proves_something(self):
        self.assertNotIn('**ERROR**', self.text)
        total = len(catalogue.ENTRIES)
        self.assertIn(f'migsafe: {total} of {total} clean', self.text)

    def test_each_fault_that_was_mended_has_the_row_of_before(self):
        before = re.findall(r'^   \* - ``([a-z-]+)``.*\n(?:     - .*\n){3}   \* - \*'
                            + words.UNMENDED, self.text, re.MULTILINE)
        self.assertEqual([one.name for one in catalogue.ENTRIES if one.mended], before)

    def test_the_readme_has_eight_rows_of_it_as_they_are(self):
        wanted = rst.excerpt(self.text)
        self.assertEqual((8, 8), (len(rst.TELLING), wanted.count('\n   * - ``')))
        self.assertIn(wanted, (ROOT / 'README.rst').read_text(encoding='utf-8'))

    def test_the_picture_is_there_and_small(self):
        self.assertIn(f'.. image:: {PICTURE}\n', (ROOT / 'README.rst').read_text('utf-8'))
        picture = (ROOT / PICTURE).read_bytes()
        self.assertEqual(b'\x89PNG', picture[:4])
        self.assertGreater(KILOBYTES * 1000, len(picture))
