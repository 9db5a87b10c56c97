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
"""Volumes of every number and kind, and devices that something holds."""

from __future__ import annotations

from oslo_serialization import jsonutils
from oslo_utils import timeutils

from migsafe.brick.guard import policy
from migsafe.replay.lab import faults
from migsafe.tests.functional import scenarios
from migsafe.tests.functional.scenarios import (
    DESTINATION,
    DESTINATION_DIES,
    JOB_FAILS,
    SOURCE,
    SOURCE_DIES,
)

#: what happens, and where the guest then is
ENDS = ((None, DESTINATION), (JOB_FAILS, SOURCE), (DESTINATION_DIES, SOURCE),
        (SOURCE_DIES, DESTINATION))


class TestVolumes(scenarios.ScenarioTest):

    def assertEnds(self, ends=ENDS, **given):
        for fault, host in ends:
            with self.subTest(str(fault), **given):
                result = self.run_case(*filter(None, [fault]), **given)
                self.assertEqual([], [str(r) for r in result.residue])
                self.assertEqual([], result.harms)
                self.assertEqual([host], result.running_on)
                self.assertEqual(((), True), (result.next_step.harms, result.next_step.done))

    def test_one(self):
        fault = scenarios.kill(DESTINATION, 'brick', 'connect_volume')
        self.assertEnds(((None, DESTINATION), (JOB_FAILS, SOURCE), (fault, SOURCE),
                         (SOURCE_DIES, DESTINATION)), volumes=1)

    def test_two(self):
        self.assertEnds()

    def test_twenty_six(self):
        last = scenarios.kill(DESTINATION, 'brick', 'connect_volume', nth=26)
        self.assertEnds(((None, DESTINATION), (JOB_FAILS, SOURCE), (last, SOURCE)), volumes=26)

    def test_legacy_flow(self):
        self.assertEnds(legacy=True)

    def test_several_backends(self):
        self.assertEnds(volumes=3, backends=('iscsi', 'rbd', 'iscsi-2'))

    def test_encrypted(self):
        self.assertEnds(encrypted=True)

    def test_multiattach(self):
        self.assertEnds(multiattach=True)


class TestIdentity(scenarios.ScenarioTest):
    """What was noted of a volume's identity goes where the volume goes."""

    def known(self, server):
        return {bdm.volume_id: jsonutils.loads(bdm.connection_info)['data']
                for bdm in self.bdms(server)}

    def test_it_travels(self):
        server = self.lab.new_server()
        for bdm in self.bdms(server):
            info = jsonutils.loads(bdm.connection_info)
            info['data'][policy.KEY] = [f'serial.{bdm.volume_id}']
            bdm.connection_info = jsonutils.dumps(info)
            with self.lab.world.looking():
                bdm.save()
        before = self.known(server)
        self.assertTrue(self.lab.migrate(server))
        for step in (None, 'hard_reboot'):
            with self.subTest(step=step):
                if step:
                    self.assertTrue(self.lab.what_if(server, step).done)
                after = self.known(server)
                for volume, data in before.items():
                    self.assertEqual([f'serial.{volume}'], after[volume][policy.KEY])
                    self.assertNotEqual(data['target_lun'], after[volume]['target_lun'])


class TestMade(scenarios.ScenarioTest):
    """Cinder has made an attachment, and the connection is cut before it says so."""

    def test_it_is_deleted(self):
        for nth in (1, 2):
            server = self.guest()
            self.migrate(server, faults.Fault('cinder', 'attachments.create', 'connect-failure',
                                              DESTINATION, nth=nth, when='after'))
            self.recover()
            self.assertClean(server, SOURCE)
            named = {bdm.attachment_id for bdm in self.bdms(server)}
            self.assertEqual(named, {one.id for volume in server.volumes
                                     for one in self.lab.parts.cinder.of_volume(volume)})
            self.lab.clean()


