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
"""Directory, allocation, port binding and the instance's own record."""

import dataclasses
import unittest

from migsafe import exceptions
from migsafe.resources import allocation, base, instance_directory, instance_record, port_binding
from migsafe.tests.unit.resources import cloud as fake
from migsafe.transaction.clients import InstanceRow
from migsafe.transaction.evidence import NO_QEMU, GuestState, HostEvidence
from migsafe.transaction.history import History
from migsafe.transaction.move import Point
from migsafe.transaction.subject import Subject
from migsafe.transaction.verdict import Verdict

SRC, DST = fake.SRC, fake.DST
COMMIT, ABORT = Verdict.COMMIT, Verdict.ABORT
P, G = Point, GuestState


class Case(unittest.TestCase):
    local = SRC

    def setUp(self):
        self.cloud = fake.Cloud(local=self.local)

    def on(self, host, **changes):
        self.cloud.records.row = dataclasses.replace(
            self.cloud.records.row, host=host, **changes)

    def kinds(self, resource, move):
        return sorted(r.kind for r in resource.inspect(move))


class TestInstanceDirectory(Case):
    local = DST
    resource = instance_directory.InstanceDirectory()

    def revert(self, exists=False, shared=False, half_deleted=False, **kwargs):
        history = History()
        history.captures[('instance_directory', '')] = {
            'exists': exists, 'shared': shared, 'half_deleted': half_deleted}
        move = fake.move(self.cloud, history=history, **kwargs)
        self.resource.revert(move, P.DEVICES)
        return move

    def test_what_this_transaction_made_is_removed(self):
        move = self.revert()
        self.assertFalse(self.cloud.directories.there)
        self.assertEqual([('directory_remove', 'ok')], move.journal.outcomes)
        self.assertEqual([], self.resource.inspect(move))

    def test_shared_or_not_known_to_be_unshared_stays(self):
        for shared in (True, None, 'no', 0, 1, {}):
            with self.subTest(shared):
                move = self.revert(shared=shared)
                self.assertEqual([], self.cloud.changes())
                self.assertEqual([], self.resource.inspect(move))

    def test_whose_it_is_not_known_stays_and_is_named_once(self):
        history = History()
        move = fake.move(self.cloud, history=history)
        self.resource.revert(move, P.DEVICES)
        self.assertEqual([], self.cloud.changes())
        (told,) = move.journal.notes
        for part in (self.cloud.directories.find(fake.INSTANCE), DST, fake.INSTANCE,
                     fake.MIGRATION):
            self.assertIn(part, told)
        history.notes.add(told)
        self.resource.revert(move, P.DEVICES)
        self.assertEqual([told], move.journal.notes)
        self.assertEqual([], self.revert(exists=True).journal.notes)

    def test_what_was_there_before_stays(self):
        for exists in (True, None, 0):
            with self.subTest(exists):
                self.revert(exists=exists)
                self.assertEqual([], self.cloud.changes())

    def test_without_capture_it_stays(self):
        self.resource.revert(fake.move(self.cloud, history=History()),
                             P.DEVICES)
        self.assertEqual([], self.cloud.changes())

    def test_guest_that_is_not_gone_keeps_it(self):
        for state in G:
            if state in NO_QEMU:
                continue
            with self.subTest(state):
                self.cloud.guests.state = state
                with self.assertRaises(base.Held):
                    self.revert()
                self.assertEqual([], self.cloud.changes())

    def test_domain_that_is_shut_off_has_arrived_with_its_disks(self):
        """They go only when the guest is seen on the source; see GuestState."""
        self.cloud.guests.state = G.SHUT_OFF
        for state in G:
            if state is G.HERE:
                continue
            with self.subTest(state):
                self.cloud.peer.state = state
                with self.assertRaises(base.Held) as held:
                    self.revert()
                self.assertIn('only copy', str(held.exception.keys))
                self.assertEqual([], self.cloud.changes())
        self.cloud.peer.state = G.HERE
        self.revert()
        self.assertFalse(self.cloud.directories.there)

    def test_no_licence_keeps_it(self):
        with self.assertRaises(base.Held):
            self.revert(teardown=False)
        self.assertEqual([], self.cloud.changes())

    def test_the_winner_keeps_its_own(self):
        self.cloud = fake.Cloud(local=SRC)
        self.revert(exists=True)
        self.assertEqual([], self.cloud.changes())

    def commit(self, destination, verdict='', **row):
        """Whether the source's directory is still there."""
        self.cloud = fake.Cloud(local=SRC)
        self.cloud.guests.state = G.ABSENT
        self.cloud.peer.description['verdict'] = verdict
        move = fake.move(self.cloud, COMMIT)
        move.evidence = dataclasses.replace(
            move.evidence,
            destination=HostEvidence(DST, destination))
        if row:
            move.instance = row['instance']
        try:
            self.resource.commit(move, P.DEVICES)
        except base.Held as held:
            self.assertIn(f'not seen on {DST}', str(held.keys))
            self.assertEqual([], self.cloud.changes())
        return self.cloud.directories.there

    def test_source_of_a_commit(self):
        """Its disks may be the only ones until the guest is seen there."""
        for state in G:
            with self.subTest(state):
                self.assertIs(state not in (G.HERE, G.SHUT_OFF),
                              self.commit(state))

    def test_source_of_a_commit_that_the_destination_has_seen(self):
        """By now the instance has moved on, or that host is away."""
        for state in (G.ABSENT, G.UNKNOWN):
            self.assertFalse(self.commit(state, 'COMMIT'))
            for other in ('', 'ABORT', 'HOLD'):
                self.assertTrue(self.commit(state, other))

    def test_source_of_a_commit_whose_instance_is_deleted(self):
        self.assertFalse(self.commit(G.ABSENT, instance=None))

    def test_half_deleted_one(self):
        """It goes, unless it was there before the migration began."""
        for before, stays in ((False, False), (True, True), (None, True)):
            with self.subTest(before):
                self.cloud = fake.Cloud(local=DST)
                self.cloud.directories.there, self.cloud.directories.half_deleted = False, True
                self.revert(half_deleted=before)
                self.assertIs(stays, self.cloud.directories.half_deleted)

    def test_capture(self):
        row = InstanceRow('u', SRC, SRC, None, 'active')
        self.assertEqual(
            {'': {'exists': False, 'shared': None, 'half_deleted': True}},
            self.resource.capture(Subject(row, directory_half_deleted=True)))
        self.assertEqual(
            {'': {'exists': True, 'shared': None}},
            self.resource.capture(Subject(row, directory_exists=True)))


