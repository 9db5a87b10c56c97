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

#: The source of the first migration is stopped when the guest has arrived and all that is left
#: is its last commit.
LAST_COMMIT = scenarios.kill(SOURCE, 'journal', 'the end', when='before')


class Meanwhile:
    """A fault plan: something happens before one effect of a host."""

    def __init__(self, host, kind, name, what):
        self._where, self._what = (host, kind, name), what
        self.done = False

    def around(self, effect, call, later):
        if (effect.host, effect.kind, effect.name) == self._where and not self.done:
            self.done = True
            self._what()
        return call()


class TestNextMigration(scenarios.ScenarioTest):
    """The first migration's source comes back while the next one is under way, or after it."""

    third = True

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

    def arrived(self):
        """A guest on the second host; the first is down with its transaction still open."""
        server = self.guest()
        self.migrate(server, LAST_COMMIT)
        self.assertEqual([SOURCE], self.lab.dead())
        self.assertEqual([DESTINATION], self.lab.observer(server).running_on())
        return server

    def back(self):
        self.assertTrue(self.lab.restart(SOURCE))
        open_, = self.transactions(SOURCE)
        with self.lab.world.entered(self.lab.parts.processes[SOURCE]):
            self.participant(SOURCE).recovery.once()
        return open_

    def test_back_at_any_moment_of_it(self):
        for moment in self.MOMENTS:
            with self.subTest(moment):
                self.lab.clean()
                self._forget()
                server = self.arrived()
                # a restart waits for all work in the laboratory to end, and this is in the middle
                meanwhile = self.lab.world.rule = Meanwhile(*moment, self.back_in_the_middle)
                self.lab.migrate(server, THIRD)
                self.lab.world.rule = None
                self.assertTrue(meanwhile.done)
                self.assertUnharmed(server, THIRD)
                self.recover()
                self.assertClean(server, THIRD)
                self.assertTrue(self.do(server, 'hard_reboot').done)
                self.assertClean(server, THIRD)

    def back_in_the_middle(self):
        """As restart(), but without waiting for the rest of the laboratory to come to rest."""
        rule, self.lab.world.rule = self.lab.world.rule, None
        waits, self.lab.wait = self.lab.wait, lambda: None
        try:
            self.back()
        finally:
            self.lab.wait = waits
            self.lab.world.rule = rule

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
