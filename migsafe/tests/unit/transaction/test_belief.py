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
"""What is believed: own libvirt before Nova's records, records before the other host's word."""

import dataclasses
import itertools
import unittest

from migsafe.tests.unit.resources import cloud as fake
from migsafe.transaction import belief
from migsafe.transaction.clients import InstanceRow, OtherMove
from migsafe.transaction.evidence import NO_QEMU, Evidence, GuestState, HostEvidence
from migsafe.transaction.verdict import Decision, Verdict, decide

SRC, DST, THIRD, G = fake.SRC, fake.DST, fake.THIRD, GuestState
COMMIT, ABORT, HOLD = Verdict.COMMIT, Verdict.ABORT, Verdict.HOLD
TX = fake.transaction(fake.Cloud())


def evidence(source, destination, job=False):
    return Evidence(HostEvidence(SRC, source, job), HostEvidence(DST, destination))


def row(host):
    return InstanceRow(fake.INSTANCE, host, host, None, 'active')


def later(source, dest, status='completed', over=True, kind='live-migration'):
    return OtherMove(kind, 'the-next', status, source, dest, over)


class TestTold(unittest.TestCase):
    def test_every_row(self):
        for verdict, guest, host in itertools.product((COMMIT, ABORT), G, (SRC, DST, THIRD)):
            with self.subTest(verdict=verdict, guest=guest, host=host):
                seen = (evidence(guest, G.UNKNOWN) if verdict is COMMIT
                        else evidence(G.UNKNOWN, guest))
                names = host == (DST if verdict is COMMIT else SRC)
                own = TX.host == (SRC if verdict is COMMIT else DST) or (
                    verdict is ABORT and guest is G.IN_TRANSFER)
                expected = (
                    belief.Word.CONTRADICTED if guest in (G.HERE, G.POSTCOPY) else
                    belief.Word.NOT_ENOUGH if own and guest in (G.UNKNOWN, G.IN_TRANSFER) else
                    belief.Word.BELIEVED if names or guest is G.HANDED_OVER else
                    belief.Word.NOT_ENOUGH)
                self.assertIs(expected, belief.told(verdict, TX, seen, row(host)))

    def test_nobody_is_believed_while_libvirt_moves_it(self):
        for job, expected in ((False, belief.Word.BELIEVED), (True, belief.Word.NOT_ENOUGH)):
            self.assertIs(expected, belief.told(
                ABORT, TX, evidence(G.HERE, G.ABSENT, job), row(SRC)))
        on_its_way = evidence(G.HERE, G.IN_TRANSFER, job=True)
        self.assertIs(HOLD, belief.weighed(
            TX, on_its_way, [], (ABORT.value, DST), row(SRC)).verdict)

    def test_deleted_instance_belongs_to_nobody(self):
        self.assertIs(belief.Word.BELIEVED, belief.told(
            COMMIT, TX, evidence(G.ABSENT, G.UNKNOWN), None))

    def test_a_word_beside_what_is_seen(self):
        for word, said, seen, expected in (
                (belief.Word.CONTRADICTED, COMMIT, ABORT, HOLD),
                (belief.Word.CONTRADICTED, COMMIT, COMMIT, HOLD),
                (belief.Word.NOT_ENOUGH, COMMIT, COMMIT, COMMIT),
                (belief.Word.NOT_ENOUGH, COMMIT, HOLD, HOLD),
                (belief.Word.NOT_ENOUGH, COMMIT, ABORT, HOLD),
                (belief.Word.NOT_ENOUGH, ABORT, COMMIT, HOLD)):
            found = belief.weigh(Decision(seen, True, 'as seen'), said, DST, word)
            self.assertIs(expected, found.verdict)
            if expected is not seen:
                for part in (DST, said.value, 'as seen'):
                    self.assertIn(part, found.reason)