class TestAllocation(Case):
    resource = allocation.Allocation()

    def test_abort_gives_the_source_back(self):
        move = fake.move(self.cloud)
        self.assertEqual(['R7', 'R7', 'R7'], self.kinds(self.resource, move))
        self.resource.revert(move, P.REST)
        self.assertEqual({fake.INSTANCE: {'rp-' + SRC: {'VCPU': 1}}},
                         self.cloud.allocations.by_consumer)
        self.assertEqual([], self.resource.inspect(move))

    def test_commit_drops_the_source(self):
        move = fake.move(self.cloud, COMMIT)
        self.resource.commit(move, P.REST)
        self.assertEqual({fake.INSTANCE: {'rp-' + DST: {'VCPU': 1}}},
                         self.cloud.allocations.by_consumer)
        self.assertEqual([], self.resource.inspect(move))

    def test_again_changes_nothing(self):
        for verdict, act in ((ABORT, self.resource.revert),
                             (COMMIT, self.resource.commit)):
            self.cloud.allocations.by_consumer = {
                fake.INSTANCE: {'rp-' + SRC: {}}}
            act(fake.move(self.cloud, verdict), P.REST)
        self.assertEqual([], self.cloud.changes())

    def doubled(self):
        """A conductor that went on claimed the destination once more."""
        self.cloud.allocations.by_consumer = {fake.INSTANCE: {
            'rp-' + host: {'VCPU': 1} for host in (SRC, DST)}}

    def test_what_a_late_claim_added_is_withdrawn(self):
        self.doubled()
        move = fake.move(self.cloud)
        self.resource.revert(move, P.REST)
        self.assertEqual({fake.INSTANCE: {'rp-' + SRC: {'VCPU': 1}}},
                         self.cloud.allocations.by_consumer)
        self.assertEqual([], self.resource.inspect(move))

    def test_not_from_an_instance_that_may_run_there_or_has_moved(self):
        self.doubled()
        self.resource.revert(fake.move(self.cloud, teardown=False), P.REST)
        self.on(fake.THIRD)
        self.resource.revert(fake.move(self.cloud), P.REST)
        self.cloud.allocations.by_consumer[fake.INSTANCE].pop('rp-' + SRC)
        self.on(SRC)
        self.resource.revert(fake.move(self.cloud), P.REST)
        self.assertEqual([], self.cloud.changes())

    def test_commit_never_leaves_the_instance_with_nothing(self):
        self.cloud.allocations.by_consumer[fake.INSTANCE] = {}
        move = fake.move(self.cloud, COMMIT)
        with self.assertRaises(base.Held) as caught:
            self.resource.commit(move, P.REST)
        self.assertIn('heal_allocations', str(caught.exception))
        self.assertIn(fake.INSTANCE, str(caught.exception))
        self.assertEqual([], self.cloud.changes())

    def test_superseded_keeps_what_the_instance_has(self):
        self.on(fake.THIRD)
        before = self.cloud.allocations.held(fake.INSTANCE)
        for verdict, act in ((ABORT, self.resource.revert),
                             (COMMIT, self.resource.commit)):
            act(fake.move(self.cloud, verdict), P.REST)
        self.assertEqual(before, self.cloud.allocations.held(fake.INSTANCE))
        self.assertEqual([('delete_allocations', fake.MIGRATION)],
                         self.cloud.changes())

    def test_deleted_instance_leaves_no_allocation_of_the_migration(self):
        """Nova deletes those of the instance; nobody those of the migration.
        """
        self.cloud.records.row = None
        move = fake.move(self.cloud)
        self.resource.revert(move, P.REST)
        self.assertEqual([], self.resource.inspect(move))


