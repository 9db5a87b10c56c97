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
"""The other host is down, rebooted, gone for good, or does not know migsafe."""

from __future__ import annotations

from unittest import mock

from nova.tests.fixtures import libvirt as fakelibvirt
from oslo_serialization import jsonutils

from migsafe.nova.seams import gates, refusals, rows_read
from migsafe.replay.lab import faults as lab_faults
from migsafe.replay.lab import job
from migsafe.tests.functional import scenarios
from migsafe.tests.functional.scenarios import (
    DESTINATION,
    DESTINATION_DIES,
    JOB_FAILS,
    SOURCE,
    SOURCE_DIES,
)

#: operations that start a guest from its rows -> what a refusal calls them
STARTS = {'hard_reboot': 'reboot', 'stop_start': 'start'}


class TestPeerDown(scenarios.ScenarioTest):

    def broken(self):
        server = self.guest()
        self.migrate(server, DESTINATION_DIES)
        self.assertEqual([DESTINATION], self.lab.dead())
        self.recover()
        return server

    def test_hold_and_nothing_torn_down(self):
        server = self.broken()
        self.assertUnharmed(server, SOURCE)
        # the rows are right at once: from here on any reboot is
        self.assertEqual(set(), self.kinds(server) & {'R1', 'R2', 'R5', 'R10'})
        # nobody knows whether that host still uses them
        self.assertEqual([0, 1], self.devices(server, DESTINATION))
        self.assertEqual([0, 1], self.exports(server, DESTINATION))
        tx, = self.transactions(SOURCE)
        self.assertEqual('ABORT', tx.verdict)
        self.assertIn(DESTINATION, tx.reason)

    def test_operations_are_refused_with_the_reason(self):
        server = self.broken()
        step = self.do(server, 'detach')
        self.assertEqual((), step.harms)
        said = self.fault_messages(server)
        for expected in ('detach refused', 'is not settled', DESTINATION, 'migsafe settle',
                         'server reboot --hard'):
            self.assertIn(expected, said)
        self.assertEqual([0, 1], self.exports(server, SOURCE))
        self.assertEqual([0, 1], self.exports(server, DESTINATION))
        self.lab.restart(DESTINATION)
        self.recover()
        self.assertEqual([], self.lab.world.harms)

    def test_started_anew_while_it_is_away(self):
        server = self.broken()
        for operation in STARTS:
            with self.subTest(operation):
                self.assertTrue(self.do(server, operation).done)
                self.assertUnharmed(server, SOURCE)
                self.assertEqual([0, 1], self.devices(server, SOURCE))
                # what it has is as it was
                self.assertEqual([0, 1], self.devices(server, DESTINATION))
                self.assertEqual([0, 1], self.exports(server, DESTINATION))
        self.assertTrue(self.lab.restart(DESTINATION))
        self.recover()
        self.assertClean(server, SOURCE)
        self.assertUnharmed(server, SOURCE)

    def late_row(self, server, operation):
        """One of them, with a row that the other host writes between the look at it and Nova's
        reading of it."""
        def write(participant, instance, *args, **kwargs):
            reason = settle_first(participant, instance, *args, **kwargs)
            row = self.bdms(server)[0]
            made = next(one for one in self.lab.parts.cinder.attachments.values()
                        if one.volume_id == row.volume_id and one.id != row.attachment_id)
            row.attachment_id = made.id
            row.connection_info = jsonutils.dumps(made.connection_info)
            row.save()
            self.written.append(reason)
            return reason
        settle_first, self.written = gates.settle_first, []
        with mock.patch.object(gates, 'settle_first', write), \
                mock.patch.object(refusals.left, 'refusal', return_value=None):
            return self.do(server, operation)

    def test_a_row_that_is_written_meanwhile(self):
        for operation, name in STARTS.items():
            with self.subTest(operation):
                self.lab.clean()
                server = self.broken()
                step = self.late_row(server, operation)
                self.assertEqual(([None], False, ()), (self.written, step.done, step.harms))
                self.assertIn(f'{name} refused: a row of instance', self.fault_messages(server))

    def test_without_that_look_it_would_be_read(self):
        for operation in STARTS:
            with self.subTest(operation):
                self.lab.clean()
                server = self.broken()
                with mock.patch.object(rows_read, 'check'):
                    step = self.late_row(server, operation)
                self.assertEqual([None], self.written)
                self.assertNotIn('refused', self.fault_messages(server))
                self.assertFalse(step.done and not step.harms, step)

    def test_clean_when_it_is_back(self):
        server = self.broken()
        self.assertTrue(self.lab.restart(DESTINATION))
        self.recover()
        self.assertClean(server, SOURCE)
        self.assertTrue(self.do(server, 'hard_reboot').done)

    def test_clean_when_it_was_rebooted(self):
        server = self.broken()
        self.assertTrue(self.lab.restart(DESTINATION, reboot=True))
        self.recover()
        self.assertClean(server, SOURCE)

    def test_source_rebooted_after_the_guest_had_left(self):
        server = self.guest()
        self.migrate(server, SOURCE_DIES)
        self.assertTrue(self.lab.restart(SOURCE, reboot=True))
        self.recover()
        self.assertClean(server, DESTINATION)


