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

from migsafe.replay import catalogue, rst

README = pathlib.Path(__file__).resolve().parents[4] / 'README.rst'


class ReadmeTest(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        text = README.read_text(encoding='utf-8')
        self.assertEqual((1, 1), (text.count(rst.BEGIN + '\n'), text.count(rst.END + '\n')))
        self.section = text[text.index(rst.BEGIN):text.index(rst.END)]

    def test_its_table_has_the_faults_of_the_catalogue(self):
        named = re.findall(r'^   \* - ``([a-z0-9-]+)``', self.section, re.MULTILINE)
        self.assertEqual([entry.name for entry in catalogue.ENTRIES], named)

    def test_its_table_has_their_sentences(self):
        for entry in catalogue.ENTRIES:
            self.assertIn(rst.escape(entry.text), self.section)

    def test_its_table_is_of_a_run_that_proves_something(self):
        self.assertNotIn('**ERROR**', self.section)
        total = len(catalogue.ENTRIES)
        self.assertIn(f'migsafe: {total} of {total} clean', self.section)
