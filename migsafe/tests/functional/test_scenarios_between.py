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
"""What else happens to a guest between two live migrations, the first of which is still open."""

from __future__ import annotations

import datetime
import os
import shutil

from nova import context as nova_context
from nova import objects
from oslo_utils import timeutils

from migsafe.replay.lab import steps
from migsafe.tests.functional import scenarios
from migsafe.tests.functional.scenarios import DESTINATION, SOURCE, THIRD


class TestInBetween(scenarios.ThirdHostTest):
    """The source of the first one comes back in the middle of it."""

    def ask(self, server, body):
        self.assertIsNone(steps.api_action(self.lab.stack, server.uuid, body))
        self.lab.wait()

    def in_the_middle(self, server, moment, *bodies):
        """Ask for something, in the middle of which the first source is back, if it is down."""
        down = SOURCE in self.lab.dead()
        meanwhile = self.back_before(*moment) if down else None
        for body in bodies:
            self.ask(server, body)
        self.lab.world.rule = None
        self.assertEqual(down, bool(meanwhile and meanwhile.done))

    def leaves_the_same(self, what, host):
        """What it leaves where no older transaction is open, it leaves now, and nothing else."""
        left = []
        for arrived in (self.settled, self.arrived):
            self.lab.clean()
            self.lab.forget()
            server = arrived()
            what(server)
            self.assertUnharmed(server, host)
            self.recover()
            self.assertUnharmed(server, host)
            left.append(sorted(str(r) for r in self.residue(server)))
        self.assertEqual(*left)
        self.assertEqual([], self.transactions(SOURCE))
        return server

    def settled(self):
        server = self.guest()
        self.migrate(server)
        self.recover()
        self.assertClean(server, DESTINATION)
        return server

    def goes_on(self, server, host, then):
        """All is well where it is, and after the next migration."""
        self.assertUnharmed(server, host)
        self.recover()
        self.assertClean(server, host)
        self.migrate(server, host=then)
        self.recover()
        self.assertClean(server, then)
        self.assertTrue(self.do(server, 'hard_reboot').done)
        self.assertClean(server, then)

    def test_volume_is_detached_and_attached_again(self):
        """The same volume, with another attachment, and the LUN number that it had."""
        server = self.arrived()
        self.assertTrue(self.do(server, 'detach').done)
        self.assertEqual([0], self.exports(server, DESTINATION))
        meanwhile = self.back_before(DESTINATION, 'brick', 'connect_volume')
        self.lab.stack.admin_api.post_server_volume(
            server.uuid, {'volumeAttachment': {'volumeId': server.volumes[1]}})
        self.lab.wait()
        self.lab.world.rule = None
        self.assertTrue(meanwhile.done)
        self.assertEqual([0, 1], self.exports(server, DESTINATION))
        self.goes_on(server, DESTINATION, THIRD)

    def cold(self, server, host):
        """With the directory that Nova makes over ssh: all hosts are one in the laboratory."""
        self.assertUnharmed(server, host)
        self.assertEqual(['R11 instance directory on node11'],
                         [str(r) for r in self.residue(server)])
        top = self.lab.stack.host_options[DESTINATION]['instances_path']
        shutil.rmtree(os.path.join(top, server.uuid))
        self.goes_on(server, host, DESTINATION)

    def test_cold_migration(self):
        def what(server):
            self.in_the_middle(server, (THIRD, 'brick', 'connect_volume'),
                               {'migrate': {'host': THIRD}}, {'confirmResize': None})
        self.cold(self.leaves_the_same(what, THIRD), THIRD)

    def test_cold_migration_to_the_host_that_it_came_from(self):
        """What is made there by now is not what the first one left."""
        def what(server):
            down = self.lab.dead()
            if down:
                self.assertTrue(self.lab.restart(SOURCE))
                self.assertEqual(1, len(self.transactions(SOURCE)))
            self.ask(server, {'migrate': {'host': SOURCE}})
            self.lab.recover_one(SOURCE)
            self.ask(server, {'confirmResize': None})
        self.cold(self.leaves_the_same(what, SOURCE), SOURCE)

    def test_shelved_and_unshelved(self):
        server = self.arrived()
        self.ask(server, {'shelve': None})
        self.assertEqual('SHELVED_OFFLOADED', self.lab.show(server)['status'])
        self.in_the_middle(server, (THIRD, 'brick', 'connect_volume'),
                           {'unshelve': {'host': THIRD}})
        self.goes_on(server, THIRD, DESTINATION)

    def test_evacuation(self):
        """Its host stays down; when it is back Nova disconnects there what the rows name."""
        def what(server):
            self.power_off(DESTINATION)
            self.force_down(True)
            self.in_the_middle(server, (THIRD, 'brick', 'connect_volume'),
                               {'evacuate': {'host': THIRD}}, {'os-start': None})
            self.force_down(False)
        self.addCleanup(self.force_down, False)
        server = self.leaves_the_same(what, THIRD)
        self.assertEqual([0, 1], self.exports(server, THIRD))
        # what Nova leaves of an evacuated instance until its host is back
        self.assertEqual({'R7', 'R8', 'R11'}, self.kinds(server))
        self.migrate(server, host=SOURCE)
        self.assertUnharmed(server, SOURCE)
        self.assertEqual({'R8', 'R11'}, self.kinds(server))
        self.assertTrue(self.do(server, 'hard_reboot').done)
        self.assertUnharmed(server, SOURCE)

    def force_down(self, down):
        """Not through the API, which wants the host to be back before it takes that back."""
        context = nova_context.get_admin_context()
        nova_context.set_target_cell(context, self.lab.stack.cell_mappings['cell1'])
        with self.lab.world.looking():
            # the source, too, may be dead then, and would be one that should see and does not
            for host in (SOURCE, DESTINATION):
                service = objects.Service.get_by_compute_host(context, host)
                service.forced_down = down
                service.last_seen_up = timeutils.utcnow(with_timezone=True) - (
                    datetime.timedelta(days=8 * down))
                service.save()

    def test_deletion(self):
        server = self.arrived()
        meanwhile = self.back_before(DESTINATION, 'cinder', 'attachments.delete')
        self.assertTrue(self.do(server, 'delete').done)
        self.lab.world.rule = None
        self.assertTrue(meanwhile.done)
        self.recover()
        self.assertEqual([], self.lab.world.harms)
        for host in (SOURCE, DESTINATION, THIRD):
            self.assertEqual(([], [], []), (self.transactions(host), self.exports(server, host),
                                            self.devices(server, host)))