class TestPeerNeverBack(scenarios.ScenarioTest):

    def test_destination(self):
        server = self.guest()
        self.migrate(server, DESTINATION_DIES)
        self.power_off(DESTINATION)
        self.recover()
        self.assertEqual([0, 1], self.exports(server, DESTINATION))
        self.force_down(DESTINATION)
        self.recover()
        self.assertUnharmed(server, SOURCE)
        self.assertEqual([], self.exports(server, DESTINATION))
        # its disk cannot be reached
        self.assertEqual({'R11'}, self.kinds(server) | {'R11'})
        self.assertEqual([], self.transactions(SOURCE))
        self.assertTrue(self.do(server, 'hard_reboot').done)

    def test_destination_comes_back_after_all(self):
        server = self.guest()
        self.migrate(server, DESTINATION_DIES)
        self.power_off(DESTINATION)
        self.force_down(DESTINATION)
        self.recover()
        self.lab.restart(DESTINATION)
        self.recover()
        self.assertClean(server, SOURCE)

    def test_source(self):
        server = self.guest()
        self.migrate(server, SOURCE_DIES)
        self.power_off(SOURCE)
        self.recover()
        self.assertUnharmed(server, DESTINATION)
        self.force_down(SOURCE)
        self.recover()
        self.assertUnharmed(server, DESTINATION)
        self.assertEqual([], self.exports(server, SOURCE))
        self.assertEqual({'R11'}, self.kinds(server) | {'R11'})
        self.assertEqual([], self.transactions(DESTINATION))
        self.assertTrue(self.do(server, 'hard_reboot').done)

    def test_destination_that_answers_is_dead_only_for_the_boot_before(self):
        server = self.guest()
        self.migrate(server, scenarios.kill(SOURCE, 'rpc', 'pre_live_migration'))
        self.assertTrue(self.lab.restart(SOURCE, reboot=True))
        # as ``migsafe settle --peer-is-dead`` does
        journal = self.participant(SOURCE).journal
        tx, = journal.unsettled()
        journal.request(tx, 'peer_is_dead', {'host': DESTINATION, 'user': 'operator'})
        for reboot, verdict in ((False, 'HOLD'), (True, 'ABORT')):
            if reboot:
                self.assertTrue(self.lab.restart(DESTINATION, reboot=True))
            with self.broken_libvirt(DESTINATION) as asked:
                self.recover()
            self.assertTrue(asked.called)
            tx, = self.transactions(SOURCE)
            self.assertEqual(verdict, tx.verdict)
            # it is alive: what it cannot look at stays exported
            self.assertEqual([0, 1], self.exports(server, DESTINATION))
        self.assertEqual(set(), self.kinds(server) & {'R1', 'R2', 'R5', 'R6'})
        self.recover()
        self.assertEqual([], self.residue(server))
        self.assertTrue(self.do(server, 'stop_start').done)
        self.assertClean(server, SOURCE)

    def broken_libvirt(self, host):
        return mock.patch.object(
            self.lab.parts.connections[host], 'lookupByUUIDString',
            side_effect=job.error('internal error: client socket is closed',
                                  fakelibvirt.VIR_ERR_INTERNAL_ERROR))

    def test_a_living_peer_is_not_dead_because_somebody_says_so(self):
        server = self.guest()
        self.migrate(server, SOURCE_DIES)
        self.force_down(SOURCE)
        self.lab.restart(SOURCE)
        self.recover()
        self.assertClean(server, DESTINATION)


