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

from migsafe.tests.unit.nova import hosts
from migsafe.tests.unit.resources import cloud as fake
from migsafe.transaction.evidence import GuestState
from migsafe.transaction.verdict import Verdict

SRC, DST, G = fake.SRC, fake.DST, GuestState
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
        self.assertRefused(self.dst, ABORT, SRC, 'coming in')
        with self.away(SRC):
            self.assertRefused(self.dst, ABORT, SRC)
        self.src.journal.verdict(self.src.tx(), 'ABORT', 'runs here')
        self.release(self.dst, ABORT)
        self.assertEqual('ABORT', self.dst.tx().verdict)

    def test_of_the_host_that_the_record_names(self):
        self.break_off(src=G.ABSENT)
        for state in (G.ABSENT, G.SHUT_OFF):
            self.src.guests.state = self.dst.guests.state = state
            self.row_on(SRC)
            self.assertRefused(self.src, COMMIT, 'by its record')
            self.row_on(DST)
            self.assertRefused(self.dst, ABORT, 'by its record')

    def test_told_commit_moves_nothing_while_the_record_names_the_source(self):
        self.break_off()
        self.dst.journal.verdict(self.dst.tx(), 'COMMIT', 'of yesterday')
        for state in (G.HERE, G.SHUT_OFF, G.ABSENT):
            self.src.guests.state = state
            outcome = self.src.settle()
            self.assertIn('node11 says COMMIT', str(outcome.held), state)
            self.assertEqual('HOLD', self.src.tx().verdict)
            self.assertEqual([], self.src.cloud.changes())

    def test_what_another_thread_has_settled_is_what_is_answered(self):
        self.break_off()
        looked = self.src.tx()
        self.src.journal.verdict(looked, 'COMMIT', 'seen there')
        self.src.journal.finish(looked)
        outcome = self.src.participant.settle(looked)
        self.assertEqual((COMMIT, True), (outcome.verdict, outcome.clean))

    def test_verdict_that_came_first_while_libvirt_was_asked(self):
        self.break_off()
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
