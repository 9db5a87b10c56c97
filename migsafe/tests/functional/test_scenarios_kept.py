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
"""A volume is taken away (swap, retype, deletion of its server) while something holds it."""

from __future__ import annotations

import fixtures
from oslo_serialization import jsonutils

from migsafe.brick.guard import kept_devices
from migsafe.replay.lab import case, cinder, lab
from migsafe.tests.functional import scenarios
from migsafe.tests.functional.scenarios import DESTINATION, SOURCE

NEW = '0e9f3d2c-7a41-4c57-9b16-5d1f0a6b8e24'
PLAIN_IS_HARMED = {'guest_export_lost'}


class Swapping(scenarios.ScenarioTest):
    """What happens to the second volume of a guest, after Nova's API and Cinder did their part."""

    def replace(self, server, migration, holder='vg0-data'):
        """Replace it.

        :param migration: whether Cinder asked for it, and waits to be told of the end
        """
        from nova import context as nova_context
        from nova import objects
        old = server.volumes[1]
        parts = self.lab.parts
        parts.cinder.volumes[NEW] = cinder.Volume(NEW)
        if migration:
            parts.cinder.volumes[old].migration_status = 'migrating'
            parts.cinder.volumes[NEW].migration_status = f'target:{old}'
        attachment = parts.cinder.create(NEW, None, server.uuid)
        parts.cinder.volumes[old].status = 'detaching'
        kernel = parts.kernels[SOURCE]
        kernel.guarded, kernel.held = True, {old: holder} if holder else {}
        context = nova_context.get_admin_context()
        nova_context.set_target_cell(context, self.lab.stack.cell_mappings['cell1'])
        with self.lab.world.entered(parts.processes[SOURCE]):
            instance = objects.Instance.get_by_uuid(context, server.uuid)
            self.lab.stack.computes[SOURCE].manager.swap_volume(
                context, old, NEW, instance, attachment.id)
        return attachment

    def release(self):
        """The holder lets go."""
        self.lab.parts.kernels[SOURCE].held.clear()

    def of(self, volume):
        """(host, status) of each attachment of a volume."""
        return [(a.host, a.status) for a in self.lab.parts.cinder.of_volume(volume)]

    def row(self, server):
        """Nova's row of the second volume."""
        return sorted(self.bdms(server), key=lambda bdm: bdm.device_name)[1]

    def named(self, server):
        """What Nova's row of the second volume names: volume, attachment, volume of its LUN."""
        bdm = self.row(server)
        info = jsonutils.loads(bdm.connection_info)
        self.assertEqual({bdm.volume_id}, {info['serial'], info['data']['volume_id']})
        lun = info['data']['target_lun']
        return bdm.volume_id, bdm.attachment_id, self.lab.parts.san.arrays['iscsi'].leads_to(
            SOURCE, lun)

    def change(self, server, **values):
        """As if Nova had begun or ended something, or moved the instance."""
        from nova import context as nova_context
        from nova import objects
        context = nova_context.get_admin_context()
        nova_context.set_target_cell(context, self.lab.stack.cell_mappings['cell1'])
        with self.lab.world.looking():
            instance = objects.Instance.get_by_uuid(context, server.uuid)
            instance.update(values)
            instance.save()

    def opened(self, server):
        """The volumes that the guest has open."""
        domain, = self.lab.parts.connections[SOURCE]._vms.values()
        self.assertTrue(domain.runs)
        return set(domain._opened.values())

    def findings(self):
        """(kind, key, text) of what ``migsafe residue list`` shows of the source."""
        journal = self.participant(SOURCE).journal
        return [(f.kind, f.key, f.text) for f in journal.findings()]