class TestBothDie(scenarios.ScenarioTest):

    #: what kills the destination, what kills the source, where the guest then is
    DEATHS = (
        ((DESTINATION, 'brick', 'connect_volume'), (SOURCE, 'cinder', 'attachments.list'),
         SOURCE),
        ((DESTINATION, 'cinder', 'attachments.complete'), (SOURCE, 'journal', 'the verdict'),
         SOURCE),
        ((DESTINATION, 'db', 'instance.save'), (SOURCE, 'placement', 'GET /allocations/*'),
         DESTINATION),
        ((DESTINATION, 'db', 'bdm.save'), (SOURCE, 'db', 'bdm.save'), SOURCE),
    )

    def test_in_any_order(self):
        for first, second, home in self.DEATHS:
            for order in ((SOURCE, DESTINATION), (DESTINATION, SOURCE)):
                with self.subTest(f'{first} {second} {order}'):
                    self.lab.clean()
                    server = self.guest()
                    self.migrate(server, scenarios.kill(*first), scenarios.kill(*second))
                    self.assertEqual({SOURCE, DESTINATION}, set(self.lab.dead()))
                    for host in order:
                        self.lab.restart(host)
                        self.recover(1)
                        self.assertUnharmed(server, home)
                    self.recover()
                    self.assertClean(server, home)

    def test_both_rebooted(self):
        server = self.guest()
        self.migrate(server, *(scenarios.kill(*which) for which in self.DEATHS[0][:2]))
        for host in (SOURCE, DESTINATION):
            self.lab.restart(host, reboot=True)
        self.recover()
        # nothing runs: the guest is where it was, and starting it there is right
        self.assertEqual(set(), self.kinds(server) - {'R1', 'R6'})
        self.assertEqual([], self.lab.world.harms)
        self.assertTrue(self.do(server, 'hard_reboot').done)
        self.assertClean(server, SOURCE)


#: The destination cannot connect the second volume.
CANNOT_CONNECT = lab_faults.Fault('brick', 'connect_volume', 'brick-missing', DESTINATION, nth=2)


