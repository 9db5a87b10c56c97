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
"""Messages that arrive after their sender has given up, and hosts that are too slow."""

from __future__ import annotations

import contextlib
import os
import threading
from unittest import mock

import oslo_messaging as messaging
from nova.tests.fixtures import libvirt as fakelibvirt

from migsafe.replay.lab import faults, job
from migsafe.tests.functional import scenarios
from migsafe.tests.functional.matrix import client
from migsafe.tests.functional.scenarios import DESTINATION, JOB_FAILS, SOURCE


def late(name, host=SOURCE):
    return faults.Fault('rpc', name, 'late', host)


class SlowDestination:
    """A fault plan: pre_live_migration hangs on the destination while the source gives up."""

    def __init__(self, world):
        self._world = world
        self.go_on = threading.Event()
        self.hangs = threading.Event()
        self.ended = threading.Event()

    def around(self, effect, call, later):
        if effect.name == 'pre_live_migration':
            threading.Thread(target=self._world.carry(self._deliver), args=(call,)).start()
            self.hangs.wait(20)
            raise messaging.MessagingTimeout('No reply')
        if (effect.host, effect.name) == (DESTINATION, 'connect_volume'):
            self.hangs.set()
            self.go_on.wait(20)
        return call()

    def _deliver(self, call):
        with contextlib.suppress(Exception):
            # nobody waits for this reply
            call()
        self.ended.set()


class SlowConductor:
    """A fault plan: the conductor takes its time, and the source's recovery gets bored."""

    def __init__(self, test, message, seconds):
        self._test, self._message, self._seconds = test, message, seconds
        self.verdicts = None

    def around(self, effect, call, later):
        if effect.name.startswith(self._message) and self.verdicts is None:
            self.verdicts = []
            self._test.lab.pass_time(self._seconds)
            with self._test.lab.world.entered(self._test.lab.parts.processes[SOURCE]):
                participant = self._test.participant(SOURCE)
                participant.recovery.once()
                self.verdicts = [tx.verdict for tx in participant.journal.list()]
        return call()


class TestSlowConductor(scenarios.ScenarioTest):
    """Recovery takes up what the conductor is still working on."""

    def migrate_slowly(self, message, seconds):
        server = self.guest()
        before = len(self.participant(SOURCE).journal.list())
        slow = self.lab.world.rule = SlowConductor(self, message, seconds)
        self.lab.migrate(server)
        self.lab.world.rule = None
        self.assertIsNotNone(slow.verdicts)
        return server, len(slow.verdicts) - before

    def test_it_may_take_as_long_as_its_calls_may(self):
        server, adopted = self.migrate_slowly('check_can_live_migrate_destination', 1200)
        self.assertEqual(0, adopted)
        self.recover()
        self.assertClean(server, DESTINATION)

    def test_cast_comes_after_the_source_has_settled_it(self):
        for message in ('GET /allocation_candidates', 'check_can_live_migrate_destination',
                        'live_migration'):
            with self.subTest(message):
                self.lab.clean()
                server, adopted = self.migrate_slowly(message, 7200)
                self.assertEqual(1, adopted)
                self.assertUnharmed(server, SOURCE)
                self.assertNotIn('pre_live_migration',
                                 {e.name for e in self.lab.world.trace})
                said = self.fault_messages(server)
                self.assertIn('after it had been settled', said)
                self.assertIn('start a new one', said)
                self.recover()
                self.assertClean(server, SOURCE)
                self.assertEqual('ACTIVE', self.lab.show(server)['status'])
                self.assertTrue(self.do(server, 'hard_reboot').done)
                self.migrate(server)
                self.assertClean(server, DESTINATION)


class InTheMiddle:
    """A fault plan: what is late arrives before the first such effect."""

    def __init__(self, lab, host, name):
        self._lab, self._where = lab, (host, name)
        self.late = None

    def around(self, effect, call, later):
        if (effect.host, effect.name) == self._where and self.late is None:
            self.late = []
            self.late = self._lab.parts.bus.deliver_late()
        return call()