class TestHeld(Swapping):
    """The guest is on the new volume once it has pivoted, whatever is with the old one."""

    def test_nothing_holds_it(self):
        for migration in (False, True):
            with self.subTest(migration=migration):
                self.lab.clean()
                server = self.guest()
                self.replace(server, migration, holder=None)
                name = server.volumes[1] if migration else NEW
                self.assertEqual(name, self.named(server)[0])
                self.assertEqual([], self.findings())
                self.assertEqual([], self.lab.world.harms)

    def test_swap(self):
        server = self.guest()
        old = server.volumes[1]
        attachment = self.replace(server, migration=False)
        self.assertEqual((NEW, attachment.id, NEW), self.named(server))
        self.assertEqual({server.volumes[0], NEW}, self.opened(server))
        self.assertEqual([(SOURCE, 'attached')], self.of(NEW))
        self.assertKept(server, old)
        self.release()
        self.recover(1)
        self.assertEqual([], self.of(old))
        self.assertOver(server, {server.volumes[0], NEW})

    def test_migration_of_cinder(self):
        server = self.guest()
        old = server.volumes[1]
        attachment = self.replace(server, migration=True)
        self.assertEqual((NEW, attachment.id, NEW), self.named(server))
        self.assertKept(server, old)
        self.assertEqual([], self.lab.parts.cinder.deleted)
        self.recover()
        self.assertKept(server, old)
        self.release()
        self.recover(1)
        self.assertEqual((old, attachment.id, old), self.named(server))
        self.assertEqual([NEW], self.lab.parts.cinder.deleted)
        self.assertEqual([(SOURCE, 'attached')], self.of(old))
        self.assertOver(server, set(server.volumes))

    def test_a_restart_forgets_nothing(self):
        server = self.guest()
        old = server.volumes[1]
        attachment = self.replace(server, migration=True)
        kept_devices.clear()
        self.assertTrue(self.lab.restart(SOURCE))
        self.assertKept(server, old)
        # of the attachments that no row names, Nova deletes each at a hard reboot
        self.assertTrue(self.do(server, 'hard_reboot').done)
        self.assertKept(server, old)
        self.release()
        self.recover(1)
        self.assertEqual((old, attachment.id, old), self.named(server))
        self.assertOver(server, set(server.volumes))

    def test_the_row_could_not_be_saved(self):
        """Cinder has exchanged the ids, and nova-compute dies before it writes that down."""
        server = self.guest()
        old = server.volumes[1]
        attachment = self.replace(server, migration=True)
        self.release()
        plan = self.lab.arm_faults(case.Case('scenario', (scenarios.kill(
            SOURCE, 'cinder', 'volumes.migrate_volume_completion'),)), 'migrate')
        self.recover(1)
        self.assertEqual(1, len(plan.fired))
        self.lab.world.rule = None
        self.assertEqual(NEW, self.row(server).volume_id)
        self.assertTrue(self.lab.restart(SOURCE))
        self.recover(1)
        self.assertEqual((old, attachment.id, old), self.named(server))
        self.assertOver(server, set(server.volumes))

    def test_a_live_migration_begins_in_the_exchange(self):
        """The destination has written its attachment and its LUN into the row by its end."""
        server = self.guest()
        old = server.volumes[1]
        self.replace(server, migration=True)
        self.release()
        parts, row = self.lab.parts, self.row(server)
        complete, theirs = parts.cinder.migrate_completion, []

        def meanwhile(*args):
            kept = complete(*args)
            theirs.append(parts.cinder.create(
                old, {'host': DESTINATION}, server.uuid))
            info = jsonutils.loads(row.connection_info)
            info['data']['target_lun'] = theirs[0].connection_info['target_lun']
            row.attachment_id, row.connection_info = theirs[0].id, jsonutils.dumps(info)
            row.save()
            self.change(server, task_state='migrating')
            return kept
        self.useFixture(fixtures.MockPatchObject(parts.cinder, 'migrate_completion', meanwhile))
        self.recover(1)
        self.assertEqual(1, len(theirs))
        self.assertEqual((NEW, theirs[0].id), self.named(server)[:2])
        self.assertIn('migrating', self.findings()[0][2])
        self.change(server, task_state=None)
        self.recover(1)
        volume, attachment, _ = self.named(server)
        self.assertEqual((old, theirs[0].id), (volume, attachment))
        lun = jsonutils.loads(self.row(server).connection_info)['data']['target_lun']
        self.assertEqual(old, parts.san.arrays['iscsi'].leads_to(DESTINATION, lun))

    def test_not_while_it_is_live_migrated(self):
        server = self.guest()
        old = server.volumes[1]
        self.replace(server, migration=True)
        self.release()
        self.change(server, task_state='migrating')
        self.recover(1)
        self.assertKept(server, old)
        self.assertEqual([], self.lab.parts.cinder.deleted)
        self.change(server, task_state=None)
        self.recover(1)
        self.assertEqual(old, self.named(server)[0])
        self.assertOver(server, set(server.volumes))

    def test_the_guest_has_left(self):
        """Nova can lock what changes its volumes on its own host only."""
        server = self.guest()
        old = server.volumes[1]
        self.replace(server, migration=True)
        self.release()
        self.change(server, host=DESTINATION)
        self.recover(1)
        self.assertEqual((NEW, []), (self.row(server).volume_id, self.lab.parts.cinder.deleted))
        self.assertEqual([], self.of(old))
        self.assertIn(f'--host {SOURCE}', self.findings()[0][2])
        self.change(server, host=SOURCE)
        self.recover(1)
        self.assertEqual(old, self.named(server)[0])
        self.assertOver(server, set(server.volumes))

    def test_the_guest_is_deleted_meanwhile(self):
        server = self.guest()
        old = server.volumes[1]
        self.replace(server, migration=False)
        self.assertTrue(self.do(server, 'delete').done)
        self.assertEqual([], self.of(NEW))
        self.assertEqual([(SOURCE, 'attached')], self.of(old))
        self.release()
        self.recover(1)
        self.assertEqual(([], []), (self.of(old), self.findings()))
        self.assertEqual([], self.lab.world.harms)

    def assertKept(self, server, old):
        self.assertEqual([], self.lab.world.harms)
        self.assertEqual([(SOURCE, 'attached')], self.of(old))
        self.assertEqual([1], self.exports(server, SOURCE)[1:])
        self.assertEqual([1], self.devices(server, SOURCE)[1:])
        (kind, key, text), = self.findings()
        self.assertEqual(('R4', old), (kind, key))
        for word in ('vg0-data', SOURCE, old):
            self.assertIn(word, text)

    def assertOver(self, server, volumes):
        self.assertEqual([], self.findings())
        self.assertEqual([], self.lab.world.harms)
        self.assertEqual(volumes, self.opened(server))
        self.assertEqual(2, len(self.lab.parts.kernels[SOURCE].devices))
        self.assertFalse(kept_devices.anything())