class TestPeerWithoutPlugin(scenarios.ScenarioTest):
    """Normal while migsafe is rolled out."""

    def disarm(self, host):
        with mock.patch('migsafe.nova.seams.service._arm', return_value=None):
            self.assertTrue(self.lab.restart(host))
        self.assertIsNone(self.participant(host))

    def tearDown(self):
        for host in (SOURCE, DESTINATION):
            if self.participant(host) is None:
                self.lab.restart(host)
        super().tearDown()

    def transactions(self, host):
        return [] if self.participant(host) is None else super().transactions(host)

    def test_destination_without_it_healthy(self):
        self.disarm(DESTINATION)
        server = self.guest()
        self.migrate(server)
        self.recover()
        self.assertClean(server, DESTINATION)

    def test_destination_without_it_transfer_fails(self):
        self.disarm(DESTINATION)
        server = self.guest()
        self.migrate(server, JOB_FAILS)
        # Nova's own message, while the rows lead to the LUNs of the destination
        self.assertClean(server, SOURCE)
        self.assertTrue(self.do(server, 'detach').done)

    def test_destination_without_it_does_not_let_go(self):
        self.disarm(DESTINATION)
        server = self.guest()
        # it is asked twice
        self.migrate(server, JOB_FAILS, *(lab_faults.Fault(
            'brick', 'disconnect_volume', 'brick-busy', DESTINATION, volume=1, nth=number)
            for number in (1, 2)))
        self.recover()
        self.assertUnharmed(server, SOURCE)
        self.assertEqual({'R3', 'R4'}, self.kinds(server))
        self.assertEqual(([1], [1]), (self.exports(server, DESTINATION),
                                      self.devices(server, DESTINATION)))
        tx, = self.transactions(SOURCE)
        for word in ('node11 has no migsafe', server.volumes[1], 'volume attachment delete'):
            self.assertIn(word, tx.reason)
        # the guest is well, and nothing on that host is made worse
        self.assertTrue(self.do(server, 'stop_start').done)
        self.lab.restart(DESTINATION)
        self.recover()
        self.assertClean(server, SOURCE)

    def test_destination_without_it_cannot_prepare(self):
        self.disarm(DESTINATION)
        server = self.guest()
        self.migrate(server, CANNOT_CONNECT)
        self.assertClean(server, SOURCE)
        self.assertTrue(self.do(server, 'detach').done)

    def test_destination_without_it_and_a_way_back_that_is_stopped(self):
        """Nova does not get to the message that removes the directory there."""
        self.disarm(DESTINATION)
        server = self.guest()
        self.migrate(server, CANNOT_CONNECT, lab_faults.Fault(
            'cinder', 'volumes.get', 'cinder-503', SOURCE, nth=2))
        self.assertIn('is not rolled back', self.fault_messages(server))
        self.assertClean(server, SOURCE)

    def test_destination_without_it_dies(self):
        self.disarm(DESTINATION)
        server = self.guest()
        self.migrate(server, DESTINATION_DIES)
        self.recover()
        self.assertUnharmed(server, SOURCE)
        self.assertEqual(set(), self.kinds(server) & {'R1', 'R2', 'R5'})
        self.lab.restart(DESTINATION)
        self.recover()
        # Cinder does not say whose these attachments are, and no journal does
        self.assertUnharmed(server, SOURCE)
        self.assertEqual([0, 1], self.exports(server, DESTINATION))
        tx, = self.transactions(SOURCE)
        self.assertIn('compare its WWID', tx.reason)
        self.lab.migrate(server)
        self.assertIn('is not settled', self.fault_messages(server))
        self.assertUnharmed(server, SOURCE)
        self.assertEqual('ACTIVE', self.lab.show(server)['status'])
        # the operator does as he was told
        self.lab.parts.kernels[DESTINATION].devices.clear()
        self.recover()
        self.assertUnharmed(server, SOURCE)
        self.assertEqual([], self.transactions(SOURCE))
        self.assertEqual([], self.exports(server, DESTINATION))
        # no journal says that the migration made the directory, or that it is not shared
        self.assertEqual({'R11'}, self.kinds(server))

    def test_source_without_it_healthy(self):
        self.disarm(SOURCE)
        server = self.guest()
        self.migrate(server)
        self.recover()
        self.assertClean(server, DESTINATION)

    def test_source_without_it_transfer_fails(self):
        self.disarm(SOURCE)
        server = self.guest()
        self.migrate(server, JOB_FAILS)
        self.recover()
        self.assertUnharmed(server, SOURCE)
        # what plain Nova does to the record of a guest that runs
        self.assertEqual(set(), self.kinds(server) - {'R6'})

    def test_source_without_it_cannot_prepare(self):
        self.disarm(SOURCE)
        server = self.guest()
        self.migrate(server, CANNOT_CONNECT)
        # before anything is asked of a host that has no answer
        self.assertClean(server, SOURCE)

    def test_source_without_it_is_not_heard(self):
        """It rolls back without a word about the volumes, and deletes the attachments."""
        self.disarm(SOURCE)
        server = self.guest()
        self.migrate(server, lab_faults.Fault('rpc', 'pre_live_migration', 'timeout', SOURCE,
                                              when='after'))
        self.recover()
        self.assertEqual([SOURCE], self.lab.observer(server).running_on())
        # what plain Nova leaves: devices that have no export any more
        self.assertEqual({'R4'}, self.kinds(server))
        self.assertFalse(self.directory(server, DESTINATION))

    def test_source_without_it_dies(self):
        self.disarm(SOURCE)
        server = self.guest()
        self.migrate(server, scenarios.kill(SOURCE, 'libvirt', 'jobStats'))
        self.lab.restart(SOURCE)
        self.recover()
        self.assertEqual([], self.lab.world.harms)
        self.assertClean(server, self.lab.observer(server).running_on()[0])
