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
"""Incident 000 once more: a row leads to the disk of somebody else, and no migration tells it.

It was written by hand, or by a Nova that had no migsafe. Nothing of it is in any journal, and no
identity has been noted that the disk could be compared with.
"""

from __future__ import annotations

import contextlib
import json

from nova import context as nova_context
from nova import objects
from nova.conf import CONF

from migsafe.brick.kernel import disks
from migsafe.replay.lab import case, steps
from migsafe.replay.lab import faults as lab_faults
from migsafe.tests.functional import scenarios
from migsafe.tests.functional.scenarios import DESTINATION, SOURCE

#: A number that leads to somebody else's disk on the source, as in the incident.
WRONG = 3
#: The same on the destination.
WRONG_THERE = 90


class TestWrongRecord(scenarios.ScenarioTest):

    def setUp(self):
        super().setUp()
        self.addCleanup(CONF.clear_override, 'device_guards', 'migsafe')
        self.server = self.guest()
        self.right = self.luns(self.server)[0]

    def write(self, lun, number=0):
        """Into the row of a volume, past all that protects it."""
        context = nova_context.get_admin_context()
        nova_context.set_target_cell(context, self.lab.stack.cell_mappings['cell1'])
        with self.lab.world.looking():
            bdm = objects.BlockDeviceMapping.get_by_volume_and_instance(
                context, self.server.volumes[number], self.server.uuid)
            info = json.loads(bdm.connection_info)
            info['data']['target_lun'] = lun
            bdm.connection_info = json.dumps(info)
            bdm.save()

    @contextlib.contextmanager
    def unguarded(self):
        CONF.set_override('device_guards', False, 'migsafe')
        try:
            yield
        finally:
            CONF.clear_override('device_guards', 'migsafe')

    def harms(self):
        return {harm.kind for harm in self.lab.world.harms}

    def assertStarts(self):
        """It is stopped still."""
        self.assertIsNone(steps.api_action(self.lab.stack, self.server.uuid, {'os-start': None}))
        self.lab.wait()
        self.assertEqual('ACTIVE', self.lab.show(self.server)['status'])

    def test_control_without_it_the_guest_opens_the_disk_of_somebody_else(self):
        for operation in ('stop_start', 'hard_reboot'):
            with self.subTest(operation):
                self.lab.world.reset()
                self.write(WRONG)
                with self.unguarded():
                    self.do(self.server, operation)
                self.assertIn('foreign_open', self.harms())

    def test_stop_and_start(self):
        self.write(WRONG)
        step = self.do(self.server, 'stop_start')
        self.assertEqual(((), False, 'SHUTOFF'), (
            step.harms, step.done, self.lab.show(self.server)['status']))
        said = self.fault_messages(self.server)
        for word in (self.server.volumes[0], f'LUN {WRONG}', f'LUN {self.right}',
                     'the disk of somebody else', 'migsafe repair'):
            self.assertIn(word, said)
        self.write(self.right)
        self.assertStarts()
        self.assertClean(self.server, SOURCE)

    def test_hard_reboot_leaves_the_guest_running(self):
        """It runs on the right disk until then."""
        self.write(WRONG)
        step = self.do(self.server, 'hard_reboot')
        self.assertEqual(((), False, 'ACTIVE'), (
            step.harms, step.done, self.lab.show(self.server)['status']))
        self.assertEqual([SOURCE], self.lab.observer(self.server).running_on())
        self.write(self.right)
        self.assertTrue(self.do(self.server, 'hard_reboot').done)

    def test_control_without_it_a_detach_takes_the_disk_of_somebody_else(self):
        self.write(WRONG, number=1)
        with self.unguarded():
            self.do(self.server, 'detach')
        self.assertIn('foreign_yank', self.harms())

    def test_detach_and_delete_take_nothing_of_somebody_else(self):
        right = self.luns(self.server)[1]
        for operation in ('detach', 'delete'):
            with self.subTest(operation):
                self.write(WRONG, number=1)
                step = self.do(self.server, operation)
                self.assertEqual(((), False), (step.harms, step.done))
                self.write(right, number=1)

    def resized(self):
        """Moved to the destination, which waits for a word; a row leads elsewhere there."""
        self.assertIsNone(self.ask({'migrate': {'host': DESTINATION}}))
        self.assertEqual('VERIFY_RESIZE', self.lab.show(self.server)['status'])
        right = self.luns(self.server)[1]
        self.write(WRONG_THERE, number=1)
        self.lab.world.reset()
        return right

    def ask(self, body):
        refused = steps.api_action(self.lab.stack, self.server.uuid, body)
        self.lab.wait()
        return refused

    def test_control_without_it_a_revert_disconnects_the_disk_of_somebody_else(self):
        self.resized()
        with self.unguarded():
            self.ask({'revertResize': None})
        self.assertIn('foreign_yank', self.harms())

    def test_revert_of_a_resize(self):
        right = self.resized()
        self.assertIsNone(self.ask({'revertResize': None}))
        self.assertEqual((set(), 'VERIFY_RESIZE'), (
            self.harms(), self.lab.show(self.server)['status']))
        self.assertIn('the disk of somebody else', self.fault_messages(self.server))
        self.write(right, number=1)
        self.assertIsNone(self.ask({'revertResize': None}))
        self.assertUnharmed(self.server, SOURCE)
        self.assertEqual([], self.devices(self.server, DESTINATION))

    def kernel(self):
        """The paths of the lab's disks are all that there is of them."""
        self.patch(disks, 'of_path', lambda path: frozenset((path,)))

    def test_control_untold_by_the_kernel_the_source_takes_the_disk_of_somebody_else(self):
        self.patch(disks, 'of_path', lambda _path: frozenset())
        self.write(WRONG)
        self.migrate(self.server)
        self.assertIn('foreign_yank', self.harms())

    def test_live_migration_is_not_begun(self):
        """It runs on, and what is asked for with the right row is done."""
        self.kernel()
        self.write(WRONG)
        self.migrate(self.server)
        self.assertEqual((set(), 'ACTIVE'), (
            self.harms(), self.lab.show(self.server)['status']))
        self.assertEqual([SOURCE], self.lab.observer(self.server).running_on())
        self.assertEqual([], self.devices(self.server, DESTINATION))
        self.write(self.right)
        self.migrate(self.server)
        self.assertEqual([DESTINATION], self.lab.observer(self.server).running_on())
        self.assertClean(self.server, DESTINATION)

    def test_cinder_does_not_answer(self):
        """Nothing tells whose disk it is; when it does, all goes on."""
        fault = lab_faults.Fault('cinder', 'attachments.show', 'cinder-503',
                                 times=lab_faults.FOR_EVER)
        plan = self.lab.arm_faults(case.Case('scenario', (fault,)), 'migrate')
        step = self.do(self.server, 'stop_start')
        self.lab.world.rule = None
        self.assertEqual({fault}, {fired.fault for fired in plan.fired})
        self.assertEqual(((), False), (step.harms, step.done))
        self.assertStarts()
