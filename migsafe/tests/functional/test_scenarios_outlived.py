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
"""A request that waits in the broker for longer than its sender does, and evacuations."""

from __future__ import annotations

from migsafe.replay.lab import steps
from migsafe.tests.functional import scenarios
from migsafe.tests.functional.scenarios import DESTINATION, SOURCE, THIRD


class Hangs:
    """A fault plan: the destination hangs before pre_live_migration reaches it, and so does
    whatever else is sent to it. Only that call is still deliverable when it is back: Nova lets
    it expire after long_rpc_timeout, all others after some seconds.

    :param dies: whether the source dies while it waits
    """

    def __init__(self, lab, dies=False):
        self._lab, self._dies = lab, dies

    def around(self, effect, call, later):
        if effect.name != 'pre_live_migration':
            return call()
        self._lab.stack.silence_host(DESTINATION)
        if self._dies:
            self._lab.parts.processes[SOURCE].alive = False
        return later()


class EvacuationTest(scenarios.ScenarioTest):

    third = True

    def evacuate(self, server, host):
        """From a source that is powered off, and started, as Nova leaves it stopped."""
        self.power_off(SOURCE)
        self.force_down(SOURCE)
        self.assertIsNone(steps.api_action(
            self.lab.stack, server.uuid, {'evacuate': {'host': host}}))
        self.lab.wait()
        if self.lab.show(server)['OS-EXT-SRV-ATTR:host'] == host:
            self.assertIsNone(steps.api_action(self.lab.stack, server.uuid, {'os-start': None}))
            self.lab.wait()


class TestOutlivedBySomeMessages(EvacuationTest):

    def hang(self, dies=False):
        server = self.guest()
        own = self.luns(server)
        self.lab.world.rule = Hangs(self.lab, dies)
        self.lab.migrate(server)
        self.lab.world.rule = None
        self.assertEqual(dies, SOURCE in self.lab.dead())
        return server, own

    def comes_late(self):
        """The destination is rebooted, and is handed what has waited for it."""
        self.lab.pass_time(120)
        self.assertTrue(self.lab.restart(DESTINATION, reboot=True))
        bus = self.lab.parts.bus
        bus.undelivered = [m for m in bus.undelivered
                           if m.message['method'] == 'pre_live_migration']
        self.assertEqual(['pre_live_migration to node11'], self.lab.late())

    def test_source_has_settled_it(self):
        server, own = self.hang()
        self.force_down(DESTINATION)
        self.recover()
        self.assertEqual([], self.transactions(SOURCE))
        self.comes_late()
        self.assertEqual(own, self.luns(server))
        self.assertEqual([], self.exports(server, DESTINATION))
        self.assertIn('came to node11 too late: ', self.lab.log())
        self.assertTrue(self.do(server, 'hard_reboot').done)
        self.assertEqual(own, self.luns(server))
        self.recover()
        self.assertClean(server, SOURCE)

    def test_source_has_died_without_a_word(self):
        """Nova's records still say that it is being prepared."""
        server, own = self.hang(dies=True)
        self.comes_late()
        self.assertEqual(own, self.luns(server))
        self.assertEqual([], self.exports(server, DESTINATION))
        self.assertIn('node13 does not answer', self.lab.log())
        self.assertTrue(self.lab.restart(SOURCE))
        self.recover()
        self.assertClean(server, SOURCE)

    def test_instance_was_evacuated_meanwhile(self):
        server, _own = self.hang(dies=True)
        self.force_down(DESTINATION)
        self.evacuate(server, THIRD)
        self.assertEqual([THIRD], self.lab.observer(server).running_on())
        theirs = self.luns(server)
        self.force_up(DESTINATION)
        self.comes_late()
        self.assertEqual(theirs, self.luns(server))
        self.assertEqual([], self.exports(server, DESTINATION))
        self.assertIn('came to node11 too late: ', self.lab.log())
        self.recover()
        self.assertEqual([], self.transactions(DESTINATION))
        self.assertTrue(self.do(server, 'hard_reboot').done)
        self.assertUnharmed(server, THIRD)


