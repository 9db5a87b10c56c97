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

import itertools
import unittest

from migsafe.transaction import verdict
from migsafe.transaction.evidence import Evidence, GuestState, HostEvidence

G = GuestState


def _product():
    for src, dst, sjob, djob in itertools.product(
            G, G, (False, True), (False, True)):
        yield Evidence(HostEvidence('src', src, sjob),
                          HostEvidence('dst', dst, djob))


class TestDecide(unittest.TestCase):
    def test_whole_product_never_tears_down_a_side_that_may_run(self):
        seen = set()
        for e in _product():
            decision = verdict.decide(e)
            seen.add(decision.verdict)
            if decision.verdict is verdict.Verdict.HOLD:
                self.assertFalse(decision.teardown, e)
                continue
            loser = (e.source if decision.verdict is verdict.Verdict.COMMIT
                     else e.destination)
            if loser.guest.may_run:
                self.assertFalse(decision.teardown, e)
            self.assertIsNot(G.HERE, loser.guest, e)
            self.assertIsNot(G.POSTCOPY, loser.guest, e)
        self.assertEqual(set(verdict.Verdict), seen)

    def test_active_job_is_always_hold(self):
        for e in _product():
            if e.source.job or e.destination.job:
                self.assertIs(verdict.Verdict.HOLD, verdict.decide(e).verdict)

    def test_two_running_copies_name_both_hosts(self):
        decision = verdict.decide(Evidence(
            HostEvidence('node13', G.HERE),
            HostEvidence('node11', G.HERE)))
        self.assertIs(verdict.Verdict.HOLD, decision.verdict)
        self.assertIn('node13', decision.reason)
        self.assertIn('node11', decision.reason)

    def test_no_commit_unless_seen_there_or_handed_over(self):
        for e in _product():
            if verdict.decide(e).verdict is verdict.Verdict.COMMIT:
                self.assertTrue(
                    e.destination.guest is G.HERE
                    or e.source.guest is G.HANDED_OVER
                    # libvirt took it from the source, and defined it there
                    or (e.source.guest, e.destination.guest) == (
                        G.ABSENT, G.SHUT_OFF), e)

    def test_a_shut_off_domain_on_the_source_is_no_hand_over(self):
        for e in _product():
            if e.source.guest is G.SHUT_OFF \
                    and e.destination.guest is not G.HERE:
                self.assertIsNot(verdict.Verdict.COMMIT,
                                 verdict.decide(e).verdict, e)

    def test_a_shut_off_domain_on_the_destination_is_never_torn_down(self):
        """It may be the only copy, unless the guest runs on the source."""
        for e in _product():
            decision = verdict.decide(e)
            if e.destination.guest is G.SHUT_OFF \
                    and decision.verdict is verdict.Verdict.ABORT:
                self.assertIs(G.HERE, e.source.guest, e)

    def test_every_row_of_the_table_is_reached(self):
        for (src, dst), (expected, teardown, _why) in verdict.TABLE.items():
            decision = verdict.decide(Evidence(
                HostEvidence('src', src), HostEvidence('dst', dst)))
            self.assertEqual((expected, teardown),
                             (decision.verdict, decision.teardown))

    def test_incoming_paused_copy_is_not_a_running_guest(self):
        decision = verdict.decide(Evidence(
            HostEvidence('src', G.ABSENT),
            HostEvidence('dst', G.IN_TRANSFER)))
        self.assertIs(verdict.Verdict.HOLD, decision.verdict)
