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
"""What an owner and an operator do with a guest whose migration is not settled."""

from __future__ import annotations

import datetime
import time
from unittest import mock

import oslo_messaging as messaging
from nova import context as nova_context
from nova import objects

from migsafe.replay.lab import case, faults, observe, steps
from migsafe.tests.functional import scenarios
from migsafe.tests.functional.scenarios import DESTINATION, JOB_FAILS, SOURCE, THIRD

#: operation -> (what the API is asked for, what the guest must be before, its name in a refusal)
OPERATIONS = {
    'resize': ({'resize': {'flavorRef': '2'}}, None, 'resize refused'),
    'cold migration': ({'migrate': None}, None, 'resize refused'),
    'rebuild': ({'rebuild': {'imageRef': '155d900f-4e14-4e4c-a73d-069cbf4541e6'}}, None,
                'rebuild refused'),
    'shelve': ({'shelve': None}, None, 'shelve offload refused'),
}
#: Of Nova's own fixture; the second one has a kernel and a ramdisk of its own.
IMAGES = ('155d900f-4e14-4e4c-a73d-069cbf4541e6', 'c905cedb-7281-47e4-8a62-f26bc5fc4c77')
#: The same for what is a step of its own in the laboratory.
REFUSALS = {'hard_reboot': ('reboot refused',), 'delete': ('delete refused',)}


class OwnerTest(scenarios.ScenarioTest):

    def ask(self, server, body):
        """Any server action; why the API refuses it, or None."""
        refused = steps.api_action(self.lab.stack, server.uuid, body)
        self.lab.wait()
        return refused


class AnswerLost:
    """A fault plan: the destination takes the guest over, its answer is lost, and the guest goes
    on to a third host before its source has waited long enough for that answer."""

    def __init__(self, goes_on):
        self._goes_on, self.done = goes_on, False

    def around(self, effect, call, later):
        result = call()
        if (effect.host, effect.name) == (SOURCE, 'post_live_migration_at_destination'):
            self.done = True
            self._goes_on()
            raise messaging.MessagingTimeout('No reply')
        return result


class TestWrongHost(OwnerTest):
    """A source without migsafe writes the host that the guest was on into Nova's record when it
    has gone on from there."""

    third = True

    def misled(self):
        """A guest that runs on the third host, while its record names the second."""
        server = self.guest()

        def goes_on():
            rule, self.lab.world.rule = self.lab.world.rule, None
            self.next_migration(server)
            self.lab.world.rule = rule
        lost = self.lab.world.rule = AnswerLost(goes_on)
        with mock.patch.multiple(self.lab.stack.computes[SOURCE].manager, _migsafe=None):
            self.lab.migrate(server)
        self.lab.world.rule = None
        self.assertTrue(lost.done)
        self.assertUnharmed(server, THIRD)
        self.assertEqual(DESTINATION, self.record(server).host)
        return server

    def next_migration(self, server):
        """From the second host to the third, while the first still waits in a thread."""
        body = {'os-migrateLive': {'host': THIRD, 'block_migration': 'auto'}}
        self.assertIsNone(steps.api_action(self.lab.stack, server.uuid, body))
        for _ in range(6000):
            if self.lab.show(server)['OS-EXT-SRV-ATTR:host'] == THIRD and not any(
                    self.transactions(host) for host in (DESTINATION, THIRD)):
                return
            time.sleep(0.05)
        self.fail(f'it does not come to {THIRD}')

    def test_nothing_is_done_there(self):
        for name in ('hard_reboot', 'delete'):
            with self.subTest(name):
                self.lab.clean()
                self.lab.forget()
                server = self.misled()
                self.do(server, name)
                for word in (*REFUSALS[name], 'is not on', THIRD):
                    self.assertIn(word, self.fault_messages(server))
                self.assertUnharmed(server, THIRD)
                self.assertEqual(len(server.volumes), len(self.exports(server, THIRD)))
                self.put_right(server)
                self.assertTrue(self.do(server, 'hard_reboot').done)
                self.assertUnharmed(server, THIRD)

    @staticmethod
    def record(server):
        return objects.Instance.get_by_uuid(nova_context.get_admin_context(), server.uuid)

    def put_right(self, server):
        """What a person has to write."""
        instance = self.record(server)
        node = objects.ComputeNode.get_first_node_by_host_for_old_compat(
            nova_context.get_admin_context(), THIRD)
        instance.host = THIRD
        instance.node, instance.compute_id = node.hypervisor_hostname, node.id
        instance.vm_state, instance.task_state = 'active', None
        instance.save()