class TestPortBinding(Case):
    resource = port_binding.PortBinding()

    def test_bound_to_the_winner(self):
        for verdict, winner in ((ABORT, SRC), (COMMIT, DST)):
            with self.subTest(verdict):
                self.cloud = fake.Cloud()
                move = fake.move(self.cloud, verdict)
                act = (self.resource.commit if verdict is COMMIT
                       else self.resource.revert)
                act(move, P.REST)
                self.assertEqual({'port-1': {winner: 'ACTIVE'}},
                                 self.cloud.network.ports)
                self.assertEqual([], self.resource.inspect(move))
                act(move, P.REST)
                self.assertEqual(1, len(self.cloud.changes()))

    def test_no_port_and_no_extension(self):
        self.cloud.network.ports = {}
        self.resource.revert(fake.move(self.cloud), P.REST)
        self.assertEqual([], self.cloud.changes())

    def test_port_of_neither_host_is_not_ours(self):
        self.cloud.network.ports = {'port-1': {fake.THIRD: 'ACTIVE'}}
        self.resource.revert(fake.move(self.cloud), P.REST)
        self.assertEqual([], self.cloud.changes())

    def test_superseded_deleted_and_no_destination(self):
        self.resource.revert(fake.move(self.cloud, dest_host=''), P.REST)
        self.on(fake.THIRD)
        self.resource.revert(fake.move(self.cloud), P.REST)
        self.cloud.records.row = None
        self.resource.revert(fake.move(self.cloud), P.REST)
        self.assertEqual([], self.cloud.changes())


