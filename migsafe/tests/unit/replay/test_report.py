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
import dataclasses
import io
import json
import re
import xml.etree.ElementTree as ElementTree

from oslotest import base
from rich import console

from migsafe.replay import catalogue, page, rst, summary, table, words
from migsafe.replay.summary import Pair
from migsafe.tests.unit.replay import samples

MIXED = ((samples.dirty('incident-000'), samples.clean('incident-000', True)),
         (samples.clean('connect-first'), samples.clean('connect-first', True)))


class SummaryTest(base.BaseTestCase):
    def test_line_is_counted_from_the_results(self):
        self.assertEqual(
            "plain Nova: 1 of 2 faults end clean; 1 next reboots open another tenant's LUN, "
            '0 start a second copy; migsafe: 2 of 2 clean', samples.report(*MIXED).line())
        self.assertTrue(samples.report(*MIXED).good)

    def test_residue_of_migsafe_is_not_good(self):
        found = samples.report((samples.dirty('incident-000'), samples.dirty('incident-000', 1)))
        self.assertFalse(found.good)
        self.assertIn('migsafe: 0 of 1 clean', found.line())

    def test_a_fault_that_did_not_fire_is_not_good_on_either_side(self):
        quiet = {'fired': False, 'missing': ('it',)}
        for pair in ((samples.clean('user-abort', **quiet), samples.clean('user-abort', True)),
                     (samples.clean('user-abort'), samples.clean('user-abort', True, **quiet)),
                     (samples.clean('user-abort'), None)):
            found = samples.report(pair)
            self.assertFalse(found.good)
            self.assertIn('1 did not fire', found.line())

    def test_a_control_that_is_not_clean_spoils_everything(self):
        control = Pair(catalogue.CONTROL, samples.dirty('no-fault'), samples.clean('no-fault'))
        self.assertFalse(samples.report(*MIXED, control=control).good)
        self.assertFalse(samples.report(*MIXED, problems=['child died']).good)
        self.assertFalse(samples.report().good)

    def test_replayed_names_the_foreign_disk(self):
        self.assertIn("LUN 3 is volume 022c1293 of another tenant, not the VM's e0c8da7e",
                      samples.report(*MIXED).replayed())
        self.assertEqual('', samples.report(MIXED[1]).replayed())

    def test_json_has_everything(self):
        found = json.loads(json.dumps(samples.report(*MIXED).as_dict()))
        self.assertEqual(['incident-000', 'connect-first'], [f['name'] for f in found['faults']])
        self.assertEqual(len(samples.LEFT), len(found['faults'][0]['plain']['residue']))
        self.assertTrue(found['faults'][0]['migsafe']['clean'])


class PageTest(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.page = page.render(samples.report(
            *MIXED, (samples.clean('user-abort', fired=False, missing=('it <i>',)), None)))

    def test_it_needs_nothing_from_outside(self):
        self.assertNotRegex(self.page, re.compile(r'<(script|img|link|iframe|object)\b', re.I))
        self.assertNotRegex(self.page, re.compile(r'(https?:)?//[a-z]|url\(|@import', re.I))

    def test_it_is_well_formed(self):
        body = self.page[self.page.index('<body>'):self.page.index('</html>')]
        body = re.sub(r'<(br|col)( [^>]*)?>', r'<\1\2/>', body).replace(' open>', '>')
        tree = ElementTree.fromstring(body)
        self.assertEqual(3, len(list(tree.iter('details'))))

    def test_text_is_escaped(self):
        self.assertIn('&lt;b&gt;another tenant&#x27;s LUN&lt;/b&gt; &amp; more', self.page)
        self.assertIn('it &lt;i&gt;', self.page)

    def test_timeline_shows_the_fault_and_hides_what_only_looks(self):
        self.assertIn('cinder attachments.delete x2 (data) &#10007; cinder-500', self.page)
        self.assertNotIn('show_port', self.page)
        self.assertNotIn('"phase">periodic recovery', self.page)

    def test_what_did_not_fire_is_an_error(self):
        self.assertIn('plain: ERROR', self.page)
        self.assertIn('1 faults did not fire', self.page)


class RstTest(base.BaseTestCase):
    def render(self, *pairs):
        text = rst.render(samples.report(*pairs))
        cells = re.findall(r'^   [* ] - (.*)$', text, re.MULTILINE)
        return text, [cells[n:n + 4] for n in range(0, len(cells), 4)]

    def test_each_fault_is_a_row_that_names_what_was_left(self):
        text, rows = self.render(*MIXED)
        self.assertTrue(text.startswith(rst.BEGIN) and text.rstrip().endswith(rst.END))
        self.assertEqual(3, len(rows))
        self.assertIn('**R1** BDM says LUN 3, 4', rows[1][1])
        self.assertEqual("**boots on another tenant's LUN 3 of node13**", rows[1][2])
        self.assertEqual(['nothing', 'works', 'nothing'], rows[2][1:])

    def test_marks_of_the_language_in_a_text_mean_themselves(self):
        self.assertEqual(r'a \*b\* \`c\` \|d\| e\_ \\f', rst.escape('a *b* `c`\n|d| e_ \\f'))

    def test_what_did_not_fire_is_an_error(self):
        quiet = samples.clean('user-abort', fired=False, missing=('it',))
        _, rows = self.render((quiet, None))
        self.assertEqual(['**ERROR** the fault did not happen: it', '',
                          '**ERROR** not replayed'], rows[1][1:])

    def test_hold_is_said(self):
        held = samples.clean('incident-000', True, pending=samples.VERDICTS)
        _, rows = self.render((MIXED[0][0], held))
        self.assertTrue(rows[1][3].startswith('HOLD'))


class MendedTest(base.BaseTestCase):
    """A fault that something mends has a row of what there was without that."""

    def report(self, before):
        pair = Pair(catalogue.find('false-word'), samples.dirty('false-word'),
                    samples.clean('false-word', True), before)
        return dataclasses.replace(samples.report(), pairs=(pair,))

    def test_it_counts_only_if_harm_was_done(self):
        quiet = samples.dirty('false-word', True, fired=False, missing=('it',))
        for before, good in ((samples.dirty('false-word', True), True), (None, False),
                             (samples.clean('false-word', True), False), (quiet, False)):
            found = self.report(before)
            self.assertIs(good, found.good)
            self.assertIs(good, 'no harm before it was mended' not in found.line())

    def test_every_form_of_the_table_has_the_row(self):
        found = self.report(samples.dirty('false-word', True))
        with io.StringIO() as written:
            table.show_report(console.Console(file=written, width=160), found)
            shown = written.getvalue()
        for text in (shown, rst.render(found), page.render(found)):
            self.assertIn(words.UNMENDED, text)
            self.assertIn('nothing', text.rpartition(words.UNMENDED)[0])
        row = rst.render(found).partition(f'*{words.UNMENDED}*')[2]
        self.assertIn("boots on another tenant's LUN 3 of node13", row)
        self.assertFalse(found.as_dict()['faults'][0]['before']['clean'])


class OrderTest(base.BaseTestCase):
    def test_a_pair_knows_whether_it_proves_anything(self):
        self.assertTrue(summary.Pair(catalogue.CONTROL, *MIXED[0]).valid)
        self.assertFalse(summary.Pair(catalogue.CONTROL, MIXED[0][0], None).valid)
