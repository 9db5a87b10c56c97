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
"""The replay on real Nova: does it show what happened, and only that?"""

import dataclasses
from unittest import mock

import testtools

from migsafe.nova.seams import recorded
from migsafe.replay import catalogue, entry, play, stage, timeline, unmended, words

NO_CALL = entry.on('source', 'cinder', 'attachments.nothing', 'cinder-500')


class StageTestCase(testtools.TestCase):
    """One Nova for all tests of a class; it takes seconds to start."""

    armed = False
    third = False

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.stage = stage.Stage(cls.armed, cls.third)
        cls.stage.start()
        cls.addClassCleanup(cls.stage.stop)

    def play(self, name, **changes):
        """Play a fault of the catalogue, perhaps changed."""
        return play.play(self.stage, dataclasses.replace(catalogue.find(name), **changes))


class PlainTest(StageTestCase):
    def test_every_fault_of_the_catalogue_can_be_built(self):
        for one in (*catalogue.ENTRIES, catalogue.CONTROL):
            for armed in (False, True):
                built = play.build(one, armed, 'node13', 'node11')
                self.assertEqual(one.name, built.name)

    def test_every_residue_kind_of_the_judge_has_words(self):
        from migsafe.replay.lab import observe
        self.assertEqual(list(observe.KINDS), list(words.KINDS))

    def test_incident_000(self):
        found = self.play('incident-000')
        self.assertEqual((True, False), (found.fired, found.clean))
        self.assertIn('R1', words.kinds(found.residue))
        self.assertEqual('LUN 3, 4 of node11', words.where(found.residue).replace(', node13', ''))
        self.assertIn("boots on another tenant's LUN 3, 4 of node13",
                      words.next_step(found.next))
        lines = timeline.visible(found)
        self.assertTrue([s for s in lines if s.kind == 'harm' and 'LUN 3' in s.text])
        self.assertTrue([s for s in lines if s.fault == 'cinder-500' and s.lane == 'node13'])

    def test_nothing_is_left_without_a_fault(self):
        self.assertTrue(self.play('no-fault').clean)

    def test_a_fault_that_cannot_happen_is_never_clean(self):
        found = self.play('no-fault', faults=(NO_CALL,))
        self.assertFalse(found.clean)
        self.assertIn('attachments.nothing', words.problem(found))

    def test_a_death_that_cannot_happen_is_never_clean(self):
        found = self.play('no-fault', dies=('destination', 'libvirt', 'nothing'))
        self.assertFalse(found.clean)
        self.assertIn('nova-compute on node11 is killed', words.problem(found))

    def test_a_holder_that_nothing_met_is_never_clean(self):
        found = self.play('no-fault', hold=(('destination', 0, 'somebody'),))
        self.assertIn('somebody on node11', words.problem(found))

    def test_a_dead_host_is_seen_dead(self):
        found = self.play('kill-destination-rollback')
        self.assertTrue(found.fired)
        self.assertTrue([s for s in found.steps if 'node11 is killed' in s.fault])


class ArmedTest(StageTestCase):
    armed = True

    def test_incident_000(self):
        found = self.play('incident-000')
        self.assertTrue(found.fired and found.clean, found.residue)
        self.assertEqual({('node13', 'settled', 'ABORT'), ('node11', 'settled', 'ABORT')},
                         {(v.host, v.state, v.verdict) for v in found.verdicts})
        lines = [s.text for s in timeline.visible(found) if s.kind == 'journal']
        self.assertTrue([text for text in lines if text.startswith('verdict ABORT')])
        self.assertIn('intent: attachment_create', lines)

    def test_a_peer_that_stays_down_is_waited_for(self):
        found = self.play('destination-stays-down')
        self.assertTrue(found.fired and found.clean, found.residue)
        self.assertTrue(found.waiting)
        self.assertTrue(words.pending(found.pending))
        self.assertEqual({'settled'}, {v.state for v in found.verdicts})

    def test_an_intent_comes_before_its_effect_in_the_timeline(self):
        found = self.play('libvirt-failure')
        lines = [s.text for s in found.steps if s.lane == 'node11']
        self.assertLess(lines.index('intent: attachment_create'),
                        lines.index('attachments.create'))
        self.assertLess(lines.index('attachments.create'), lines.index('ok: attachment_create'))


class MendedTest(StageTestCase):
    """What mends a fault is needed: without it there is the harm that there once was."""

    armed = third = True

    def before(self, name):
        """Play it without what mends it, and then with that, when it must end clean."""
        with unmended.without(unmended.MENDINGS[catalogue.find(name).mended]):
            found = self.play(name)
        self.assertEqual((True, False), (found.valid, found.clean), found)
        self.assertLessEqual({'R1', 'R2'}, set(words.kinds(found.residue)))
        after = self.play(name)
        self.assertEqual((True, True), (after.valid, after.clean), after)
        return found

    def test_all_of_them_are_here(self):
        self.assertEqual({'late-destination', 'drained-source', 'restored-journal', 'false-word',
                          'false-word-guest-off'},
                         {one.name for one in catalogue.ENTRIES if one.mended})

    def test_settled_with_the_rows_of_a_late_destination(self):
        # the rows would be refused by now, which is another mending of the same harm
        with mock.patch.object(recorded, 'refusal', return_value=None):
            found = self.before('late-destination')
        self.assertEqual({'settled'}, {v.state for v in found.verdicts})
        self.assertIn("boots on another tenant's LUN 3, 4 of node13",
                      words.next_step(found.next))

    def test_an_old_transaction_takes_the_exports_of_the_next_migration(self):
        found = self.before('drained-source')
        self.assertEqual({('guest_export_lost', 'node12')},
                         {(hurt.kind, hurt.host) for hurt in found.harms})

    def test_a_restored_journal_does_the_same(self):
        found = self.before('restored-journal')
        self.assertEqual({('guest_export_lost', 'node12')},
                         {(hurt.kind, hurt.host) for hurt in found.harms})

    def test_a_false_word_gives_a_guest_that_is_off_to_a_host_that_never_had_it(self):
        found = self.before('false-word-guest-off')
        self.assertEqual((), found.running_on)
        self.assertIn('instance.host is node11, the guest is off on node13',
                      [one.detail for one in found.residue])

    def test_a_false_word_is_durable_and_each_reboot_is_refused(self):
        found = self.before('false-word')
        self.assertEqual({('node13', 'open', 'COMMIT')},
                         {(v.host, v.state, v.verdict) for v in found.verdicts
                          if v.role == 'source'})
        self.assertFalse(found.next.done)
