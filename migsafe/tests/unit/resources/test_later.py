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
"""What a transaction does of an instance that was given back, or that something later moves."""

import dataclasses
import unittest

from migsafe import exceptions
from migsafe.resources import allocation, base, instance_record, port_binding, volume_connection
from migsafe.tests.unit.resources import cloud as fake
from migsafe.transaction.clients import OtherMove
from migsafe.transaction.evidence import Evidence, GuestState, HostEvidence
from migsafe.transaction.move import FREED, Point
from migsafe.transaction.verdict import Verdict

SRC, DST, THIRD, G = fake.SRC, fake.DST, fake.THIRD, GuestState
COMMIT, ABORT = Verdict.COMMIT, Verdict.ABORT
RUNNING = OtherMove('live-migration', 'm-2', 'running', DST, THIRD)
ARRIVED = OtherMove('live-migration', 'm-2', 'completed', DST, THIRD, over=True)
FAILED = OtherMove('live-migration', 'm-2', 'error', DST, THIRD, over=True)
ASKED = OtherMove('live-migration', 'm-2', 'accepted', DST, THIRD)


class Case(unittest.TestCase):
    def setUp(self):
        super().setUp()
        self.cloud = fake.Cloud()
        self.history = self.cloud.history()
        self.row_of_instance(task_state=None)

    def row_of_instance(self, **changes):
        self.cloud.records.row = dataclasses.replace(self.cloud.records.row, **changes)

    def names(self, number, attachment, host=DST):
        key = fake.volume(number)
        self.cloud.records.rows[key] = dataclasses.replace(
            self.cloud.records.rows[key], attachment_id=attachment,
            connection_info=fake.info(host, number))

    def move(self, verdict=ABORT, *later, guest=None, **given):
        self.cloud.records.others = list(later)
        made = fake.move(self.cloud, verdict, history=self.history, released=True, **given)
        if guest is not None:
            made.evidence = Evidence(HostEvidence(SRC, guest), made.evidence.destination)
        return made

    def act(self, resource, move, point):
        act = resource.commit if move.decision.verdict is COMMIT else resource.revert
        try:
            act(move, point)
        except base.Held as held:
            return held.keys
        return {}

    def changes(self):
        return [call[0] for call in self.cloud.changes()]


