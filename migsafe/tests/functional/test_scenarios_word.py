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
"""The other host says what is not so: its journal is of yesterday, or it lies."""

from __future__ import annotations

from migsafe.nova.bus import peer
from migsafe.replay.lab import case
from migsafe.tests.functional import scenarios
from migsafe.tests.functional.scenarios import DESTINATION, JOB_FAILS, SOURCE, THIRD


class Answers:
    """A fault plan: a host answers a question otherwise than it should.

    :param question: which one
    :param other: what is another in its answers
    :param times: how often
    """

    def __init__(self, question, other, times, then=None):
        self._question, self._other, self._left, self._then = question, other, times, then
        self.said = 0

    def around(self, effect, call, later):
        answer = self._then.around(effect, call, later) if self._then else call()
        if effect.name == self._question and self._left:
            self._left -= 1
            self.said += 1
            return {**answer, **self._other}
        return answer


class Says(Answers):
    """It says that it has another verdict."""

    def __init__(self, verdict, times, then=None):
        super().__init__('migsafe.describe', {'known': True, 'live': False, 'verdict': verdict},
                         times, then)


class InTheMiddle(Says):
    """In the middle of the transfer its destination is asked to let go of the guest.

    :param times: how often the source says meanwhile that it has decided so
    """

    def __init__(self, test, server, times):
        super().__init__('ABORT', times)
        self._test, self._server, self.answer = test, server, None

    def around(self, effect, call, later):
        if self.answer is not None:
            return call()
        if effect.name == 'jobStats':
            self.answer = self._test.asks_to_release(self._server)
        return super().around(effect, call, later)


class TestNewerPeer(scenarios.ScenarioTest):
    """An answer that is not understood is none: neither yes, nor "still at work"."""

    def test_evidence(self):
        for other in ({'guest': 'in a state of a later version'}, {'job': 'maybe'}):
            with self.subTest(other):
                self.lab.clean()
                self.lab.forget()
                server = self.guest()
                own = self.luns(server)
                plan = self.lab.arm_faults(case.Case('newer', (JOB_FAILS,)), 'migrate')
                newer = self.lab.world.rule = Answers('migsafe.guest_evidence', other, 1000, plan)
                self.lab.migrate(server)
                for connection in self.lab.parts.connections.values():
                    connection.next_verdict = 'complete'
                self.lab.recover()
                self.assertGreater(newer.said, 1)
                self.assertIn('not understood', self.lab.log())
                # what can be put right is: the guest is seen here
                self.assertEqual(own, self.luns(server))
                self.assertUnharmed(server, SOURCE)
                self.assertIsNone(self.lab.show(server)['OS-EXT-STS:task_state'])
                # and nothing is taken away there
                self.assertEqual([0, 1], self.exports(server, DESTINATION))
                tx, = self.transactions(SOURCE)
                self.assertEqual('ABORT', tx.verdict)
                self.lab.world.rule = None
                self.recover()
                self.assertClean(server, SOURCE)
                self.assertTrue(self.do(server, 'hard_reboot').done)


