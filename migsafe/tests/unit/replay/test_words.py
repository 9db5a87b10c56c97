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
from oslotest import base

from migsafe.replay import damage, outcome, words
from migsafe.replay.outcome import Found, Hurt, Next
from migsafe.tests.unit.replay import samples


class WordsTest(base.BaseTestCase):
    def test_residue_of_both_disks_is_one_line_per_kind(self):
        self.assertEqual([
            ('R1', 'BDM says LUN 3, 4, but on node13 that disk is LUN 7, 8'),
            ('R2', 'BDM has the attachment of node11 (both disks)'),
            ('R3', 'attachment for node11 (root disk); exported to node11 as LUN 3'),
            ('R11', 'instance directory on node11'),
        ], words.residue(samples.LEFT))

    def test_unknown_detail_is_shown_as_it_is(self):
        found = [Found('R9', "LUN 4 {0} on node13 is another tenant's", 'node13')]
        self.assertEqual([('R9', found[0].detail)], words.residue(found))

    def test_where_names_luns_and_hosts(self):
        self.assertEqual('LUN 3, 4 of node11', words.where(samples.LEFT[2:4] + (
            Found('R4', 'device LUN 4 on node11', 'node11', 1),
            Found('R3', 'exported to node11 as LUN 3', 'node11', 0))).replace(
                'node11, node13', 'node11'))
        self.assertEqual('', words.where([Found('R6', 'task_state is migrating')]))

    def test_the_worst_damage_comes_first_and_implies_the_rest(self):
        second = Hurt('double_run', 'node13', 'x also runs on node11', 'second copy')
        self.assertEqual(
            ['starts a second copy of the guest on node13',
             "boots on another tenant's LUN 3 of node13"],
            damage.damage((*samples.HARMS, second)))

    def test_connecting_without_booting_is_said(self):
        self.assertEqual(["connects another tenant's LUN 3 on node13"],
                         damage.damage(samples.HARMS[:1]))

    def test_next_step(self):
        self.assertEqual('works', words.next_step(samples.WORKS))
        self.assertEqual('stop and start: fails: ERROR',
                         words.next_step(Next('stop_start', False, 'ERROR')))
        self.assertIn('not tried', words.next_step(None))

    def test_a_fault_that_did_not_fire_is_a_problem_and_never_clean(self):
        found = samples.clean('libvirt-failure', fired=False, missing=('kill x',))
        self.assertIn('kill x', words.problem(found))
        self.assertFalse(found.clean)

    def test_an_outcome_survives_json(self):
        for found in (samples.dirty('incident-000', verdicts=samples.VERDICTS,
                                    pending=samples.VERDICTS, waiting=samples.LEFT),
                      samples.clean('user-abort', next=None)):
            self.assertEqual(found, outcome.load(found.as_dict()))
