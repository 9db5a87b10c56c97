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
"""Attachments that no row names, which Nova deletes before each reboot."""

from __future__ import annotations

from migsafe.replay.lab import brick
from migsafe.tests.functional import scenarios
from migsafe.tests.functional.scenarios import DESTINATION, JOB_FAILS, SOURCE
from migsafe.tests.functional.test_scenarios_outlived import EvacuationTest


class TestReboot(EvacuationTest):

    third = False

    def stray(self, server, host, complete=False):
        """What a host made that a source without migsafe did not wait for."""
        parts = self.lab.parts
        connector = brick.connector_properties(
            host, parts.incident.connector, parts.hosts.index(host)) if host else None
        made = []
        for volume in server.volumes:
            made.append(parts.cinder.create(volume, connector, server.uuid).id)
            if complete:
                parts.cinder.complete(made[-1])
        return made

    def left(self, made):
        return [one for one in made if one in self.lab.parts.cinder.attachments]

    def reboot(self, server):
        self.assertTrue(self.do(server, 'hard_reboot').done)
        self.assertUnharmed(server, SOURCE)

    def test_of_a_destination(self):
        server = self.guest()
        self.migrate(server, JOB_FAILS)
        self.assertClean(server, SOURCE)
        made = self.stray(server, DESTINATION)
        self.reboot(server)
        self.assertEqual(made, self.left(made))
        self.assertEqual([0, 1], self.exports(server, DESTINATION))
        for word in (made[0], f'a live migration may have made it for {DESTINATION}'):
            self.assertIn(word, self.lab.log())
        # as the message says
        self.power_off(DESTINATION)
        self.force_down(DESTINATION)
        self.reboot(server)
        self.assertEqual([], self.exports(server, DESTINATION))
        self.assertClean(server, SOURCE)

    def test_of_a_host_that_has_completed_it(self):
        """Cinder tells whose it is, whatever Nova has of migrations."""
        server = self.guest()
        made = self.stray(server, DESTINATION, complete=True)
        self.reboot(server)
        self.assertEqual(made, self.left(made))
        self.assertIn(f'it is of {DESTINATION}', self.lab.log())

    def test_of_an_attach_that_came_to_nothing(self):
        """For these Nova looks: nobody else can have made them."""
        server = self.guest()
        for made in (self.stray(server, SOURCE), self.stray(server, None)):
            self.reboot(server)
            self.assertEqual([], self.left(made))
        # one that was only reserved was never exported to anybody
        self.migrate(server, scenarios.JOB_FAILS)
        made = self.stray(server, None)
        self.reboot(server)
        self.assertEqual([], self.left(made))
        self.assertClean(server, SOURCE)