class TestDelete(Swapping):
    """A server is deleted while something holds one of its disks."""

    def told(self, server):
        """(action, event) of what migsafe has added to the actions of a server."""
        from nova import context as nova_context
        from nova import objects
        context = nova_context.get_admin_context(read_deleted='yes')
        nova_context.set_target_cell(context, self.lab.stack.cell_mappings['cell1'])
        with self.lab.world.looking():
            return [(action.action, event.event)
                    for action in objects.InstanceActionList.get_by_instance_uuid(
                        context, server.uuid)
                    for event in objects.InstanceActionEventList.get_by_action(
                        context, action.id) if event.event.startswith('migsafe')]

    def test_it_is_deleted_and_the_export_stays(self):
        server = self.guest()
        kernel = self.lab.parts.kernels[SOURCE]
        kernel.guarded, kernel.held = True, {server.volumes[0]: 'vg0-root'}
        self.assertTrue(self.do(server, 'delete').done)
        self.assertEqual([], self.lab.world.harms)
        self.assertEqual(([0], [0]), (self.exports(server, SOURCE), self.devices(server, SOURCE)))
        (kind, key, text), = self.findings()
        self.assertEqual(('R4', server.volumes[0]), (kind, key))
        self.assertIn('vg0-root', text)
        self.assertEqual([('delete', f'migsafe_volume_{server.volumes[0]}_stays_in_use')],
                         self.told(server))
        self.recover(1)
        self.assertEqual([0], self.exports(server, SOURCE))
        self.release()
        self.recover(1)
        self.assertEqual(([], []), (self.exports(server, SOURCE), self.devices(server, SOURCE)))
        self.assertEqual([], self.findings())
        self.assertEqual([], self.lab.world.harms)
        self.assertEqual({'available'}, {
            self.lab.parts.cinder.volumes[volume].status for volume in server.volumes})


    def doomed(self, **given):
        """A server that is deleted with its volumes, while its root disk is held."""
        server = self.guest(deleted_with=True, **given)
        kernel = self.lab.parts.kernels[SOURCE]
        kernel.guarded, kernel.held = True, {server.volumes[0]: 'vg0-root'}
        self.assertTrue(self.do(server, 'delete').done)
        return server

    def test_volumes_that_go_with_it(self):
        server = self.doomed()
        root, data = server.volumes
        deleted = self.lab.parts.cinder.deleted
        self.assertEqual([data], deleted)
        self.assertEqual({('R4', root), ('R4-delete', root)}, {f[:2] for f in self.findings()})
        self.recover(1)
        self.assertEqual(([0], [data]), (self.exports(server, SOURCE), deleted))
        self.release()
        kept_devices.clear()
        self.assertTrue(self.lab.restart(SOURCE))
        self.recover(1)
        self.assertEqual(([], [data, root]), (self.findings(), deleted))
        self.assertEqual(([], []), (self.exports(server, SOURCE), self.devices(server, SOURCE)))
        self.assertEqual([], self.lab.world.harms)

    def test_nothing_holds_the_volumes_that_go_with_it(self):
        server = self.guest(deleted_with=True)
        self.assertTrue(self.do(server, 'delete').done)
        self.assertCountEqual(list(server.volumes), self.lab.parts.cinder.deleted)
        self.assertEqual([], self.findings())

    def test_a_volume_that_somebody_else_has_freed_meanwhile(self):
        """It may be anybody's by now, and it is not deleted, attached or not."""
        for attached in (False, True):
            with self.subTest(attached=attached):
                self.lab.clean()
                server = self.doomed()
                root, data = server.volumes
                parts = self.lab.parts
                parts.cinder.delete(parts.cinder.of_volume(root)[0].id)
                if attached:
                    parts.cinder.create(root, None, NEW)
                self.release()
                self.recover(2)
                self.assertEqual(([], [data]), (self.findings(), parts.cinder.deleted))
                self.assertIn(root, parts.cinder.volumes)

    def test_a_shared_volume_is_left_to_cinder(self):
        """Nova asks for it, Cinder refuses, and nobody asks again."""
        server = self.doomed(multiattach=True)
        root, data = server.volumes
        self.assertEqual([('R4', root)], [f[:2] for f in self.findings()])
        self.release()
        self.recover(1)
        self.assertEqual(([], [data]), (self.findings(), self.lab.parts.cinder.deleted))

    def test_without_an_attachment(self):
        server = self.guest(legacy=True)
        root = server.volumes[0]
        kernel = self.lab.parts.kernels[SOURCE]
        kernel.guarded, kernel.held = True, {root: 'vg0-root'}
        self.assertTrue(self.do(server, 'delete').done)
        self.assertEqual([], self.lab.world.harms)
        self.assertEqual(([0], [0]), (self.exports(server, SOURCE), self.devices(server, SOURCE)))
        done = [(e.name, e.volume) for e in self.lab.world.trace if e.kind == 'cinder']
        for name in ('volumes.terminate_connection', 'volumes.detach'):
            self.assertEqual([(name, 1)], [one for one in done if one[0] == name])
        (kind, key, text), = self.findings()
        self.assertEqual(('R4-legacy', root), (kind, key))
        for word in ('vg0-root', SOURCE, f'--reset-migration-status {root}'):
            self.assertIn(word, text)
        # nothing is left to try again with: a person has to see to it, and says so
        self.release()
        kept_devices.clear()
        self.assertTrue(self.lab.restart(SOURCE))
        self.recover(1)
        self.assertEqual(([0], 1), (self.exports(server, SOURCE), len(self.findings())))
        self.lab.parts.cinder.volumes[root].status = 'available'
        self.recover(1)
        self.assertEqual(([], False), (self.findings(), kept_devices.anything()))