class TestMessageToTheSource(EvacuationTest):
    """It waits until the guest runs elsewhere, and the rows are those of another host."""

    def test_instance_was_evacuated_meanwhile(self):
        server, lab = self.guest(), self.lab

        class Waits:
            def around(self, effect, call, later):
                if effect.name != 'live_migration':
                    return call()
                lab.stack.silence_host(SOURCE)
                return later()
        lab.world.rule = Waits()
        lab.migrate(server)
        lab.world.rule = None
        self.power_off(SOURCE)
        self.force_down(SOURCE)
        self.assertIsNone(steps.api_action(
            lab.stack, server.uuid, {'evacuate': {'host': THIRD}}))
        lab.wait()
        self.assertEqual([THIRD], lab.observer(server).running_on())
        theirs = self.luns(server)
        self.force_up(SOURCE)
        lab.pass_time(120)
        self.assertTrue(lab.restart(SOURCE, reboot=True))
        bus = lab.parts.bus
        bus.undelivered = [m for m in bus.undelivered
                           if m.message['method'] == 'live_migration']
        self.assertEqual(['live_migration to node13'], lab.late())
        self.assertIn('came to node13 too late and was not begun', lab.log())
        journal = self.participant(SOURCE).journal
        for tx in journal.list():
            # what the rows say is of the third host, and nothing of it was here
            self.assertNotIn('volume_connection', [
                one.resource for one in journal.records(tx) if one.kind == 'capture'])
        self.recover()
        self.assertEqual([], self.transactions(SOURCE))
        self.assertEqual(theirs, self.luns(server))
        self.assertUnharmed(server, THIRD)
        self.assertTrue(self.do(server, 'hard_reboot').done)


class TestEvacuationWhileItMigrates(EvacuationTest):
    """The source dies before Nova has recorded where the guest is."""

    def gone(self, *faults):
        server = self.guest()
        self.migrate(server, *faults)
        self.assertEqual([SOURCE], self.lab.dead())
        self.assertEqual(SOURCE, self.lab.show(server)['OS-EXT-SRV-ATTR:host'])
        return server

    def test_guest_has_arrived_and_its_nova_compute_is_stopped(self):
        server = self.gone(scenarios.SOURCE_DIES)
        self.assertEqual([DESTINATION], self.lab.observer(server).running_on())
        self.lab.stack.silence_host(DESTINATION)
        self.evacuate(server, THIRD)
        self.assertUnharmed(server, DESTINATION)
        self.assertEqual([0, 1], self.exports(server, DESTINATION))
        self.assertEqual([], self.exports(server, THIRD))
        said = self.fault_messages(server)
        for word in ('evacuation refused: live-migration ', 'may run on node11',
                     'openstack compute service set --down node11'):
            self.assertIn(word, said)
        # as the message says
        self.assertTrue(self.lab.restart(DESTINATION))
        self.recover()
        self.assertUnharmed(server, DESTINATION)
        self.assertEqual(DESTINATION, self.lab.show(server)['OS-EXT-SRV-ATTR:host'])

    def test_destination_that_was_fenced(self):
        """The gate lets it through."""
        server = self.gone(scenarios.SOURCE_DIES)
        self.power_off(DESTINATION)
        self.force_down(DESTINATION)
        self.evacuate(server, THIRD)
        self.assertIn((THIRD, 'cinder', 'attachments.delete'), [
            (e.host, e.kind, e.name) for e in self.lab.world.trace])
        self.assertNotIn('evacuation refused', self.fault_messages(server))

    def test_destination_without_a_guest_lets_go_first(self):
        """Its devices still have the exports that the rows name."""
        server = self.gone(scenarios.kill(SOURCE, 'libvirt', 'migrateToURI3', when='before'))
        self.evacuate(server, THIRD)
        said = self.fault_messages(server)
        for word in ('evacuation refused: live-migration ', 'is not settled on node11',
                     'migsafe settle '):
            self.assertIn(word, said)
        self.assertEqual([0, 1], self.exports(server, DESTINATION))
        # as the message says; it was forced down by then
        self.recover()
        self.assertEqual([], self.devices(server, DESTINATION))
        self.assertEqual([], self.exports(server, DESTINATION))
        self.evacuate(server, THIRD)
        self.assertEqual([THIRD], self.lab.observer(server).running_on())
