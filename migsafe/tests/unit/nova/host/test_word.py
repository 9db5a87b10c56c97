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
"""What a host does not do on another host's word alone, and what two threads decide at once."""

import dataclasses
import uuid

from migsafe.tests.unit.nova import hosts
from migsafe.tests.unit.resources import cloud as fake
from migsafe.transaction.evidence import GuestState
from migsafe.transaction.verdict import Verdict

SRC, DST, THIRD, G = fake.SRC, fake.DST, fake.THIRD, GuestState
COMMIT, ABORT = Verdict.COMMIT, Verdict.ABORT


class TestRelease(hosts.TwoHosts):

    def release(self, host, verdict):
        return host.participant.release(fake.MIGRATION, fake.INSTANCE, verdict)

    def row_on(self, host):
        self.world.records.row = dataclasses.replace(self.world.records.row, host=host)

    def assertRefused(self, host, verdict, *words):
        answer = self.release(host, verdict)
        self.assertEqual('refused', answer['state'])
        for word in words:
            self.assertIn(word, answer['reason'])
        self.assertIsNone(host.tx().verdict)
        self.assertEqual([], host.cloud.changes())

    def test_of_a_copy_that_is_coming_in_is_the_sources_to_say(self):
        self.break_off(dst=G.IN_TRANSFER)
        self.assertRefused(self.dst, ABORT, DST, 'coming in')
        self.src.journal.verdict(self.src.tx(), 'ABORT', 'runs here')
        self.dst.guests.state = G.ABSENT
        self.release(self.dst, ABORT)
        self.assertEqual('ABORT', self.dst.tx().verdict)

    def test_of_a_copy_that_is_coming_in_is_not_the_sources_alone(self):
        """Two false words are no more than one: what is received here is still sent there."""
        self.break_off(dst=G.IN_TRANSFER)
        self.src.journal.verdict(self.src.tx(), 'ABORT', 'of yesterday')
        self.assertRefused(self.dst, ABORT, 'coming in')

    def test_before_the_copy_comes_in_it_is_the_sources_to_say_too(self):
        """No domain is here between the end of pre_live_migration and the transfer."""
        self.break_off(dst=G.ABSENT)
        self.assertRefused(self.dst, ABORT, SRC, 'may be coming in')
        with self.away(SRC):
            self.assertRefused(self.dst, ABORT, SRC)

    def test_of_a_source_without_migsafe_is_novas(self):
        """Which deletes the attachments by the same word, whatever is answered here."""
        self.break_off(dst=G.ABSENT)
        self.dst.bus.unarmed_hosts.add(SRC)
        # it has none that could ask in this way
        self.assertRefused(self.dst, ABORT, 'coming in')
        self.assertEqual('done', self.dst.participant.release(
            fake.MIGRATION, fake.INSTANCE, ABORT, novas=True)['state'])
        self.assertEqual('ABORT', self.dst.tx().verdict)

    def test_of_a_source_that_has_not_journalled_it_is_novas(self):
        """As one on which migsafe was switched on in the middle of it."""
        self.dst.guests.state = G.ABSENT
        self.begin_destination()
        self.assertRefused(self.dst, ABORT, 'coming in')
        self.assertEqual('done', self.dst.participant.release(
            fake.MIGRATION, fake.INSTANCE, ABORT, novas=True)['state'])

    def test_of_a_source_without_migsafe_while_the_copy_comes_in(self):
        self.break_off(dst=G.IN_TRANSFER)
        self.dst.bus.unarmed_hosts.add(SRC)
        self.assertRefused(self.dst, ABORT, 'coming in')
        self.assertEqual('refused', self.dst.participant.release(
            fake.MIGRATION, fake.INSTANCE, ABORT, novas=True)['state'])

    def test_of_the_host_that_the_record_names(self):
        self.break_off(src=G.ABSENT)
        for state in (G.ABSENT, G.SHUT_OFF):
            self.src.guests.state = self.dst.guests.state = state
            self.row_on(SRC)
            self.assertRefused(self.src, COMMIT, 'by its record')
            self.row_on(DST)
            self.assertRefused(self.dst, ABORT, 'by its record')

    def test_while_libvirt_does_not_answer(self):
        """It would be durable, and the guest may arrive."""
        self.break_off(dst=G.UNKNOWN)
        self.assertRefused(self.dst, ABORT, 'not known', DST)
        self.dst.guests.state = G.ABSENT
        self.src.journal.verdict(self.src.tx(), 'ABORT', 'runs here')
        self.assertEqual('done', self.release(self.dst, ABORT)['state'])

    def test_told_what_it_has_lost_while_libvirt_does_not_answer(self):
        for state in (G.UNKNOWN, G.IN_TRANSFER):
            self.break_off(src=G.UNKNOWN, dst=state)
            self.src.journal.verdict(self.src.tx(), 'ABORT', 'of yesterday')
            self.dst.settle()
            self.assertNotEqual('ABORT', self.dst.tx().verdict, state)
            self.assertEqual([], self.dst.cloud.changes())

    def test_told_commit_moves_nothing_while_the_record_names_the_source(self):
        self.break_off()
        self.dst.journal.verdict(self.dst.tx(), 'COMMIT', 'of yesterday')
        for state in (G.HERE, G.SHUT_OFF, G.ABSENT):
            self.src.guests.state = state
            outcome = self.src.settle()
            self.assertIn('node11 says COMMIT', str(outcome.held), state)
            self.assertEqual('HOLD', self.src.tx().verdict)
            self.assertEqual([], self.src.cloud.changes())

    def test_told_commit_of_a_deleted_instance_is_the_destinations_to_say(self):
        self.break_off()
        self.world.records.row = None
        self.src.guests.state = G.ABSENT
        self.assertRefused(self.src, COMMIT, DST, 'deleted')
        with self.away(DST):
            self.assertRefused(self.src, COMMIT, DST)
        self.dst.journal.verdict(self.dst.tx(), 'COMMIT', 'arrived')
        self.release(self.src, COMMIT)
        self.assertEqual('COMMIT', self.src.tx().verdict)

    def test_what_another_thread_has_settled_is_what_is_answered(self):
        self.break_off()
        looked = self.src.tx()
        self.src.journal.verdict(looked, 'COMMIT', 'seen there')
        self.src.journal.finish(looked)
        outcome = self.src.participant.settle(looked)
        self.assertEqual((COMMIT, True), (outcome.verdict, outcome.clean))

    def test_verdict_that_came_first_while_libvirt_was_asked(self):
        self.break_off()
        self.src.journal.verdict(self.src.tx(), 'ABORT', 'runs here')
        real = self.dst.guests.evidence

        def slow(instance_uuid):
            self.dst.journal.verdict(self.dst.tx(), 'COMMIT', 'arrived')
            return real(instance_uuid)
        self.dst.guests.evidence = slow
        answer = self.release(self.dst, ABORT)
        self.assertEqual('refused', answer['state'])
        self.assertIn('has journalled COMMIT', answer['reason'])
        self.assertEqual('COMMIT', self.dst.tx().verdict)
        self.assertEqual([], self.dst.cloud.changes())


