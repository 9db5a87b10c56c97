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
"""A destination that is stuck while its source gives up, and goes on after that."""

from __future__ import annotations

from unittest import mock

from migsafe.nova.host import lease
from migsafe.nova.seams import volume_rows
from migsafe.replay.lab import case, faults, observe
from migsafe.tests.functional import scenarios
from migsafe.tests.functional.scenarios import DESTINATION, SOURCE


class TestStuck(scenarios.ScenarioTest):

    def stuck(self, name):
        """The source has rolled back and freed the instance; the destination hangs."""
        server = self.guest()
        own = self.luns(server)
        fault = faults.Fault('cinder', name, 'hang', DESTINATION)
        plan = self.lab.arm_faults(case.Case('stuck', (fault,)), 'migrate')
        self.lab.migrate(server)
        bus = self.lab.parts.bus
        self.assertIn('guest_evidence', [m.message['method'] for m in bus.undelivered])
        # what was not answered is lost here; the replay delivers it later
        bus.undelivered.clear()
        self.assertTrue(plan.hang.stuck)
        self.assertEqual(own, self.luns(server))
        self.assertIsNone(self.lab.show(server)['OS-EXT-STS:task_state'])
        # it is not settled while that host may still write
        tx, = self.transactions(SOURCE)
        self.assertEqual(('ABORT', 'open'), (tx.verdict, tx.state))
        return server, own, plan

    def goes_on(self, plan):
        plan.hang.end()
        self.lab.world.rule = None

    def rows(self, server):
        """What the rows name, by volume."""
        held = observe.records(self.lab.stack, server.uuid)
        return {bdm.volume_id: bdm.attachment_id for bdm in held.bdms}

    def ends(self, server):
        self.recover()
        self.assertClean(server, SOURCE)
        self.assertTrue(self.do(server, 'hard_reboot').done)
        self.assertClean(server, SOURCE)

    def test_asks_when_it_is_late(self):
        for name in ('attachments.create', 'attachments.complete'):
            with self.subTest(name):
                self.lab.clean()
                self.lab.forget()
                server, own, plan = self.stuck(name)
                self.lab.pass_time(40)
                self.goes_on(plan)
                self.assertIn('stops here', self.lab.log())
                self.assertEqual(own, self.luns(server))
                self.ends(server)

    def test_decided_between_the_question_and_the_write(self):
        """The row is written once, and put back by who wrote it, before anybody recovers."""
        server, own, plan = self.stuck('attachments.create')
        self.lab.pass_time(40)
        rows, lost = self.rows(server), lease.Lease.lost

        def too_early(of):
            return '' if self.rows(server) == rows else lost(of)
        with mock.patch.object(lease.Lease, 'lost', too_early), \
                mock.patch.object(volume_rows, '_put_back', wraps=volume_rows._put_back) as put:
            self.goes_on(plan)
        self.assertEqual(1, put.call_count)
        self.assertEqual(rows, self.rows(server))
        self.assertEqual(own, self.luns(server))
        self.ends(server)

    def without_a_clock(self):
        """A host whose clocks stood still as well knows nothing of it."""
        return mock.patch.object(lease.Lease, 'overdue', return_value=False)

    def test_does_not_know_that_it_is_late(self):
        server, own, plan = self.stuck('attachments.create')
        with self.without_a_clock() as asked:
            self.goes_on(plan)
        self.assertTrue(asked.called)
        self.assertNotEqual(own, self.luns(server))
        self.ends(server)

    def test_next_operation_puts_it_right(self):
        """Not one pass of recovery."""
        server, own, plan = self.stuck('attachments.create')
        with self.without_a_clock():
            self.goes_on(plan)
        self.assertNotEqual(own, self.luns(server))
        step = self.do(server, 'hard_reboot')
        self.assertEqual((), step.harms)
        self.assertEqual(own, self.luns(server))
        self.ends(server)

    def test_without_the_plugin_at_that_time(self):
        with mock.patch('migsafe.nova.seams.service._arm', return_value=None):
            self.assertTrue(self.lab.restart(DESTINATION))
        self.addCleanup(self.lab.restart, DESTINATION)
        self.assertIsNone(self.participant(DESTINATION))
        server, own, plan = self.stuck('attachments.create')
        self.goes_on(plan)
        self.assertNotEqual(own, self.luns(server))
        self.assertTrue(self.lab.restart(DESTINATION))
        self.recover()
        self.assertUnharmed(server, SOURCE)
        self.assertEqual(own, self.luns(server))
        # no journal says whose the directory is
        self.assertEqual(set(), self.kinds(server) - {'R11'})
        self.assertEqual([], self.transactions(SOURCE))
        self.assertTrue(self.do(server, 'hard_reboot').done)
        self.assertUnharmed(server, SOURCE)