class TestClaim(scenarios.ThirdHostTest):

    def claims(self, server):
        """consumer -> hosts, of the instance and of its migrations."""
        stack = self.lab.stack
        names = {v: k for k, v in stack.compute_rp_uuids.items()}
        consumers = [server.uuid, *(m['uuid'] for m in stack.admin_api.api_get(
            f'/os-migrations?instance_uuid={server.uuid}').body['migrations'])]
        return {c: sorted(names[p] for p in stack.placement.get(
            f'/allocations/{c}').body['allocations']) for c in consumers}

    def test_of_the_next_migration_is_not_what_the_first_one_left(self):
        server = self.arrived()
        seen = []

        def happens():
            rule, self.lab.world.rule = self.lab.world.rule, None
            with self.lab.world.looking():
                seen.append(self.claims(server))
            self.back(meanwhile=True)
            with self.lab.world.looking():
                seen.append(self.claims(server))
            seen.append(self.lab.log())
            self.lab.world.rule = rule
        self.lab.world.rule = scenarios.Meanwhile(DESTINATION, 'libvirt', 'jobStats', happens)
        self.lab.migrate(server, THIRD)
        self.lab.world.rule = None
        before, after, log = seen
        # the control: the instance has its claim on the third host by now, and not on the one
        # that the first migration went to; that one is the next migration's
        self.assertEqual([THIRD], before.pop(server.uuid))
        self.assertIn([DESTINATION], before.values())
        self.assertEqual([THIRD], after.pop(server.uuid))
        self.assertEqual(before, after)
        self.assertNotIn('heal_allocations', log)
        self.assertNotIn('R7', log)
        self.recover()
        self.assertClean(server, THIRD)