class TestStranger(hosts.TwoHosts):
    """A host that has no journal of the migration."""

    def release(self, host, verdict, migration=fake.MIGRATION):
        return host.participant.release(migration, fake.INSTANCE, verdict)

    def row(self, **changes):
        self.world.records.row = dataclasses.replace(self.world.records.row, **changes)

    def assertUntouched(self, host, answer, *words):
        self.assertEqual('refused', answer['state'])
        for word in words:
            self.assertIn(word, answer['reason'])
        self.assertIsNone(host.tx())
        self.assertEqual([], host.cloud.changes())
        self.assertEqual({SRC: 2, DST: 2}, self.attachments())

    def test_what_stays_held_adds_no_line_each_time(self):
        """It is looked at, and asked for, in turns, for as long as a device is in use."""
        self.dst.guests.state = G.ABSENT
        self.dst.cloud.devices.holders[fake.volume(0)] = 'LV data'
        lines = []
        for _ in range(4):
            self.assertIn('LV data', str(self.release(self.dst, ABORT)))
            self.assertIn('LV data', str(self.dst.settle().held))
            lines.append([one.kind for one in self.dst.journal.records(self.dst.tx())].count(
                'verdict'))
        self.assertEqual([lines[0]] * 4, lines)

    def test_stopped_guest_of_this_host(self):
        """Whatever any host on the bus says: nothing was ever to take it from here."""
        self.src.guests.state = G.SHUT_OFF
        self.row(host=SRC, task_state=None, vm_state='stopped')
        for verdict in (ABORT, COMMIT):
            for migration in (str(uuid.uuid4()), fake.MIGRATION):
                self.assertUntouched(self.src, self.release(self.src, verdict, migration))
            self.assertEqual(2, len(self.src.devices.present))
        self.assertUntouched(self.src, self.release(self.src, COMMIT), 'by its record')

    def test_destination_that_has_it_by_the_record(self):
        self.dst.guests.state = G.SHUT_OFF
        self.row(host=DST, task_state=None)
        self.assertUntouched(self.dst, self.release(self.dst, ABORT), 'by its record')

    def test_destination_where_it_may_be(self):
        for state in set(G) - {G.ABSENT, G.SHUT_OFF, G.HANDED_OVER}:
            self.dst.guests.state = state
            self.assertUntouched(self.dst, self.release(self.dst, ABORT), 'may be on')

    def test_release_that_was_cut_off_ends_here_alone(self):
        self.dst.guests.state = G.ABSENT
        self.dst.journal.begin(fake.MIGRATION, 'destination', fake.INSTANCE, '', DST)
        self.row(task_state=None)
        outcome = self.dst.settle()
        self.assertTrue(outcome.clean, outcome)
        self.assertEqual(('settled', 'ABORT'), self.dst.verdict())
        self.assertEqual(set(), {call[0] for call in self.dst.cloud.changes()} - {'disconnect'})
        self.assertEqual((SRC, {SRC: 2, DST: 2}), (self.world.records.row.host,
                                                  self.attachments()))

    def test_source_that_had_no_migsafe_then(self):
        self.src.guests.state, self.dst.guests.state = G.ABSENT, G.HERE
        self.begin_destination()
        with self.away(SRC):
            self.assertFalse(self.dst.settle().clean)
        self.assertEqual(DST, self.world.records.row.host)
        outcome = self.dst.settle()
        self.assertTrue(outcome.clean, outcome)
        self.assertEqual(('settled', 'COMMIT'), self.src.verdict())
        self.assertEqual({SRC: 0, DST: 2}, self.attachments())
        self.assertEqual(0, len(self.src.devices.present))

    def test_source_without_a_journal_before_the_record_has_moved(self):
        self.src.guests.state = G.ABSENT
        self.row(host=THIRD)
        self.assertUntouched(self.src, self.release(self.src, COMMIT), THIRD)
