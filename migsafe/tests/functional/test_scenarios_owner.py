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
"""What an owner and an operator do with a guest whose migration is not settled."""

from __future__ import annotations

from migsafe.tests.functional import scenarios
from migsafe.tests.functional.scenarios import DESTINATION, JOB_FAILS, SOURCE

#: operation -> (what the API is asked for, what the guest must be before, its name in a refusal)
OPERATIONS = {
    'resize': ({'resize': {'flavorRef': '2'}}, None, 'resize refused'),
    'cold migration': ({'migrate': None}, None, 'resize refused'),
    'rebuild': ({'rebuild': {'imageRef': '155d900f-4e14-4e4c-a73d-069cbf4541e6'}}, None,
                'rebuild refused'),
    'shelve': ({'shelve': None}, None, 'shelve offload refused'),
    'resume': ({'resume': None}, {'suspend': None}, 'resume refused'),
}


class TestHeld(scenarios.ScenarioTest):
    """The guest runs on the source, and something holds a device on the destination."""

    def held(self):
        server = self.guest()
        held = self.lab.parts.kernels[DESTINATION].held
        held[server.volumes[1]] = 'vg1-data'
        self.addCleanup(held.clear)
        self.migrate(server, JOB_FAILS)
        self.recover()
        self.assertUnharmed(server, SOURCE)
        self.assertEqual('ACTIVE', self.lab.show(server)['status'])
        self.assertEqual([1], self.devices(server, DESTINATION))
        return server

    def test_evacuation(self):
        """To the host on which something is held; its own is down by then."""
        server = self.held()
        self.power_off(SOURCE)
        self.force_down(True)
        self.addCleanup(self.force_down, False)
        left = sorted(map(str, self.residue(server)))
        self.assertIsNone(self.ask(server, {'evacuate': {}}))
        said = self.fault_messages(server)
        for word in ('evacuation refused', 'is not settled', 'migsafe settle'):
            self.assertIn(word, said)
        self.assertEqual(left, sorted(map(str, self.residue(server))))
        self.assertEqual('ACTIVE', self.lab.show(server)['status'])

    def force_down(self, down):
        service = self.lab.stack.computes[SOURCE].service_ref.uuid
        self.lab.stack.admin_api.put_service_force_down(service, down)

    def ask(self, server, body):
        from migsafe.replay.lab import steps
        refused = steps.api_action(self.lab.stack, server.uuid, body)
        self.lab.wait()
        return refused

    def test_refused_and_as_usable_as_before(self):
        for name, (body, before, refusal) in OPERATIONS.items():
            with self.subTest(name):
                self.lab.clean()
                self._forget()
                server = self.held()
                if before:
                    self.assertIsNone(self.ask(server, before))
                shown = self.lab.show(server)
                left = sorted(map(str, self.residue(server)))
                own = self.luns(server)
                self.assertIsNone(self.ask(server, body))
                said = self.fault_messages(server)
                for word in (refusal, 'is not settled', DESTINATION, 'migsafe settle'):
                    self.assertIn(word, said)
                now = self.lab.show(server)
                for key in ('status', 'OS-EXT-STS:task_state', 'OS-EXT-SRV-ATTR:host'):
                    self.assertEqual(shown[key], now[key], key)
                self.assertEqual(own, self.luns(server))
                self.assertEqual(left, sorted(map(str, self.residue(server))))
                self.assertEqual([], self.lab.world.harms)
                # and when that is gone, it is done
                self.lab.parts.kernels[DESTINATION].held.clear()
                self.recover()
                self.assertEqual([], [str(r) for r in self.residue(server)])
                self.assertIsNone(self.ask(server, body))
                self.assertNotEqual(shown['status'], self.lab.show(server)['status'])
                self.assertEqual([], self.lab.world.harms)