class TestRowsOfTheOtherHost(OwnerTest):
    """Cinder is down when Nova rolls back: the rows still name the destination's LUNs."""

    def test_stays_busy_until_they_are_right(self):
        outage = faults.Fault('cinder', 'attachments.list', 'cinder-500', SOURCE,
                              times=faults.FOR_EVER)
        # what the API lets through differs; with its state reset, it is the gates that say no
        for name in ('hard_reboot', 'shelve', 'rebuild', 'resize', 'delete'):
            with self.subTest(name):
                self.lab.clean()
                self.lab.forget()
                server = self.guest()
                own = self.luns(server)
                # as of the check on the destination, for a guest with such a device
                manager = self.lab.stack.computes[DESTINATION].manager
                manager.driver.instance_claimed_mdevs[server.uuid] = ['mdev']
                plan = self.lab.arm_faults(case.Case('outage', (JOB_FAILS, outage)), 'migrate')
                self.lab.migrate(server)
                self.assertEqual({JOB_FAILS, outage}, {f.fault for f in plan.fired})
                self.assertIn('is not rolled back', self.fault_messages(server))
                self.assertNotIn('rollback_live_migration_at_destination',
                                 [e.name for e in self.lab.world.trace])
                theirs = self.luns(server)
                self.assertNotEqual(own, theirs)
                self.assertIsNone(self.ask(server, {'os-resetState': {'state': 'active'}}))
                if name in OPERATIONS:
                    self.assertIsNone(self.ask(server, OPERATIONS[name][0]))
                else:
                    self.do(server, name)
                self.assertIn(OPERATIONS.get(name, REFUSALS.get(name))[-1] + ': ',
                              self.fault_messages(server))
                self.assertUnharmed(server, SOURCE)
                self.assertEqual(theirs, self.luns(server))
                self.lab.world.rule = None
                self.recover()
                self.assertUnharmed(server, SOURCE)
                self.assertEqual(own, self.luns(server))
                self.assertEqual({}, manager.driver.instance_claimed_mdevs)
                # of Nova 34: a graceful shutdown waits for it. A resize that fails on its
                # source leaves one of its own, with or without migsafe.
                self.assertEqual({}, getattr(manager, '_pending_dest_live_migrations', {}))
                self.assertEqual([], [
                    task for task in getattr(manager, '_in_progress_tasks', {}).values()
                    if task['name'] == 'live_migration_at_dest'])
                # the owner's wish to delete it stays
                self.assertEqual([], [str(r) for r in self.residue(server)
                                      if name != 'delete' or r.kind != 'R6'])


