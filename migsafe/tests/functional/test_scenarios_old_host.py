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
"""The host that was evacuated comes back, and its record in Nova still names it.

Nova's own start leaves alone what an evacuation has taken from it, as long as that is recorded as
under way or done. One that failed after the guest was started is neither, and whatever is asked
for then is sent to the old host.
"""

from __future__ import annotations

from nova.compute import vm_states
from nova.conf import CONF

from migsafe.replay.lab import faults, steps
from migsafe.tests.functional import scenarios
from migsafe.tests.functional.scenarios import DESTINATION, SOURCE, THIRD

#: The new host dies, or Nova's database does not answer, when the guest was started there.
DIES = scenarios.kill(DESTINATION, 'libvirt', 'createWithFlags')
FAILS = faults.Fault('db', 'instance.save', 'db-error', DESTINATION, nth=5)


class TestOldHost(scenarios.ScenarioTest):

    third = True

    def setUp(self):
        super().setUp()
        CONF.set_override('resume_guests_state_on_host_boot', True)
        self.addCleanup(CONF.clear_override, 'resume_guests_state_on_host_boot')

    def evacuate(self, server, host):
        self.assertIsNone(steps.api_action(
            self.lab.stack, server.uuid, {'evacuate': {'host': host}}))
        self.lab.wait()

    def cut_short(self, fault):
        """A guest that runs on the new host, with a record that names the old one."""
        server = self.guest()
        self.power_off(SOURCE)
        self.force_down(SOURCE)
        plan = self.lab.arm_faults(scenarios.case.Case('old host', (fault,)), 'migrate')
        self.evacuate(server, DESTINATION)
        self.lab.world.rule = None
        self.assertEqual([fault], [one.fault for one in plan.fired])
        self.assertEqual([DESTINATION], self.lab.observer(server).running_on())
        self.assertEqual(SOURCE, self.lab.show(server)['OS-EXT-SRV-ATTR:host'])
        return server

    def reset(self, server):
        """What operators do to an instance that is in ERROR, or stuck in a task."""
        self.assertIsNone(steps.api_action(
            self.lab.stack, server.uuid, {'os-resetState': {'state': vm_states.ACTIVE}}))
        self.lab.world.harms.clear()

    def back(self, server):
        """Both hosts live."""
        self.assertTrue(self.lab.restart(SOURCE))
        if DESTINATION in self.lab.dead():
            self.assertTrue(self.lab.restart(DESTINATION))
        self.force_up(SOURCE)
        self.recover()
        self.reset(server)

    def test_what_is_asked_for_afterwards_starts_no_second_copy(self):
        for fault in (DIES, FAILS):
            with self.subTest(fault):
                self.lab.clean()
                server = self.cut_short(fault)
                self.back(server)
                for operation in ('hard_reboot', 'stop_start'):
                    self.assertEqual((), self.do(server, operation).harms)
                    self.assertEqual([DESTINATION], self.lab.observer(server).running_on())
                self.assertIn('reboot refused: ', self.fault_messages(server))

    def test_host_that_boots_starts_none(self):
        server = self.cut_short(FAILS)
        self.reset(server)
        self.assertTrue(self.lab.restart(SOURCE, reboot=True))
        self.assertUnharmed(server, DESTINATION)

    def test_another_evacuation_asks_where_the_last_one_has_left_it(self):
        server = self.cut_short(FAILS)
        self.reset(server)
        self.evacuate(server, THIRD)
        self.assertUnharmed(server, DESTINATION)
        said = self.fault_messages(server)
        for word in ('evacuation refused: evacuation ', 'may run on node11', 'virsh'):
            self.assertIn(word, said)
        self.power_off(DESTINATION)
        self.force_down(DESTINATION)
        self.evacuate(server, THIRD)
        self.assertEqual(THIRD, self.lab.show(server)['OS-EXT-SRV-ATTR:host'])
