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
"""A host finds guests that are not its own any more: evacuated, or deleted while it was down."""

from __future__ import annotations

from unittest import mock

from nova import context as nova_context

from migsafe.nova.host import left_devices
from migsafe.nova.seams import stale_guests
from migsafe.replay.lab import steps
from migsafe.tests.functional.scenarios import DESTINATION, SOURCE, THIRD
from migsafe.tests.functional.test_scenarios_outlived import EvacuationTest

#: What Nova does by itself: what it disconnects is what the rows say.
PLAIN = mock.patch.object(stale_guests, '_own', lambda _here, _driver, _instance, info: info)


class TestStaleGuests(EvacuationTest):
    """Rows name numbers of an evacuated guest's new host, or those that a deleted one gave up."""

    def down(self, host):
        """Its nova-compute is, and nothing else."""
        self.lab.stack.silence_host(host)
        self.force_down(host)

    def evacuated(self, server, host):
        """What is left of it where it was has no export any more; that harm is not that host's."""
        self.assertIsNone(steps.api_action(
            self.lab.stack, server.uuid, {'evacuate': {'host': host}}))
        self.lab.wait()
        self.assertEqual(host, self.lab.show(server)['OS-EXT-SRV-ATTR:host'])
        self.lab.world.harms.clear()

    def back(self, host):
        """It is started again, and the guest that it has is destroyed."""
        self.force_up(host)
        self.assertTrue(self.lab.restart(host))

    def domains(self, server, host):
        return [d for d in self.lab.parts.connections[host]._vms.values()
                if d.UUIDString() == server.uuid]

    def harms(self):
        return {(harm.kind, harm.host) for harm in self.lab.world.harms}

    def named(self, host):
        """What is listed of a host: which volumes of its guests have a device that stays."""
        return [one.key.partition(' ')[0] for one in self.participant(host).journal.findings()
                if one.kind == left_devices.KIND]

    # -- evacuated ----------------------------------------------------------------------------

    def rebooted(self):
        server = self.guest()
        self.evacuate(server, DESTINATION)
        self.assertEqual([DESTINATION], self.lab.observer(server).running_on())
        self.assertEqual(1, len(self.domains(server, SOURCE)))
        return server

    def test_control_plain_nova_disconnects_by_the_new_hosts_numbers(self):
        self.rebooted()
        with PLAIN:
            self.back(SOURCE)
        self.assertEqual({('foreign_yank', SOURCE)}, self.harms())

    def test_nothing_is_disconnected_by_the_new_hosts_numbers(self):
        server = self.rebooted()
        self.back(SOURCE)
        self.assertUnharmed(server, DESTINATION)
        self.assertEqual(([], []), (self.domains(server, SOURCE), self.named(SOURCE)))
        self.recover()
        # Nova leaves the old host's inactive
        self.assertEqual({'R8'}, self.kinds(server))
        self.assertTrue(self.do(server, 'hard_reboot').done)

    def test_what_it_has_connected_in_a_migration_goes(self):
        """Its journal says by which numbers; QEMU still had it open."""
        server = self.guest()
        self.migrate(server)
        self.down(DESTINATION)
        self.evacuated(server, THIRD)
        self.assertEqual([0, 1], self.devices(server, DESTINATION))
        self.back(DESTINATION)
        self.assertEqual([], self.devices(server, DESTINATION))
        self.assertEqual(([], []), (self.domains(server, DESTINATION), self.named(DESTINATION)))
        self.assertEqual(set(), self.harms())

    def test_what_is_not_known_to_be_its_own_stays_and_is_named(self):
        server = self.guest()
        self.down(SOURCE)
        self.evacuated(server, DESTINATION)
        self.back(SOURCE)
        self.assertEqual(set(), self.harms())
        self.assertEqual([], self.domains(server, SOURCE))
        self.assertEqual([0, 1], self.devices(server, SOURCE))
        self.assertCountEqual(server.volumes, self.named(SOURCE))
        for word in ('was given on node13', server.uuid, 'device/delete'):
            self.assertIn(word, self.lab.log())
        self.recover(1)
        self.assertCountEqual(server.volumes, self.named(SOURCE))
        # another guest gets the numbers: nobody is pointed at its devices
        other = self.guest()
        self.recover(1)
        self.assertEqual([], self.named(SOURCE))
        self.assertEqual([0, 1], self.devices(other, SOURCE))

    # -- deleted ------------------------------------------------------------------------------

    def deleted(self):
        """By the API itself, with all attachments, while its host is down."""
        server = self.guest()
        own = self.luns(server)
        self.down(SOURCE)
        self.assertIsNone(steps.delete(self.lab.stack, server))
        self.lab.wait()
        self.assertEqual('DELETED', steps.status(self.lab.stack, server.uuid))
        self.assertEqual([], self.exports(server, SOURCE))
        self.lab.world.harms.clear()
        self.back(SOURCE)
        self.assertEqual(1, len(self.domains(server, SOURCE)))
        return server, own

    def reap(self):
        """Nova's periodic task, as it is run."""
        manager = self.lab.stack.computes[SOURCE].manager
        context = nova_context.get_admin_context()
        nova_context.set_target_cell(context, self.lab.stack.cell_mappings['cell1'])
        self.lab.pass_time(60)
        with self.lab.world.entered(self.lab.parts.processes[SOURCE]):
            dict(manager._periodic_tasks)['_cleanup_running_deleted_instances'](manager, context)

    def again(self):
        """Another tenant's guest has its numbers by now."""
        server, own = self.deleted()
        other = self.guest()
        self.assertEqual(own, self.luns(other))
        return server, other

    def test_control_plain_nova_disconnects_what_another_guest_has(self):
        server, other = self.again()
        with PLAIN:
            self.reap()
        self.assertEqual({('guest_yank', SOURCE)}, self.harms())
        self.assertEqual(([], []), (self.domains(server, SOURCE), self.devices(other, SOURCE)))

    def test_what_another_guest_has_by_now_stays(self):
        server, other = self.again()
        self.reap()
        self.assertUnharmed(other, SOURCE)
        self.assertEqual([0, 1], self.devices(other, SOURCE))
        self.assertEqual(([], []), (self.domains(server, SOURCE), self.named(SOURCE)))
        self.assertTrue(self.do(other, 'hard_reboot').done)

    def test_what_it_still_runs_on_goes(self):
        server, _own = self.deleted()
        self.reap()
        self.assertEqual(([], []), (self.domains(server, SOURCE), self.devices(server, SOURCE)))
        self.assertEqual((set(), []), (self.harms(), self.named(SOURCE)))