class TestRows(Case):
    resource = volume_connection.VolumeConnection()

    def setUp(self):
        super().setUp()
        self.history.notes.add(FREED)
        for number in (0, 1):
            self.names(number, fake.attachment(SRC, number), SRC)

    def named(self, number=0):
        return self.cloud.records.rows[fake.volume(number)].attachment_id

    def late(self, host=None):
        """A host without a journal has made an attachment, and written it into the row."""
        self.cloud.volumes.add('a-late', fake.volume(0), host, fake.info(DST, 0))
        self.names(0, 'a-late')

    def test_what_nobody_knows_of_is_put_right_while_the_winner_has_the_guest(self):
        for guest in G:
            self.setUp()
            self.late()
            move = self.move(guest=guest)
            self.act(self.resource, move, Point.RECORDS)
            right = guest in (G.HERE, G.SHUT_OFF)
            self.assertEqual(fake.attachment(SRC, 0) if right else 'a-late', self.named(), guest)
            if right:
                # whose it was is known now, and it goes
                self.act(self.resource, move, Point.EXPORTS)
                self.assertNotIn('a-late', self.cloud.volumes.rows)
                self.assertEqual([], self.resource.inspect(move))

    def test_what_a_third_host_may_have_made_is_not_deleted(self):
        """Its destination may have a device of it, and undoes it itself."""
        for host, later, goes in ((None, (), True), (None, (FAILED,), False), (THIRD, (), False),
                                  (DST, (FAILED,), True)):
            self.setUp()
            self.late(host)
            move = self.move(ABORT, *later, guest=G.HERE)
            self.act(self.resource, move, Point.RECORDS)
            self.assertEqual(fake.attachment(SRC, 0), self.named())
            self.act(self.resource, move, Point.EXPORTS)
            self.assertEqual(goes, 'a-late' not in self.cloud.volumes.rows, (host, later))

    def test_not_while_something_else_moves_it_or_has_moved_it(self):
        for later, right in ((RUNNING, False), (ARRIVED, False), (FAILED, True), (ASKED, True)):
            self.setUp()
            self.late()
            self.act(self.resource, self.move(ABORT, later, guest=G.HERE), Point.RECORDS)
            self.assertEqual(fake.attachment(SRC, 0) if right else 'a-late', self.named(), later)

    def test_not_while_the_owner_does_something_with_it(self):
        self.late()
        self.row_of_instance(task_state='rebuilding')
        self.act(self.resource, self.move(), Point.RECORDS)
        self.assertEqual('a-late', self.named())

    def test_owners_new_attachment_stays_where_the_old_one_is_gone(self):
        self.late(SRC)
        del self.cloud.volumes.rows[fake.attachment(SRC, 0)]
        move = self.move()
        self.act(self.resource, move, Point.RECORDS)
        self.assertEqual('a-late', self.named())
        self.assertEqual([], self.resource.inspect(move) and [
            r for r in self.resource.inspect(move) if r.kind != 'R3'])

    def test_lun_of_the_loser_beside_the_winners_attachment(self):
        self.names(0, fake.attachment(SRC, 0), DST)
        self.assertEqual({'R1'}, {r.kind for r in self.resource.inspect(self.move())
                                  if r.key == fake.volume(0)} - {'R3'})
        self.act(self.resource, self.move(), Point.RECORDS)
        info = self.cloud.records.rows[fake.volume(0)].connection_info
        self.assertEqual(fake.FIRST_LUN[SRC], info['data']['target_lun'])

    def test_what_was_made_for_the_loser_is_nobodys(self):
        """Also of an instance that has gone on: to the attachment of where it is."""
        self.history.attachments[fake.volume(0)] = [fake.attachment(DST, 0)]
        self.cloud.peer.description['attachments'] = {
            fake.volume(0): [fake.attachment(DST, 0)]}
        self.cloud.volumes.add('a-third', fake.volume(0), THIRD, fake.info(SRC, 0))
        self.names(0, fake.attachment(DST, 0))
        self.row_of_instance(host=THIRD)
        held = self.act(self.resource, self.move(ABORT, RUNNING), Point.RECORDS)
        self.assertIn(fake.volume(0), held)
        self.assertEqual([], self.changes())
        self.assertEqual({}, self.act(self.resource, self.move(ABORT, ARRIVED), Point.RECORDS))
        self.assertEqual('a-third', self.named())

    def test_attachments_of_the_later_one_stay(self):
        self.cloud.volumes.add('a-third', fake.volume(0), THIRD, None)
        self.cloud.volumes.add('a-reserved', fake.volume(1), None, None)
        self.history.notes.discard(FREED)
        for later in (RUNNING, ARRIVED, FAILED, ASKED):
            self.act(self.resource, self.move(COMMIT, later), Point.EXPORTS)
            self.assertIn('a-third', self.cloud.volumes.rows, later)
            self.assertIn('a-reserved', self.cloud.volumes.rows, later)


    def test_what_the_winner_had_goes_once_a_third_host_has_the_instance(self):
        for host, later, gone in ((THIRD, ARRIVED, True), (THIRD, RUNNING, False),
                                  (SRC, FAILED, False)):
            self.setUp()
            for number in (0, 1):
                self.names(number, 'of-the-third')
            self.row_of_instance(host=host)
            self.act(self.resource, self.move(ABORT, later), Point.EXPORTS)
            self.assertEqual(gone, fake.attachment(SRC, 0) not in self.cloud.volumes.rows, later)

    def test_nothing_is_deleted_before_the_other_host_has_said_what_it_made(self):
        self.cloud.records.row = None
        for unarmed in (False, True):
            self.cloud.peer.description = None
            self.cloud.peer.without = unarmed
            move = self.move(ABORT)
            if unarmed:
                self.assertEqual({}, self.act(self.resource, move, Point.EXPORTS))
            else:
                self.assertRaisesRegex(exceptions.Unanswered, f'{DST} has not said', self.act,
                                       self.resource, move, Point.EXPORTS)
                self.assertEqual([], self.changes())


