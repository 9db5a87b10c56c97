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
"""Incident 004: a script evacuates a host whose nova-compute was only stopped."""

from __future__ import annotations

import datetime

import fixtures
from nova import context as nova_context
from nova import objects
from nova.conf import CONF

from migsafe.replay.lab import steps
from migsafe.tests.functional.scenarios import DESTINATION, SOURCE, Meanwhile
from migsafe.tests.functional.test_scenarios_outlived import EvacuationTest


class EvacuatedTest(EvacuationTest):

    def evacuated(self, server):
        """What the script does, and the start that Nova leaves to others."""
        self.assertIsNone(steps.api_action(
            self.lab.stack, server.uuid, {'evacuate': {'host': DESTINATION}}))
        self.lab.wait()
        if self.lab.show(server)['OS-EXT-SRV-ATTR:host'] == DESTINATION:
            self.assertIsNone(steps.api_action(self.lab.stack, server.uuid, {'os-start': None}))
            self.lab.wait()
        return self.lab.observer(server).running_on()

    def policy(self, value):
        """The option, as it is read by the host that the guest is to come to."""
        CONF.set_override('evacuation', value, group='migsafe')
        self.addCleanup(CONF.clear_override, 'evacuation', group='migsafe')

    def stopped(self):
        """A guest whose nova-compute is stopped, for so long that Nova takes it for down."""
        server = self.guest()
        self.lab.stack.silence_host(SOURCE)
        self.heard(SOURCE, datetime.timedelta(days=8))
        self.addCleanup(self.heard, SOURCE, datetime.timedelta())
        return server


class TestStoppedNovaCompute(EvacuatedTest):
    """The guest runs on; Nova lets the evacuation through, as its heartbeat is late."""

    def test_plain_nova_starts_a_second_copy(self):
        """The control: what a host does that does not look."""
        server = self.stopped()
        self.policy('off')
        self.assertEqual([DESTINATION, SOURCE], sorted(self.evacuated(server)))

    def test_refused_until_it_is_fenced(self):
        server = self.stopped()
        self.assertEqual([SOURCE], self.evacuated(server))
        self.assertEqual([], self.lab.world.harms)
        said = self.fault_messages(server)
        for word in ('evacuation refused: node13 is not proven dead', 'rpc: silent',
                     'service set --down node13'):
            self.assertIn(word, said)
        self.power_off(SOURCE)
        self.force_down(SOURCE)
        self.assertEqual([DESTINATION], self.evacuated(server))

    def evacuated_unseen(self, policy):
        """Nova's database fails while the new host looks, where evacuations alone are enforced."""
        server = self.stopped()
        CONF.set_override('enforce', False, group='migsafe')
        self.addCleanup(CONF.clear_override, 'enforce', group='migsafe')
        self.policy(policy)
        moves = self.useFixture(fixtures.MockPatchObject(
            self.participant(DESTINATION).clients.records, 'moves',
            side_effect=OSError('database is away'))).mock
        running = sorted(self.evacuated(server))
        moves.assert_called()
        return server, running

    def test_control_what_cannot_be_looked_at_with_warn(self):
        self.assertEqual([DESTINATION, SOURCE], self.evacuated_unseen('warn')[1])

    def test_what_cannot_be_looked_at_is_refused(self):
        server, running = self.evacuated_unseen('enforce')
        self.assertEqual([SOURCE], running)
        self.assertIn('database is away', self.fault_messages(server))

    def edited(self, server):
        """The oldest home-made evacuation: UPDATE instances SET host = ..."""
        context = nova_context.get_admin_context()
        nova_context.set_target_cell(context, self.lab.stack.cell_mappings['cell1'])
        with self.lab.world.looking():
            instance = objects.Instance.get_by_uuid(context, server.uuid)
            node = objects.ComputeNode.get_first_node_by_host_for_old_compat(
                context, DESTINATION)
            instance.host, instance.node = DESTINATION, node.hypervisor_hostname
            instance.compute_id = node.id
            instance.save()

    def rebooted(self, server):
        self.do(server, 'hard_reboot')
        return sorted(self.lab.observer(server).running_on())

    def by_hand(self):
        """A guest on Ceph, where nothing has to be connected; its host's nova-compute is down."""
        server = self.guest(backends=('rbd',))
        self.lab.stack.silence_host(SOURCE)
        self.edited(server)
        # Until migrations without a journal were looked for, Cinder is asked about any instance.
        self.recover(1)
        self.assertTrue(self.participant(DESTINATION).looked)
        return server

    def test_control_record_that_was_edited(self):
        self.policy('off')
        self.assertEqual([DESTINATION, SOURCE], self.rebooted(self.by_hand()))

    def test_record_that_was_edited(self):
        server = self.by_hand()
        self.assertEqual([SOURCE], self.rebooted(server))
        for word in ('reboot refused: no guest of instance', 'is attached to node13',
                     'service set --down node13'):
            self.assertIn(word, self.fault_messages(server))
        CONF.set_override('resume_guests_state_on_host_boot', True)
        self.addCleanup(CONF.clear_override, 'resume_guests_state_on_host_boot')
        self.assertTrue(self.lab.restart(DESTINATION))
        self.assertEqual([SOURCE], self.lab.observer(server).running_on())
        self.assertIn('Not started with the host: no guest of', self.lab.log())
        self.recover(1)
        self.power_off(SOURCE)
        self.force_down(SOURCE)
        self.assertEqual([DESTINATION], self.rebooted(server))


class TestCutOff(EvacuatedTest):
    """It was cut off, somebody forced it down who had not fenced it, and it is heard again while
    the volumes are being connected."""

    def evacuated_meanwhile(self, fresh):
        server, bus = self.guest(), self.lab.parts.bus
        cut = {key: bus.servers.pop(key) for key in list(bus.servers) if key[1] == SOURCE}
        self.addCleanup(bus.servers.update, cut)
        # Nor does it reach the conductor: a heartbeat between two looks would show that it lives.
        self.useFixture(fixtures.MockPatchObject(
            self.lab.stack.computes[SOURCE].service_ref, 'save', lambda *_args: None))
        self.force_down(SOURCE)
        self.useFixture(fixtures.MonkeyPatch('migsafe.nova.seams.evacuation.FRESH', fresh))
        back = self.lab.world.rule = Meanwhile(
            DESTINATION, 'brick', 'connect_volume', lambda: bus.servers.update(cut))
        running = self.evacuated(server)
        self.assertTrue(back.done)
        return server, running

    def test_one_look_starts_a_second_copy(self):
        """The control."""
        self.assertEqual([DESTINATION, SOURCE], sorted(self.evacuated_meanwhile(3600)[1]))
        self.assertIn('double_run', {harm.kind for harm in self.lab.world.harms})

    def test_the_second_look_keeps_it_from_being_started(self):
        server, running = self.evacuated_meanwhile(-1)
        self.assertEqual([SOURCE], running)
        self.assertNotIn('double_run', {harm.kind for harm in self.lab.world.harms})
        self.assertIn('evacuation refused before the guest was started',
                      self.fault_messages(server))
        self.assertEqual([], self.devices(server, DESTINATION))
        self.assertEqual((SOURCE, 'ACTIVE'), (
            self.lab.show(server)['OS-EXT-SRV-ATTR:host'], self.lab.show(server)['status']))