class TestSharedVolume(scenarios.ScenarioTest):
    """A multiattach volume that another guest on the destination uses, too."""

    def neighbour(self, server, host=DESTINATION):
        body = {'name': 'neighbour', 'imageRef': '', 'flavorRef': '1', 'host': host,
                'networks': 'none', 'block_device_mapping_v2': [
                    {'boot_index': 0, 'uuid': server.volumes[1], 'source_type': 'volume',
                     'destination_type': 'volume'}]}
        made = self.lab.stack.admin_api.post_server({'server': body})
        self.lab.wait()
        shown = self.lab.stack.admin_api.get_server(made['id'])
        self.assertEqual('ACTIVE', shown['status'], shown.get('fault'))
        self.lab.world.volumes = list(server.volumes)
        self.lab.world.reset()
        return made['id']

    def test_survives(self):
        undone = faults.Fault('neutron', 'update_port', 'neutron-500', DESTINATION)
        for fault, host in (*ENDS, (undone, SOURCE)):
            with self.subTest(str(fault)):
                self.lab.clean()
                server = self.guest(multiattach=True)
                other = self.neighbour(server)
                self.migrate(server, *filter(None, [fault]))
                for dead in self.lab.dead():
                    self.lab.restart(dead)
                self.recover()
                self.assertClean(server, host)
                self.assertIn(1, self.devices(server, DESTINATION))
                theirs = [a for a in self.lab.parts.cinder.of_volume(server.volumes[1])
                          if a.instance_uuid == other]
                self.assertEqual([(DESTINATION, 'attached')],
                                 [(a.host, a.status) for a in theirs])
                domain, = [d for d in self.lab.parts.connections[DESTINATION]._vms.values()
                           if d.UUIDString() == other]
                self.assertTrue(domain.runs)


    def test_neighbour_that_is_just_coming(self):
        """It migrates to the same host: of its new attachment Cinder tells no host yet."""
        server = self.guest(multiattach=True)
        other = self.neighbour(server, SOURCE)
        cinder = self.lab.parts.cinder
        coming = cinder.create(server.volumes[1], {'host': DESTINATION}, other)
        self.migrate(server, JOB_FAILS)
        self.recover()
        self.assertUnharmed(server, SOURCE)
        self.assertEqual([1], self.devices(server, DESTINATION))
        self.assertEqual([1], self.exports(server, DESTINATION))
        tx, = self.transactions(SOURCE)
        for word in (server.volumes[1], other, coming.id, DESTINATION):
            self.assertIn(word, tx.reason)
        # it has come, with the device that is there
        cinder.complete(coming.id)
        self.recover()
        self.assertEqual([], self.lab.world.harms)
        self.assertEqual([1], self.devices(server, DESTINATION))
        self.assertEqual([], self.transactions(SOURCE))
        mine = [a.host for a in cinder.of_volume(server.volumes[1])
                if a.instance_uuid == server.uuid]
        self.assertEqual([SOURCE], mine)


class TestHolder(scenarios.ScenarioTest):
    """Host LVM holds the root disk on the source, as in incident 001."""

    def test_migration_succeeds_and_the_export_is_held(self):
        server = self.guest()
        held = self.lab.parts.kernels[SOURCE].held
        held[server.volumes[0]] = 'vg0-root'
        self.addCleanup(held.clear)
        self.migrate(server)
        self.recover()
        self.assertUnharmed(server, DESTINATION)
        self.assertEqual('ACTIVE', self.lab.show(server)['status'])
        self.assertEqual({'R3', 'R4'}, self.kinds(server))
        self.assertEqual([0], self.devices(server, SOURCE))
        self.assertEqual([0], self.exports(server, SOURCE))
        tx, = self.transactions(SOURCE)
        self.assertEqual('COMMIT', tx.verdict)
        self.assertIn('map in use', tx.reason)
        self.assertLookedAtSoon(SOURCE)
        held.clear()
        self.recover()
        self.assertClean(server, DESTINATION)

    def test_failed_migration_with_a_holder_on_the_destination(self):
        server = self.guest()
        held = self.lab.parts.kernels[DESTINATION].held
        held[server.volumes[1]] = 'vg1-data'
        self.addCleanup(held.clear)
        self.migrate(server, JOB_FAILS)
        self.recover()
        self.assertUnharmed(server, SOURCE)
        self.assertEqual([1], self.exports(server, DESTINATION))
        self.assertEqual([1], self.devices(server, DESTINATION))
        self.assertEqual(set(), self.kinds(server) & {'R1', 'R2', 'R5', 'R6'})
        self.assertLookedAtSoon(SOURCE)
        held.clear()
        self.recover()
        self.assertClean(server, SOURCE)

    def assertLookedAtSoon(self, host):
        """However often it was tried before: within a minute after the holder goes."""
        for _ in range(8):
            self.recover()
        tx, = self.transactions(host)
        self.assertGreater(tx.attempts, 8)
        pause = tx.next_attempt_at - timeutils.utcnow()
        self.assertLessEqual(pause.total_seconds(), 30)