class TestLate(scenarios.ScenarioTest):

    def test_pre_live_migration(self):
        server = self.guest()
        self.migrate(server, late('pre_live_migration'))
        self.recover(1)
        self.assertEqual(['pre_live_migration to node11'], self.lab.late())
        self.assertIn('after it had been rolled back', self.lab.log())
        self.assertEqual([], self.devices(server, DESTINATION))
        self.assertEqual([], self.exports(server, DESTINATION))
        self.recover()
        self.assertClean(server, SOURCE)

    def test_pre_live_migration_that_goes_on_is_fenced(self):
        server = self.guest()
        own = self.luns(server)
        slow = self.lab.world.rule = SlowDestination(self.lab.world)
        self.lab.migrate(server)
        self.assertFalse(slow.ended.is_set())
        # the source has rolled back while that host still works
        self.assertEqual(own, self.luns(server))
        self.assertUnharmed(server, SOURCE)
        slow.go_on.set()
        self.assertTrue(slow.ended.wait(20))
        self.lab.world.rule = None
        self.assertEqual(own, self.luns(server))
        self.recover()
        self.assertClean(server, SOURCE)

    def test_remove_volume_connection_for_a_plain_source(self):
        plain = client.Laboratory(armed=False)
        self.addCleanup(plain.stop)
        name = f'transfer-fails,late:before:{SOURCE}:rpc:remove_volume_connection:1'
        control = plain.run(name)
        self.assertEqual([], control.unfired)
        # by then the row names the source's LUN, on that host somebody else's disk
        self.assertIn('foreign_yank', ' '.join(control.left))

        participant = self.participant(SOURCE)
        self.lab.stack.computes[SOURCE].manager.__dict__['_migsafe'] = None
        server = self.guest()
        try:
            self.migrate(server, JOB_FAILS, late('remove_volume_connection'))
            self.assertEqual(1, len(self.lab.late()))
        finally:
            self.lab.stack.computes[SOURCE].manager.__dict__['_migsafe'] = participant
        self.recover()
        self.assertUnharmed(server, SOURCE)
        self.assertEqual([], self.devices(server, DESTINATION))

    def test_rollback_at_destination_after_a_second_attempt_has_succeeded(self):
        server = self.guest()
        self.migrate(server, JOB_FAILS, late('rollback_live_migration_at_destination'))
        self.recover(1)
        self.assertUnharmed(server, SOURCE)
        self.migrate(server)
        self.assertUnharmed(server, DESTINATION)
        self.assertEqual(['rollback_live_migration_at_destination to node11'], self.lab.late())
        self.recover()
        self.assertClean(server, DESTINATION)
        self.assertTrue(self.do(server, 'stop_start').done)

    def test_rollback_at_destination_in_the_middle_of_a_second_attempt(self):
        for host, name in ((SOURCE, 'jobStats'), (DESTINATION, 'connect_volume')):
            with self.subTest(name):
                self.lab.clean()
                server = self.guest()
                self.migrate(server, JOB_FAILS, late('rollback_live_migration_at_destination'))
                self.recover(1)
                self.assertUnharmed(server, SOURCE)
                middle = self.lab.world.rule = InTheMiddle(self.lab, host, name)
                self.lab.migrate(server)
                self.lab.world.rule = None
                # it came, while the domain or the directory was that of the second attempt
                self.assertEqual(['rollback_live_migration_at_destination to node11'],
                                 middle.late)
                self.recover()
                self.assertClean(server, DESTINATION)
                self.assertTrue(self.do(server, 'hard_reboot').done)

    def test_rollback_at_destination_while_something_else_brings_it_there(self):
        for status, stays in (('pre-migrating', True), ('error', False)):
            with self.subTest(status):
                self.lab.clean()
                server = self.guest()
                self.migrate(server, JOB_FAILS, late('rollback_live_migration_at_destination'))
                self.recover(1)
                self.assertFalse(self.directory(server, DESTINATION))
                self.evacuation(server, status)
                self.assertEqual(1, len(self.lab.late()))
                # for one that is over Nova does what it does without migsafe
                self.assertIs(stays, self.directory(server, DESTINATION))
                self.assertIs(stays, 'brings it to node11' in self.lab.log())

    def evacuation(self, server, status):
        """A record of one, and the directory that it makes before the instance has its host."""
        from nova import context as nova_context
        from nova import objects
        context = nova_context.get_admin_context()
        nova_context.set_target_cell(context, self.lab.stack.cell_mappings['cell1'])
        with self.lab.world.looking():
            objects.Migration(
                context, instance_uuid=server.uuid, migration_type='evacuation', status=status,
                source_compute=SOURCE, source_node=SOURCE, dest_compute=DESTINATION).create()
        os.mkdir(os.path.join(self.lab.stack.host_options[DESTINATION]['instances_path'],
                              server.uuid))

    def test_rollback_at_destination_that_cannot_ask_libvirt(self):
        server = self.guest()
        self.migrate(server, JOB_FAILS, late('rollback_live_migration_at_destination'))
        self.recover(1)
        self.migrate(server)
        broken = mock.patch.object(
            self.lab.parts.connections[DESTINATION], 'lookupByUUIDString',
            side_effect=job.error('internal error: client socket is closed',
                                  fakelibvirt.VIR_ERR_INTERNAL_ERROR))
        with broken as asked:
            self.assertEqual(1, len(self.lab.late()))
        self.assertTrue(asked.called)
        self.assertUnharmed(server, DESTINATION)
        self.assertEqual([0, 1], self.devices(server, DESTINATION))
        self.assertTrue(self.directory(server, DESTINATION))
        self.recover()
        self.assertClean(server, DESTINATION)

    def test_the_destination_hears_late_that_the_guest_has_come(self):
        server = self.guest()
        self.migrate(server, late('post_live_migration_at_destination'))
        self.recover(1)
        self.lab.late()
        self.recover()
        self.assertClean(server, DESTINATION)
        self.assertTrue(self.do(server, 'hard_reboot').done)