class TestInstanceRecord(Case):
    resource = instance_record.InstanceRecord()

    def test_commit_moves_the_host_first_and_frees_last(self):
        self.cloud.records.status = 'running'
        move = fake.move(self.cloud, COMMIT)
        self.assertEqual(['R12', 'R5', 'R6'],
                         self.kinds(self.resource, move))
        self.resource.commit(move, P.RECORDS)
        self.assertEqual([('to_host', DST)], self.cloud.changes())
        self.assertEqual('migrating', self.cloud.records.row.task_state)
        self.resource.commit(move, P.DONE)
        self.assertIsNone(self.cloud.records.row.task_state)
        self.assertEqual('completed', self.cloud.records.status)
        self.assertEqual([], self.resource.inspect(move))

    def test_a_guest_that_the_migration_has_stopped_goes_on(self):
        self.on(SRC, task_state=None)
        self.cloud.guests.is_stopped = True
        move = fake.move(self.cloud)
        self.assertEqual(['R6'], self.kinds(self.resource, move))
        self.resource.revert(move, P.DONE)
        self.assertEqual([], self.cloud.calls.of('release_task'))
        self.resource.revert(move, P.DEVICES)
        self.assertEqual([('resume', SRC)], self.cloud.changes())
        self.assertEqual([], self.resource.inspect(move))

    def test_one_that_may_run_elsewhere_or_was_paused_stays_as_it_is(self):
        self.cloud.guests.is_stopped = True
        for destination in set(G) - NO_QEMU - {G.DEAD}:
            self.resource.revert(fake.move(self.cloud, loser_guest=destination), P.DEVICES)
        for state, host in (('paused', SRC), ('active', fake.THIRD)):
            self.on(host, vm_state=state)
            self.resource.revert(fake.move(self.cloud), P.DEVICES)
        self.assertNotIn(P.DEVICES, self.resource.commit_points)
        self.assertEqual([], self.cloud.changes())

    def test_abort_keeps_a_terminal_status(self):
        for status in instance_record.TERMINAL:
            self.cloud.records.status = status
            self.resource.revert(fake.move(self.cloud), P.DONE)
        self.assertEqual([], self.cloud.calls.of('finish_migration'))

    def test_abort_ends_any_other_status(self):
        for status in ('accepted', 'queued', 'preparing', 'running',
                       'post-migrating', 'nonsense'):
            self.cloud.records.status = status
            self.resource.revert(fake.move(self.cloud), P.DONE)
            self.assertEqual('failed', self.cloud.records.status)

    def test_migration_that_was_deleted(self):
        self.cloud.records.status = None
        self.on(SRC, task_state=None)
        self.assertEqual([], self.resource.inspect(fake.move(self.cloud)))

    def test_error_is_lifted_only_to_what_it_was(self):
        self.on(SRC, task_state=None, vm_state='error')
        self.resource.revert(fake.move(self.cloud), P.DONE)
        self.assertEqual('active', self.cloud.records.row.vm_state)

    def test_error_from_before_stays(self):
        for captured in ('error', None, ''):
            self.on(SRC, task_state=None, vm_state='error')
            history = self.cloud.history()
            history.captures[('instance_record', '')] = {
                'vm_state': captured}
            self.resource.revert(fake.move(self.cloud, history=history),
                                 P.DONE)
            self.assertEqual('error', self.cloud.records.row.vm_state)

    def test_other_task_is_not_ended(self):
        self.on(SRC, task_state='rebooting')
        self.cloud.records.status = 'failed'
        self.resource.revert(fake.move(self.cloud), P.DONE)
        self.assertEqual([], self.cloud.changes())

    def test_superseded_or_deleted(self):
        for row in (None, dataclasses.replace(self.cloud.records.row,
                                              host=fake.THIRD)):
            self.cloud.records.row = row
            for point in (P.RECORDS, P.DONE):
                self.resource.commit(fake.move(self.cloud, COMMIT), point)
        self.assertEqual([], self.cloud.calls.of('to_host', 'release_task'))

    def test_capture(self):
        row = InstanceRow('u', SRC, 'n', None, 'active')
        self.assertEqual(
            {'': {'host': SRC, 'node': 'n', 'vm_state': 'active', 'request_id': 'req-1'}},
            self.resource.capture(Subject(row, request_id='req-1')))

    def asked_for(self, requests, meanwhile=lambda: None):
        """End the task of the migration that req-1 has asked for."""
        self.cloud.records.requests, self.cloud.records.meanwhile = requests, meanwhile
        history = self.cloud.history()
        history.captures[('instance_record', '')] = {'vm_state': 'active',
                                                     'request_id': 'req-1'}
        move = fake.move(self.cloud, history=history)
        self.resource.revert(move, P.DONE)

    def test_task_of_a_request_that_has_no_migration_yet(self):
        with self.assertRaisesRegex(exceptions.Overtaken, 'req-2'):
            self.asked_for(['req-1', 'req-2'])
        self.assertEqual([], self.cloud.changes())
        for requests in (['req-1'], [], ['req-2']):
            self.on(SRC, task_state='migrating')
            self.asked_for(requests)
            self.assertIsNone(self.cloud.records.row.task_state)

    def test_task_that_was_another_ones_in_the_end_is_given_back(self):
        self.on(SRC, task_state='migrating')
        requests = ['req-1']
        with self.assertRaisesRegex(exceptions.Overtaken, 'req-2'):
            self.asked_for(requests, lambda: requests.append('req-2'))
        self.assertEqual('migrating', self.cloud.records.row.task_state)