class TestFalseWord(scenarios.ScenarioTest):

    third = True

    def journalled(self, host):
        return {tx.verdict for tx in self.participant(host).journal.list(newest=True, limit=1)}

    def test_destination_says_commit_of_a_guest_that_runs_on_the_source(self):
        server = self.guest()
        own = self.luns(server)
        plan = self.lab.arm_faults(case.Case('lie', (JOB_FAILS,)), 'migrate')
        lies = self.lab.world.rule = Says('COMMIT', 2, plan)
        self.lab.migrate(server)
        for connection in self.lab.parts.connections.values():
            connection.next_verdict = 'complete'
        self.lab.recover()
        self.assertEqual(2, lies.said)
        self.lab.world.rule = None
        self.assertNotIn('COMMIT', self.journalled(SOURCE))
        self.assertUnharmed(server, SOURCE)
        self.assertIn('node11 says COMMIT', self.lab.log())
        # the honest peer afterwards
        self.recover()
        self.assertEqual(own, self.luns(server))
        self.assertClean(server, SOURCE)
        self.assertTrue(self.do(server, 'hard_reboot').done)

    def shut_off(self):
        """The guest is shut off on the source, whose nova-compute died in the transfer."""
        server = self.guest()
        self.migrate(server, scenarios.kill(SOURCE, 'libvirt', 'jobStats'), JOB_FAILS)
        self.lab.parts.connections[SOURCE].power_cycle()
        return server

    def test_destination_says_commit_of_a_guest_that_is_shut_off_on_the_source(self):
        server = self.shut_off()
        lies = self.lab.world.rule = Says('COMMIT', 2)
        self.assertTrue(self.lab.restart(SOURCE))
        for _ in range(2):
            self.lab.recover()
        self.assertEqual(2, lies.said)
        self.lab.world.rule = None
        self.assertNotIn('COMMIT', self.journalled(SOURCE))
        self.assertEqual([], self.lab.world.harms)
        self.assertEqual([0, 1], self.exports(server, SOURCE))
        self.assertTrue(self.directory(server, SOURCE))
        self.assertEqual(SOURCE, self.lab.show(server)['OS-EXT-SRV-ATTR:host'])
        self.recover()
        self.assertTrue(self.do(server, 'hard_reboot').done)
        self.assertClean(server, SOURCE)

    def test_source_says_abort_of_a_guest_that_runs_on_the_destination(self):
        server = self.guest()
        self.migrate(server, scenarios.SOURCE_DIES)
        lies = self.lab.world.rule = Says('ABORT', 2)
        self.assertTrue(self.lab.restart(SOURCE))
        with self.lab.world.entered(self.lab.parts.processes[DESTINATION]):
            for _ in range(2):
                self.participant(DESTINATION).recovery.once()
        self.assertGreater(lies.said, 0)
        self.lab.world.rule = None
        self.assertNotIn('ABORT', self.journalled(DESTINATION))
        self.assertUnharmed(server, DESTINATION)
        self.recover()
        self.assertClean(server, DESTINATION)

    def test_release_in_the_middle_of_the_transfer(self):
        """By a third host, and as if the source had decided so: what comes in is sent there."""
        for confirmed in (False, True):
            with self.subTest(confirmed):
                self.lab.clean()
                self.lab.forget()
                server = self.guest()
                asked = self.lab.world.rule = InTheMiddle(self, server, 1000 * confirmed)
                self.lab.migrate(server)
                self.lab.world.rule = None
                self.assertEqual('refused', asked.answer['state'])
                self.assertIn('is coming in to', asked.answer['reason'])
                self.assertNotIn('ABORT', self.journalled(DESTINATION))
                self.recover()
                self.assertClean(server, DESTINATION)
                self.assertTrue(self.do(server, 'hard_reboot').done)

    def asks_to_release(self, server):
        tx, = self.participant(DESTINATION).journal.unsettled()
        with self.lab.world.entered(self.lab.parts.processes[THIRD]):
            return peer.Peer(5).release(DESTINATION, tx.uuid, server.uuid, 'ABORT')


class TestWithdrawal(scenarios.ScenarioTest):

    def test_of_a_verdict_that_was_wrong(self):
        server = self.guest()
        own = self.luns(server)
        self.migrate(server, scenarios.kill(SOURCE, 'journal', 'the verdict', when='before'),
                     JOB_FAILS)
        self.assertTrue(self.lab.restart(SOURCE))
        journal = self.participant(SOURCE).journal
        tx, = journal.unsettled()
        # as a version before this one made it of the other host's word
        journal.verdict(tx, 'COMMIT', 'decided by node11')
        self.recover()
        tx, = self.transactions(SOURCE)
        self.assertEqual('COMMIT', tx.verdict)
        self.assertUnharmed(server, SOURCE)
        journal.request(tx, 'withdraw', {'host': DESTINATION, 'user': 'operator'})
        self.recover()
        tx, = self.transactions(SOURCE)
        self.assertEqual('COMMIT', tx.verdict)
        self.assertIn('not withdrawn', tx.reason)
        journal.request(tx, 'withdraw', {'host': SOURCE, 'user': 'operator'})
        self.recover()
        self.assertEqual(own, self.luns(server))
        self.assertClean(server, SOURCE)
        self.assertTrue(self.do(server, 'hard_reboot').done)

    def test_of_a_wrong_word_that_a_host_is_dead(self):
        server = self.guest()
        self.migrate(server, scenarios.SOURCE_DIES)
        self.lab.stack.silence_host(DESTINATION)
        self.assertTrue(self.lab.restart(SOURCE))
        self.force_down(DESTINATION)
        journal = self.participant(SOURCE).journal
        tx, = journal.unsettled()
        for what in ('peer_is_dead', 'withdraw'):
            journal.request(tx, what, {'host': DESTINATION, 'user': 'operator'})
        self.recover()
        tx, = self.transactions(SOURCE)
        self.assertEqual('HOLD', tx.verdict)
        self.assertUnharmed(server, DESTINATION)
        self.assertEqual([0, 1], self.exports(server, DESTINATION))
        self.assertTrue(self.lab.restart(DESTINATION))
        self.recover()
        self.assertClean(server, DESTINATION)