class TestControl(Swapping):
    """Without the seams of migsafe: the same, and the running guest loses its disk."""

    @classmethod
    def setUpClass(cls):
        super(scenarios.ScenarioTest, cls).setUpClass()
        cls.lab = lab.Lab(armed=False)
        cls.lab.start()
        cls.addClassCleanup(cls.lab.stop)

    def _forget(self):
        """There is no journal."""

    def test_delete_harms(self):
        server = self.guest()
        kernel = self.lab.parts.kernels[SOURCE]
        kernel.guarded, kernel.held = True, {server.volumes[0]: 'vg0-root'}
        self.assertTrue(self.do(server, 'delete').done)
        self.assertEqual(['export_yank'], [h.kind for h in self.lab.world.harms])
        self.assertEqual(([], [0]), (self.exports(server, SOURCE), self.devices(server, SOURCE)))

    def test_it_is_harmed(self):
        from migsafe.brick import refusals
        for migration in (False, True):
            with self.subTest(migration=migration):
                self.lab.clean()
                server = self.guest()
                self.assertRaises(refusals.VolumeHeld, self.replace, server, migration)
                self.assertEqual(PLAIN_IS_HARMED, {h.kind for h in self.lab.world.harms})
                self.assertEqual([], self.of(NEW))
                self.assertEqual(server.volumes[1], self.named(server)[0])
                self.assertEqual([NEW] if migration else [], self.lab.parts.cinder.deleted)
