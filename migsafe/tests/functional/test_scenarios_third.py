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
"""The guest goes on to a third host while an older transaction of it is still open."""

from __future__ import annotations

from migsafe.tests.functional import scenarios
from migsafe.tests.functional.scenarios import DESTINATION, JOB_FAILS, SOURCE, THIRD


class TestNextMigration(scenarios.ThirdHostTest):
    """The first migration's source comes back while the next one is under way, or after it."""

    #: (who, kind, name) of the effect of the second migration before which it is back
    MOMENTS = (
        (THIRD, 'cinder', 'attachments.create'),
        (THIRD, 'brick', 'connect_volume'),
        (THIRD, 'cinder', 'attachments.complete'),
        (DESTINATION, 'libvirt', 'migrateToURI3'),
        (DESTINATION, 'libvirt', 'jobStats'),
        (DESTINATION, 'brick', 'disconnect_volume'),
        (DESTINATION, 'cinder', 'attachments.delete'),
        (THIRD, 'db', 'instance.save'),
        (DESTINATION, 'journal', 'the end'),
    )

    def test_back_at_any_moment_of_it(self):
        for moment in self.MOMENTS:
            with self.subTest(moment):
                self.lab.clean()
                self.lab.forget()
                server = self.arrived()
                meanwhile = self.back_before(*moment)
                self.lab.migrate(server, THIRD)
                self.lab.world.rule = None
                self.assertTrue(meanwhile.done)
                self.assertUnharmed(server, THIRD)
                self.recover()
                self.assertClean(server, THIRD)
                self.assertTrue(self.do(server, 'hard_reboot').done)
                self.assertClean(server, THIRD)

    def test_back_after_it(self):
        server = self.arrived()
        self.migrate(server, host=THIRD)
        self.back()
        self.recover()
        self.assertClean(server, THIRD)
        self.assertTrue(self.do(server, 'hard_reboot').done)

    def test_back_after_it_has_failed(self):
        server = self.arrived()
        self.migrate(server, JOB_FAILS, host=THIRD)
        self.back()
        self.recover()
        self.assertClean(server, DESTINATION)
        self.assertTrue(self.do(server, 'hard_reboot').done)

    def test_what_another_one_has_left_there(self):
        """A device of it may be there, and it is not for this transaction to say."""
        server = self.guest()
        driver = self.lab.stack.computes[THIRD].manager.driver
        with self.lab.world.entered(self.lab.parts.processes[THIRD]):
            connector = driver.get_volume_connector(None)
        volume = self.bdms(server)[0].volume_id
        left = self.lab.parts.cinder.create(volume, connector, server.uuid)
        self.lab.parts.cinder.complete(left.id)
        self.migrate(server, JOB_FAILS)
        self.recover()
        self.assertIn(left.id, self.lab.parts.cinder.attachments)
        self.assertEqual([], self.exports(server, DESTINATION))
        self.assertUnharmed(server, SOURCE)
