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
"""A volume is swapped, or retyped by Cinder, while a live migration is not settled."""

from __future__ import annotations

from nova import exception

from migsafe.tests.functional import scenarios
from migsafe.tests.functional.scenarios import DESTINATION, JOB_FAILS, SOURCE
from migsafe.tests.functional.test_scenarios_kept import NEW, Swapping


class TestSwapGate(Swapping):

    def swap(self, server, migration=False):
        return self.replace(server, migration, holder=None)

    def wrong_rows(self):
        """The source died before it had rolled back; an operator has reset the state."""
        server = self.guest()
        self.own = self.luns(server)
        self.migrate(server, scenarios.kill(SOURCE, 'journal', 'the verdict'), JOB_FAILS)
        self.assertTrue(self.lab.restart(SOURCE))
        with self.lab.world.looking():
            self.lab.stack.admin_api.post_server_action(
                server.uuid, {'os-resetState': {'state': 'active'}})
        self.assertNotEqual(self.own, self.luns(server))
        return server

    def test_control_plain_nova_disconnects_what_the_row_names(self):
        server = self.wrong_rows()
        self.lab.stack.computes[SOURCE].manager._migsafe, kept = None, self.participant(SOURCE)
        self.addCleanup(setattr, self.lab.stack.computes[SOURCE].manager, '_migsafe', kept)
        self.swap(server)
        self.assertIn('foreign_yank', {h.kind for h in self.lab.world.harms})
        self.assertEqual([], self.of(server.volumes[1])[1:])

    def test_settled_first(self):
        for migration in (False, True):
            with self.subTest(migration=migration):
                self.lab.clean()
                self.lab.forget()
                server = self.wrong_rows()
                attachment = self.swap(server, migration)
                self.assertUnharmed(server, SOURCE)
                name = server.volumes[1] if migration else NEW
                self.assertEqual((name, attachment.id, name), self.named(server))
                self.assertEqual([(SOURCE, 'attached')], self.of(name))
                self.assertEqual(self.own[0], self.lab.parts.san.arrays['iscsi'].exports[
                    SOURCE, server.volumes[0]].lun)
                self.recover()
                self.assertUnharmed(server, SOURCE)
                self.assertEqual([], self.exports(server, DESTINATION))
                self.assertEqual([], self.transactions(SOURCE))

    def test_refused_and_as_it_was(self):
        for migration in (False, True):
            with self.subTest(migration=migration):
                self.lab.clean()
                self.lab.forget()
                server = self.wrong_rows()
                self.lab.stack.silence_host(DESTINATION)
                old = server.volumes[1]
                refused = self.assertRaises(exception.NovaException, self.swap, server, migration)
                for word in ('swap of a volume refused', DESTINATION, 'migsafe settle'):
                    self.assertIn(word, str(refused))
                self.assertNotIn(DESTINATION, refused.format_message())
                self.assertUnharmed(server, SOURCE)
                # the old volume is given back, and nothing of the new one is left
                cinder = self.lab.parts.cinder
                self.assertEqual('in-use', cinder.volumes[old].status)
                self.assertEqual([], self.of(NEW))
                self.assertEqual([NEW] if migration else [], cinder.deleted)
                self.assertEqual('error' if migration else None,
                                 cinder.volumes[old].migration_status)
                self.assertEqual('ACTIVE', self.lab.show(server)['status'])
                self.assertTrue(self.lab.restart(DESTINATION))
                self.recover()
                self.assertEqual(self.own, self.luns(server))
                self.assertClean(server, SOURCE)
                if not migration:
                    del cinder.volumes[NEW]
                self.swap(server)
                self.assertEqual((NEW, NEW), self.named(server)[::2])
                self.assertUnharmed(server, SOURCE)