class TestRecorded(unittest.TestCase):
    def judge(self, seen, *others):
        return belief.judge(TX, seen, others).verdict

    def test_nothing_later_is_evidence_alone(self):
        for source, destination in itertools.product(G, G):
            seen = evidence(source, destination)
            self.assertEqual(decide(seen), belief.judge(TX, seen, ()))

    def test_gone_on_from_the_destination_had_arrived(self):
        nowhere = evidence(G.ABSENT, G.ABSENT)
        self.assertIs(ABORT, self.judge(nowhere))
        for status in ('completed', 'error', 'running'):
            self.assertIs(COMMIT, self.judge(nowhere, later(DST, THIRD, status)))
        self.assertIs(COMMIT, self.judge(
            evidence(G.ABSENT, G.UNKNOWN), later(DST, THIRD)))

    def test_not_against_a_guest_that_may_be_here(self):
        for state in G:
            if not state.may_run:
                continue
            found = self.judge(evidence(state, G.ABSENT), later(DST, THIRD))
            self.assertIs(HOLD, found, state)

    def test_gone_on_from_the_source_is_no_proof_against_a_guest_that_is_seen(self):
        self.assertIs(COMMIT, self.judge(evidence(G.ABSENT, G.HERE), later(SRC, THIRD)))
        self.assertIs(HOLD, self.judge(evidence(G.HANDED_OVER, G.ABSENT), later(SRC, THIRD)))
        self.assertIs(ABORT, self.judge(evidence(G.ABSENT, G.ABSENT), later(SRC, THIRD)))

    def test_job_comes_first(self):
        self.assertIs(HOLD, self.judge(evidence(G.HERE, G.ABSENT, True), later(DST, THIRD)))

    def test_from_elsewhere_says_nothing(self):
        seen = evidence(G.ABSENT, G.HERE)
        self.assertEqual(decide(seen), belief.judge(TX, seen, (later(THIRD, DST),)))


class TestHeardTwice(unittest.TestCase):
    """That no guest runs on the other host, or one that is shut off here, is its word alone."""

    def test_every_row(self):
        for host, source, destination in itertools.product((SRC, DST), G, G):
            seen = evidence(source, destination)
            here, there = (source, destination) if host == SRC else (destination, source)
            tx = dataclasses.replace(TX, host=host, reason='')
            first = belief.weighed(tx, seen, (), None, row(SRC))
            told = belief.judge(tx, seen, ())
            alone = told.verdict is not HOLD and (
                there in NO_QEMU and here not in (G.HERE, G.HANDED_OVER)
                or (here, there) == (G.SHUT_OFF, G.HERE))
            self.assertIs(HOLD if alone else told.verdict, first.verdict, (host, seen))
            again = belief.weighed(
                dataclasses.replace(tx, reason=first.reason), seen, (), None, row(SRC))
            self.assertEqual(told, again)

    def test_nobody_is_asked_where_no_destination_was_chosen(self):
        tx = dataclasses.replace(TX, dest_host='', reason='')
        for guest in (G.ABSENT, G.SHUT_OFF):
            seen = Evidence(HostEvidence(SRC, guest), HostEvidence('', G.ABSENT))
            self.assertEqual(decide(seen), belief.weighed(tx, seen, (), None, row(SRC)))

    def test_not_after_something_else_was_heard(self):
        nowhere = evidence(G.ABSENT, G.ABSENT)
        first = belief.weighed(TX, nowhere, (), None, row(SRC))
        busy = belief.weighed(dataclasses.replace(TX, reason=first.reason),
                              evidence(G.ABSENT, G.ABSENT, True), (), None, row(SRC))
        self.assertIs(HOLD, belief.weighed(
            dataclasses.replace(TX, reason=busy.reason), nowhere, (), None, row(SRC)).verdict)


class TestBorneOut(unittest.TestCase):
    def test_every_row(self):
        for source, destination in itertools.product(G, G):
            seen = evidence(source, destination)
            self.assertEqual(source is G.HERE and not destination.may_run,
                             bool(belief.borne_out(SRC, seen)))
            self.assertEqual(destination is G.HERE and not source.may_run,
                             bool(belief.borne_out(DST, seen)))

    def test_not_while_a_job_is_active_and_not_of_a_third_host(self):
        self.assertIsNone(belief.borne_out(SRC, evidence(G.HERE, G.ABSENT, True)))
        self.assertIsNone(belief.borne_out(THIRD, evidence(G.HERE, G.ABSENT)))
        self.assertIsNone(belief.borne_out(THIRD, evidence(G.ABSENT, G.HERE)))
