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
"""nova-compute of a host that lives is started while Nova has begun to evacuate it.

Nova destroys at start what an evacuation has only been asked for.
"""

from __future__ import annotations

from unittest import mock

import fixtures
from nova import context as nova_context
from nova import objects

from migsafe.nova.seams import kept_guests
from migsafe.replay.lab import steps
from migsafe.tests.functional.scenarios import DESTINATION, SOURCE, Meanwhile
from migsafe.tests.functional.test_scenarios_incident_004 import EvacuatedTest

#: What Nova does by itself.
PLAIN = mock.patch.object(kept_guests, 'kept', lambda _participant, found: (found, {}))


class Waits:
    """A fault plan: the call that brings the instance to its new host is not delivered yet."""

    def around(self, effect, call, later):
        return later() if effect.name == 'rebuild_instance' else call()


class TestStartedInBetween(EvacuatedTest):

    def asked(self):
        """Nova's API has let the evacuation through; nobody has begun it."""
        server = self.stopped()
        self.lab.world.rule = Waits()
        self.assertIsNone(steps.api_action(
            self.lab.stack, server.uuid, {'evacuate': {'host': DESTINATION}}))
        self.lab.wait()
        self.lab.world.rule = None
        self.assertEqual('accepted', self.status(server))
        return server

    def status(self, server):
        """Of its evacuation."""
        context = nova_context.get_admin_context()
        nova_context.set_target_cell(context, self.lab.stack.cell_mappings['cell1'])
        with self.lab.world.looking():
            found, = objects.MigrationList.get_by_filters(
                context, {'instance_uuid': server.uuid})
        return found.status

    def record(self, server):
        shown = self.lab.show(server)
        return shown['OS-EXT-SRV-ATTR:host'], shown['status'], shown['OS-EXT-STS:task_state']

    def started(self, server):
        """What runs, once the old host has started and the new one has got the message."""
        self.assertTrue(self.lab.restart(SOURCE))
        self.lab.late()
        return self.lab.observer(server).running_on()

    def test_control_plain_nova_destroys_it_and_the_new_host_refuses(self):
        server = self.asked()
        with PLAIN:
            self.assertEqual([], self.started(server))
        self.assertIn('evacuation refused: node13 is not proven dead',
                      self.fault_messages(server))

    def test_it_runs_on(self):
        server = self.asked()
        self.assertEqual([SOURCE], self.started(server))
        self.assertEqual((SOURCE, 'ACTIVE', None), self.record(server))
        self.assertEqual('failed', self.status(server))
        self.assertIn('evacuation refused: node13 is not proven dead',
                      self.fault_messages(server))
        for word in (server.uuid, f'to {DESTINATION} is accepted', 'server set --state active'):
            self.assertIn(word, self.lab.log())
        self.assertTrue(self.do(server, 'hard_reboot').done)
        self.assertUnharmed(server, SOURCE)
        self.assertEqual(set(), self.kinds(server))

    def test_it_runs_on_where_the_message_is_lost(self):
        """Its record stays, and does nothing, whatever becomes of the guest."""
        server = self.asked()
        self.lab.parts.bus.undelivered.clear()
        self.assertEqual([SOURCE], self.started(server))
        self.assertEqual((SOURCE, 'ACTIVE', None), self.record(server))
        self.assertEqual('accepted', self.status(server))
        self.assertIsNone(steps.api_action(self.lab.stack, server.uuid, {'os-stop': None}))
        self.lab.wait()
        self.assertTrue(self.lab.restart(SOURCE))
        self.start(server)
        self.assertUnharmed(server, SOURCE)
        self.assertEqual([0, 1], self.devices(server, SOURCE))

    def test_the_new_host_was_told_that_it_is_dead(self):
        """It has begun, and is kept from going on."""
        server = self.asked()
        self.force_down(SOURCE)
        back = self.lab.world.rule = Meanwhile(
            DESTINATION, 'cinder', 'attachments.create', self.start_meanwhile)
        self.lab.late()
        self.lab.world.rule = None
        self.assertTrue(back.done)
        self.assertEqual([SOURCE], self.lab.observer(server).running_on())
        self.assertNotIn('double_run', {harm.kind for harm in self.lab.world.harms})
        self.assertEqual(SOURCE, self.record(server)[0])
        self.assertEqual('failed', self.status(server))

    def start(self, server):
        self.assertIsNone(steps.api_action(self.lab.stack, server.uuid, {'os-start': None}))
        self.lab.wait()

    def start_meanwhile(self):
        """As the host starts while it is evacuated."""
        rule, self.lab.world.rule = self.lab.world.rule, None
        self.assertTrue(self.lab.restart(SOURCE, meanwhile=True))
        self.lab.world.rule = rule

    def test_the_new_host_is_about_to_start_it(self):
        """Nobody can keep it from that: what is left here is Nova's to destroy, as ever."""
        server = self.asked()
        self.force_down(SOURCE)
        self.useFixture(fixtures.MonkeyPatch('migsafe.nova.seams.evacuation.FRESH', 3600))
        back = self.lab.world.rule = Meanwhile(
            DESTINATION, 'brick', 'connect_volume', self.start_meanwhile)
        self.lab.late()
        self.lab.world.rule = None
        self.assertTrue(back.done)
        self.start(server)
        self.assertEqual([DESTINATION], self.lab.observer(server).running_on())
        self.assertNotIn('double_run', {harm.kind for harm in self.lab.world.harms})
        self.assertEqual(DESTINATION, self.record(server)[0])
