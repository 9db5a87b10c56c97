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
"""nova-compute starts while its journal cannot be opened, and comes back by itself."""

from __future__ import annotations

import contextlib
import os

from nova.conf import CONF

from migsafe import exceptions
from migsafe.tests.functional import scenarios
from migsafe.tests.functional.scenarios import DESTINATION, JOB_FAILS, LAST_COMMIT, SOURCE


class TestJournalAway(scenarios.ScenarioTest):

    @contextlib.contextmanager
    def away(self, *hosts):
        """The file system with the journals is not there; hosts that run are started again."""
        path = CONF.migsafe.state_path
        for host in hosts:
            self.lab.stack.silence_host(host)
        os.rename(path, f'{path}.away')
        os.symlink(f'{path}.nowhere', path)
        try:
            for host in hosts:
                self.assertTrue(self.lab.restart(host))
            yield
        finally:
            os.unlink(path)
            os.rename(f'{path}.away', path)

    def assertDone(self, server):
        """A hard reboot, which leaves a guest ACTIVE also where it is refused."""
        def created():
            return sum((e.kind, e.name) == ('libvirt', 'createWithFlags')
                       for e in self.lab.world.trace)
        before = created()
        self.assertTrue(self.do(server, 'hard_reboot').done)
        self.assertGreater(created(), before)

    def test_a_guest_that_never_moved(self):
        """Nothing of it is in the way of its owner, but a live migration, which it outlives."""
        server = self.guest()
        with self.away(SOURCE, DESTINATION):
            self.assertDone(server)
            self.migrate(server)
            self.assertUnharmed(server, SOURCE)
            self.assertEqual([], self.residue(server))
            self.assertIn('starts without its journal', self.lab.log())
            self.assertIn('a migration that cannot be journalled is not started',
                          self.lab.log())
        self.migrate(server)
        self.assertClean(server, DESTINATION)

    def test_a_guest_that_may_be_in_a_migration(self):
        """What was not settled is settled as soon as the journal is there again."""
        server = self.guest()
        self.migrate(server, LAST_COMMIT)
        self.assertEqual([SOURCE], self.lab.dead())
        with self.away(SOURCE, DESTINATION):
            self.assertRefused(server, 'hard_reboot', 'reboot refused: ', 'is not available')
            self.assertRaises(exceptions.JournalAway, self.lab.recover_one, DESTINATION)
            self.assertUnharmed(server, DESTINATION)
        self.recover()
        self.assertClean(server, DESTINATION)
        self.lab.stack.stdlog.delete_stored_logs()
        self.assertDone(server)

    def test_one_host_of_two(self):
        """The other one rolls back what it began, and nothing is left."""
        for host in (SOURCE, DESTINATION):
            with self.subTest(host):
                self.lab.clean()
                self.lab.forget()
                server = self.guest()
                with self.away(host):
                    self.migrate(server)
                    self.assertUnharmed(server, SOURCE)
                self.recover()
                self.assertClean(server, SOURCE)
                self.migrate(server, JOB_FAILS)
                self.recover()
                self.assertClean(server, SOURCE)