class TestHeld(OwnerTest):
    """The guest runs on the source, and something holds a device on the destination."""

    def held(self, **given):
        server = self.guest(**given)
        held = self.lab.parts.kernels[DESTINATION].held
        held[server.volumes[1]] = 'vg1-data'
        self.addCleanup(held.clear)
        self.migrate(server, JOB_FAILS)
        self.recover()
        self.assertUnharmed(server, SOURCE)
        self.assertEqual('ACTIVE', self.lab.show(server)['status'])
        self.assertEqual([1], self.devices(server, DESTINATION))
        return server

    def test_evacuation(self):
        """To the host on which something is held; its own is down by then."""
        server = self.held()
        self.power_off(SOURCE)
        self.force_down(True)
        self.addCleanup(self.force_down, False)
        left = sorted(map(str, self.residue(server)))
        self.assertIsNone(self.ask(server, {'evacuate': {}}))
        said = self.fault_messages(server)
        for word in ('evacuation refused', 'is not settled', 'migsafe settle'):
            self.assertIn(word, said)
        self.assertEqual(left, sorted(map(str, self.residue(server))))
        self.assertEqual('ACTIVE', self.lab.show(server)['status'])

    def force_down(self, down):
        service = self.lab.stack.computes[SOURCE].service_ref.uuid
        self.lab.stack.admin_api.put_service_force_down(service, down)
        self.heard(SOURCE, datetime.timedelta(days=8 * down))

    def image(self, server):
        """All that Nova knows of a guest's image, and of it the scheduler."""
        context = nova_context.get_admin_context()
        nova_context.set_target_cell(context, self.lab.stack.cell_mappings['cell1'])
        with self.lab.world.looking():
            instance = objects.Instance.get_by_uuid(
                context, server.uuid, expected_attrs=['system_metadata'])
            spec = objects.RequestSpec.get_by_instance_uuid(context, server.uuid)
            names = ('image_ref', 'kernel_id', 'ramdisk_id', 'os_type', 'architecture', 'vm_mode')
            return ({name: getattr(instance, name) for name in names},
                    {key: value for key, value in instance.system_metadata.items()
                     if key.startswith('image_')},
                    spec.image.id)

    def test_refused_rebuild_gives_the_old_image_back(self):
        """The API has recorded the new one; the disk is of the old one."""
        server = self.held(image=IMAGES[0])
        before = self.image(server)
        self.assertIsNone(self.ask(server, {'rebuild': {'imageRef': IMAGES[1]}}))
        self.assertIn('rebuild refused', self.fault_messages(server))
        self.assertEqual('ACTIVE', self.lab.show(server)['status'])
        self.assertEqual(before, self.image(server))
        self.lab.parts.kernels[DESTINATION].held.clear()
        self.recover()
        self.assertIsNone(self.ask(server, {'rebuild': {'imageRef': IMAGES[1]}}))
        # the control: done for real, each part of it is another
        self.assertEqual([False] * 3, [a == b for a, b in zip(before, self.image(server),
                                                              strict=True)])

    def test_deletion_that_a_restart_has_cut_short(self):
        """It was let through, since its rows are right; only a start takes it up again."""
        for effect in (('cinder', 'attachments.delete'), ('placement', 'DELETE /allocations/*')):
            with self.subTest(effect[1]):
                self.lab.clean()
                self.lab.forget()
                server = self.held()
                killed = scenarios.kill(SOURCE, *effect, when='before')
                plan = self.lab.arm_faults(case.Case('cut short', (killed,)), 'migrate')
                self.do(server, 'delete')
                self.assertEqual([killed], [f.fault for f in plan.fired])
                self.lab.world.rule = None
                self.assertEqual([], self.lab.observer(server).running_on())
                self.assertIsNotNone(observe.records(self.lab.stack, server.uuid))
                self.assertTrue(self.lab.restart(SOURCE))
                self.assertIsNone(observe.records(self.lab.stack, server.uuid))
                self.assertEqual([1], self.exports(server, DESTINATION))
                self.lab.parts.kernels[DESTINATION].held.clear()
                self.recover()
                self.assertEqual([], self.lab.world.harms)
                self.assertEqual([], [str(r) for r in self.residue(server)])

    def test_a_resume_is_not_made_worse_by_what_the_other_host_holds(self):
        server = self.held()
        self.assertIsNone(self.ask(server, {'suspend': None}))
        self.assertEqual('SUSPENDED', self.lab.show(server)['status'])
        left, own = sorted(map(str, self.residue(server))), self.luns(server)
        self.assertIsNone(self.ask(server, {'resume': None}))
        self.assertEqual('ACTIVE', self.lab.show(server)['status'])
        self.assertUnharmed(server, SOURCE)
        self.assertEqual((left, own),
                         (sorted(map(str, self.residue(server))), self.luns(server)))

    def test_refused_and_as_usable_as_before(self):
        for name, (body, before, refusal) in OPERATIONS.items():
            with self.subTest(name):
                self.lab.clean()
                self.lab.forget()
                server = self.held()
                if before:
                    self.assertIsNone(self.ask(server, before))
                shown = self.lab.show(server)
                left = sorted(map(str, self.residue(server)))
                own = self.luns(server)
                self.assertIsNone(self.ask(server, body))
                said = self.fault_messages(server)
                for word in (refusal, 'is not settled', DESTINATION, 'migsafe settle'):
                    self.assertIn(word, said)
                now = self.lab.show(server)
                for key in ('status', 'OS-EXT-STS:task_state', 'OS-EXT-SRV-ATTR:host'):
                    self.assertEqual(shown[key], now[key], key)
                self.assertEqual(own, self.luns(server))
                self.assertEqual(left, sorted(map(str, self.residue(server))))
                self.assertEqual([], self.lab.world.harms)
                # and when that is gone, it is done
                self.lab.parts.kernels[DESTINATION].held.clear()
                self.recover()
                self.assertEqual([], [str(r) for r in self.residue(server)])
                self.assertIsNone(self.ask(server, body))
                self.assertNotEqual(shown['status'], self.lab.show(server)['status'])
                self.assertEqual([], self.lab.world.harms)