class TestOthers(Case):
    """Task state, host, claims and bindings of a later operation."""

    def setUp(self):
        super().setUp()
        self.row_of_instance(task_state='migrating', host=DST)
        self.cloud.records.status = 'completed'

    def test_task_and_host(self):
        for later in (RUNNING, ARRIVED, FAILED, ASKED):
            for point in (Point.RECORDS, Point.DONE):
                self.act(instance_record.InstanceRecord(), self.move(COMMIT, later), point)
            self.assertEqual([], self.changes(), later)

    def test_host_is_set_right_after_one_that_was_refused(self):
        self.row_of_instance(host=SRC)
        for later, expected in ((RUNNING, []), (ARRIVED, []), (FAILED, ['to_host'])):
            self.act(instance_record.InstanceRecord(), self.move(COMMIT, later), Point.RECORDS)
            self.assertEqual(expected, self.changes(), later)

    def test_claim_that_a_later_one_has_taken_over_is_not_r7(self):
        resource = allocation.Allocation()
        for later in (RUNNING, ASKED, ARRIVED):
            self.cloud.allocations.by_consumer = {
                fake.MIGRATION: {'rp-' + SRC: {}}, fake.INSTANCE: {'rp-' + THIRD: {}},
                'm-2': {'rp-' + DST: {}}}
            move = self.move(COMMIT, later)
            self.assertEqual({}, self.act(resource, move, Point.REST))
            self.assertEqual([], resource.inspect(move))
            self.assertEqual({fake.INSTANCE: {'rp-' + THIRD: {}}, 'm-2': {'rp-' + DST: {}}},
                             self.cloud.allocations.by_consumer)

    def test_claim_is_not_given_back_over_that_of_a_later_one(self):
        held = self.act(allocation.Allocation(), self.move(ABORT, ASKED), Point.REST)
        self.assertIn('m-2', held[''])
        self.assertEqual([], self.changes())

    def test_claim_is_kept_until_an_evacuation_is_decided(self):
        """What the migration holds is all that says what the guest uses on its host."""
        resource = allocation.Allocation()
        evacuation = OtherMove('evacuation', 'e-1', 'accepted', SRC, THIRD)
        decided = {'failed': 'move_allocations', 'error': 'move_allocations',
                   'done': 'delete_allocations'}
        for status in ('accepted', 'pre-migrating'):
            move = self.move(ABORT, dataclasses.replace(evacuation, status=status))
            self.assertIn('e-1', self.act(resource, move, Point.REST)[''])
            self.assertEqual(['R7'], [r.kind for r in resource.inspect(move)])
            self.assertEqual([], self.changes())
        for status, change in decided.items():
            self.cloud.calls.made.clear()
            self.cloud.allocations.by_consumer[fake.MIGRATION] = {'rp-' + SRC: {}}
            move = self.move(ABORT, dataclasses.replace(evacuation, status=status, over=True))
            self.assertEqual({}, self.act(resource, move, Point.REST))
            self.assertEqual([change], self.changes(), status)

    def test_claim_of_a_deleted_instance_goes_whatever_was_asked_for_it(self):
        move = self.move(ABORT, OtherMove('evacuation', 'e-1', 'accepted', SRC, THIRD))
        move.instance = None
        self.assertEqual({}, self.act(allocation.Allocation(), move, Point.REST))
        self.assertEqual(['delete_allocations'], self.changes())

    def test_only_the_losers_binding_that_is_not_active_goes(self):
        resource = port_binding.PortBinding()
        for status, later, gone in (('INACTIVE', RUNNING, True), ('ACTIVE', RUNNING, False),
                                    ('INACTIVE', dataclasses.replace(
                                        RUNNING, dest_host=SRC), False)):
            self.cloud.network.ports = {'port-1': {SRC: status, DST: 'ACTIVE', THIRD: 'INACTIVE'}}
            move = self.move(COMMIT, later)
            self.act(resource, move, Point.REST)
            self.assertEqual(not gone, SRC in self.cloud.network.ports['port-1'])
            self.assertIn(THIRD, self.cloud.network.ports['port-1'])
            self.assertEqual([], resource.inspect(move))

    def test_what_has_come_to_nothing_does_not_say_which_is_active(self):
        """An evacuation that was refused, while the destination waited for the source."""
        resource = port_binding.PortBinding()
        refused = OtherMove('evacuation', 'm-2', 'failed', SRC, THIRD, over=True)
        for other, guest, bound in ((refused, G.HERE, True), (FAILED, G.HERE, True),
                                    (refused, G.UNKNOWN, False), (RUNNING, G.HERE, False)):
            before = {SRC: 'INACTIVE', DST: 'ACTIVE'}
            self.cloud.network.ports = {'port-1': dict(before)}
            move = self.move(ABORT, other, guest=guest)
            self.act(resource, move, Point.REST)
            self.assertEqual({SRC: 'ACTIVE'} if bound else before,
                             self.cloud.network.ports['port-1'], other)
            self.assertEqual([], resource.inspect(move))


class TestAskAgain(Case):
    """What has changed since the attempt began ends it before the next effect."""

    def assertStops(self, move, *words):
        with self.assertRaises(exceptions.Overtaken) as caught, \
                move.effect('r', 'an_effect', 'k'):
            self.fail('it must not be caused')
        for word in ('an_effect', *words):
            self.assertIn(word, str(caught.exception))
        self.assertEqual([('an_effect', 'error')], move.journal.outcomes[-1:])

    def test_nothing_changed(self):
        with self.move(ABORT, FAILED).effect('r', 'an_effect', 'k'):
            self.row_of_instance(host=SRC)

    def test_a_later_operation_began_or_went_on(self):
        move = self.move()
        self.cloud.records.others = [ASKED]
        self.assertStops(move, 'm-2', 'accepted')
        move = self.move(ABORT, ASKED)
        self.cloud.records.others = [RUNNING]
        self.assertStops(move, 'running')

    def test_deleted_or_moved(self):
        move = self.move()
        self.row_of_instance(host=THIRD)
        self.assertStops(move, THIRD)
        move = self.move()
        self.cloud.records.row = None
        self.assertStops(move, 'deleted')

    def test_its_own_change_of_the_host_does_not(self):
        move = self.move(COMMIT)
        self.row_of_instance(host=DST)
        with move.effect('r', 'an_effect', 'k'):
            self.assertEqual(1, len(move.journal.intents))
