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
"""A settlement that stands still between two of its steps, while the next migration begins."""

from __future__ import annotations

import threading
from unittest import mock

from migsafe.replay.lab import steps
from migsafe.tests.functional import scenarios
from migsafe.tests.functional.scenarios import DESTINATION, SOURCE, SOURCE_DIES, THIRD

#: Seconds for which a test waits for what another thread does; nothing passes by it.
STUCK = 600


class Standstill:
    """A fault plan: an effect of a host is reached, and waits until it is let go on."""

    def __init__(self, host, kind, name):
        self._where = (host, kind, name)
        self.reached, self.go_on = threading.Event(), threading.Event()

    def around(self, effect, call, later):
        if (effect.host, effect.kind, effect.name) == self._where:
            self.reached.set()
            self.go_on.wait(STUCK)
        return call()


class Ends:
    """A fault plan: something happens, once, while the source ends the task, before an effect."""

    def __init__(self, kind, name, what):
        self._moment, self._what = (SOURCE, kind, name), what
        self._ends = False

    def around(self, effect, call, later):
        self._ends |= effect.name == 'the intent of instance_release'
        if self._ends and (effect.host, effect.kind, effect.name) == self._moment:
            self._what()
        return call()


class TestNextMigrationBegins(scenarios.ThirdHostTest):
    """The task that is there by then is that of the next migration."""

    def task(self, server):
        return self.lab.show(server)['OS-EXT-STS:task_state']

    def ends(self, server):
        self.assertUnharmed(server, THIRD)
        self.recover()
        self.assertClean(server, THIRD)
        self.assertTrue(self.do(server, 'hard_reboot').done)

    def test_conductor_has_no_record_of_it_yet(self):
        server = self.arrived()
        tasks = []

        def happens():
            rule, self.lab.world.rule = self.lab.world.rule, None
            tasks.append(self.task(server))
            self.back(meanwhile=True)
            tasks.append(self.task(server))
            self.lab.world.rule = rule
        self.lab.world.rule = scenarios.Meanwhile(
            'control', 'rpc', 'compute_task.live_migrate_instance', happens)
        self.lab.migrate(server, THIRD)
        self.lab.world.rule = None
        self.assertEqual(['migrating', 'migrating'], tasks)
        self.ends(server)

    def test_in_the_middle_of_ending_the_task(self):
        for moment in (('journal', 'the intent of instance_release'), ('db', 'instance.save')):
            with self.subTest(moment):
                self.lab.clean()
                self.lab.forget()
                self.stands_still_before(*moment)

    def stands_still_before(self, kind, name):
        """After an operator has reset the state, and from a host without migsafe: the plugin
        refuses the next one as long as the older one is not settled."""
        server = self.guest()
        self.migrate(server, SOURCE_DIES)
        self.assertTrue(self.lab.restart(SOURCE))
        begun = Standstill(DESTINATION, 'libvirt', 'migrateToURI3')
        self.addCleanup(begun.go_on.set)

        def happens():
            self.lab.world.rule = begun
            for body in ({'os-resetState': {'state': 'active'}}, {'os-migrateLive': {
                    'host': THIRD, 'block_migration': 'auto'}}):
                self.assertIsNone(steps.api_action(self.lab.stack, server.uuid, body))
            self.assertTrue(begun.reached.wait(STUCK), 'the control: it has begun')
        self.lab.world.rule = Ends(kind, name, happens)
        destination = self.lab.stack.computes[DESTINATION].manager
        with mock.patch.object(destination, '_migsafe', None):
            self.lab.recover_one(SOURCE)
            self.assertTrue(begun.reached.is_set())
            self.assertEqual('migrating', self.task(server))
            begun.go_on.set()
            self.lab.wait()
        self.lab.world.rule = None
        self.ends(server)
