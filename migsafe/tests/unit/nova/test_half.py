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
"""A live migration of which one host has migsafe and the other has not."""

import dataclasses
import unittest
from types import SimpleNamespace
from unittest import mock

import oslo_messaging
from nova import exception
from oslo_utils import timeutils

from migsafe import exceptions
from migsafe.nova.host import attempt as host_attempt
from migsafe.nova.host import recovery, registry, release
from migsafe.nova.seams import destination, gates, preparation, unarmed_destination
from migsafe.resources import unarmed_loser
from migsafe.tests.unit.nova import hosts
from migsafe.tests.unit.resources import cloud as fake
from migsafe.transaction import history
from migsafe.transaction.evidence import NO_QEMU, GuestState

SRC, DST, G = fake.SRC, fake.DST, GuestState
BOTH, NONE = {SRC: 2, DST: 2}, {SRC: 2, DST: 0}
#: What only Nova, or a host that leads, may do.
OF_OTHERS = ('release_task', 'finish_migration', 'move_allocations', 'bind', 'to_host')


class TestDestinationOnly(hosts.TwoHosts):
    """It failed to prepare, and its source has no migsafe."""

    def setUp(self):
        super().setUp()
        self.begin_destination()
        self.without(SRC)
        self.dst.guests.state, self.nudged = G.ABSENT, []
        self.dst.participant.recovery = SimpleNamespace(nudge=lambda: self.nudged.append(1))

    def take_back(self):
        attempt = self.dst.participant.attempt(fake.MIGRATION, fake.INSTANCE)
        attempt.tx = self.dst.tx()
        preparation.take_back(self.dst.participant, attempt)

    def left(self):
        """Attachments, whether devices and a directory are left, whether rows are the source's."""
        rows = {row.attachment_id for row in self.world.records.rows.values()}
        return (self.attachments(), bool(self.dst.devices.present),
                self.dst.cloud.directories.there,
                rows == {fake.attachment(SRC, number) for number in (0, 1)})

    def test_all_that_it_made_and_no_more(self):
        self.take_back()
        self.assertEqual((NONE, False, False, True), self.left())
        self.assertEqual(('settled', 'ABORT'), self.dst.verdict())
        self.assertEqual([], self.world.calls.of(*OF_OTHERS))
        self.assertEqual([], self.nudged)

    def test_a_device_in_use_keeps_its_export_until_it_can_go(self):
        self.dst.devices.holders[fake.volume(0)] = 'vg0'
        self.take_back()
        self.assertEqual(({SRC: 2, DST: 1}, True, False, True), self.left())
        self.assertEqual((('open', 'ABORT'), [1]), (self.dst.verdict(), self.nudged))
        self.dst.devices.holders.clear()
        self.assertTrue(self.dst.settle().clean)
        self.assertEqual((NONE, False, False, True), self.left())
        # the migration of Nova's is still going on: the task is its own
        self.assertEqual([], self.world.calls.of(*OF_OTHERS))

    def test_what_nova_has_left_once_it_is_over(self):
        self.dst.devices.holders[fake.volume(0)] = 'vg0'
        self.take_back()
        self.dst.devices.holders.clear()
        self.world.records.row = dataclasses.replace(self.world.records.row, task_state=None)
        self.assertTrue(self.dst.settle().clean)
        self.assertTrue(self.world.calls.of('bind'))

    def test_a_guest_that_may_be_here(self):
        for guest in set(G) - NO_QEMU:
            self.dst.guests.state = guest
            self.take_back()
            self.assertEqual((BOTH, True, True, False), self.left(), guest)
            self.assertEqual(('open', None), self.dst.verdict())

    def test_a_failure_of_its_own_is_left_to_recovery(self):
        error = exceptions.JournalUnavailable(database='d', reason='full', cure='')
        with mock.patch.object(self.dst.journal, 'verdict', side_effect=error) as asked:
            self.take_back()
        asked.assert_called_once()
        self.assertEqual([1], self.nudged)
        self.assertEqual((BOTH, True, True, False), self.left())

    def remove(self, number, request=hosts.REQUEST):
        """Nova's message that a source without migsafe sends; what of it is done in Nova's way."""
        manager, done = type('Manager', (), {})(), []
        registry.put(manager, self.dst.participant)

        def wrapped(context, volume_id, instance):
            done.append(volume_id)
        destination.remove_volume_connection(wrapped, manager, (
            SimpleNamespace(request_id=request), fake.volume(number),
            SimpleNamespace(uuid=fake.INSTANCE, host=SRC)), {})
        return done

    def test_a_copy_that_its_source_has_given_up_in_novas_way(self):
        """The exports go next, from under what the copy has open."""
        self.dst.guests.state = G.IN_TRANSFER
        self.assertEqual([fake.volume(0)], self.remove(0))
        self.assertEqual(('open', None), self.dst.verdict())

    def test_a_copy_that_may_be_on_its_way(self):
        """The message is of an earlier attempt, or the source would say itself that it goes back,
        or does not say now whether it would."""
        self.dst.guests.state = G.IN_TRANSFER
        self.assertEqual([], self.remove(0, request='req-of-another'))
        self.assertEqual([], self.remove(0, request=None))
        self.dst.bus.unarmed_hosts.clear()
        self.assertEqual([], self.remove(0))
        with self.away(SRC):
            self.assertEqual([], self.remove(0))
        self.assertTrue(self.dst.devices.present)

    def test_a_guest_that_is_here_keeps_its_volumes(self):
        for guest in (G.HERE, G.POSTCOPY, G.UNKNOWN):
            self.dst.guests.state = guest
            self.assertEqual([], self.remove(0), guest)

    def test_the_end_of_such_a_copy_is_written_down(self):
        """Else this host would wait for a source that keeps no journal."""
        manager = type('Manager', (), {})()
        registry.put(manager, self.dst.participant)
        self.dst.guests.state = G.IN_TRANSFER

        def wrapped(context, instance, destroy_disks, migrate_data):
            self.dst.guests.state = G.ABSENT
        message = wrapped, manager, (None, SimpleNamespace(uuid=fake.INSTANCE), False, None), {}
        with mock.patch.object(self.dst.participant, 'release', side_effect=OSError) as asked:
            destination.rollback_live_migration_at_destination(*message)
        asked.assert_called_once()
        self.dst.guests.state = G.IN_TRANSFER
        destination.rollback_live_migration_at_destination(*message)
        self.assertEqual(('settled', 'ABORT'), self.dst.verdict())
        self.assertEqual((NONE, False, False, True), self.left())

    def fails_at_intents(self, *keys):
        """A journal that can be written but for the intents of some disconnects."""
        real = self.dst.journal.intent

        def intent(tx, resource, effect, key, *args):
            if effect == history.DISCONNECT and key in keys:
                raise exceptions.JournalUnavailable(database='d', reason='full', cure='')
            return real(tx, resource, effect, key, *args)
        return mock.patch.object(self.dst.journal, 'intent', intent)

    def test_what_cannot_be_journalled_and_no_more_in_novas_way(self):
        """The source deletes the exports next, whatever is answered."""
        with self.fails_at_intents(fake.volume(1)):
            self.assertEqual(([], [fake.volume(1)]), (self.remove(0), self.remove(1)))

    def test_in_use_is_no_failure_of_the_journal(self):
        self.dst.devices.holders[fake.volume(0)] = 'vg0'
        self.assertEqual([], self.remove(0))
        self.assertTrue(self.dst.devices.present)

    def test_not_while_it_is_being_settled(self):
        with self.dst.participant.exclusive(self.dst.tx(), 0):
            self.assertIsNone(release.take_back(self.dst.participant, self.dst.tx(), 'x'))
        self.assertEqual((BOTH, True, True, False), self.left())

    def test_silence_is_no_want_of_a_plugin(self):
        self.dst.devices.holders[fake.volume(0)] = 'vg0'
        self.take_back()
        self.dst.bus.unarmed_hosts.clear()
        with self.away(SRC), mock.patch.object(
                self.dst.participant.engine, 'settle_local') as alone:
            self.dst.settle()
        alone.assert_not_called()


class TestSourceOnly(hosts.TwoHosts):
    """The transfer failed; the destination is as plain Nova leaves it."""

    def setUp(self):
        super().setUp()
        self.src.journal.begin(fake.MIGRATION, 'source', fake.INSTANCE, SRC, DST,
                               captures=self.world.captures())
        self.src.guests.state, self.dst.guests.state = G.HERE, G.ABSENT
        self.without(DST)

    def answered(self):
        self.src.journal.note(self.src.tx(), unarmed_loser.ANSWERED)

    def assertKept(self):
        """Its exports stay, and its rows are right all the same."""
        outcome = self.src.settle()
        self.assertFalse(outcome.clean)
        self.assertEqual(BOTH, self.attachments())
        self.assertEqual({fake.attachment(SRC, 0), fake.attachment(SRC, 1)},
                         {row.attachment_id for row in self.world.records.rows.values()})
        return outcome

    def asked(self):
        return self.src.bus.asked.count((DST, 'remove_volume_connection'))

    def test_let_go_in_novas_own_way_and_before_the_rows_are_right(self):
        self.answered()
        self.assertTrue(self.src.settle().clean)
        self.assertEqual((2, NONE, set()), (
            self.asked(), self.attachments(), self.dst.devices.present))

    def test_what_it_has_made_since_was_not_let_go_of(self):
        """A message that came twice; the device of the first one is gone, that of this is not."""
        self.answered()
        note = f'{unarmed_loser.LET_GO}{fake.volume(0)} {fake.attachment(DST, 0)}'
        self.src.journal.note(self.src.tx(), note)
        for number in (0, 1):
            key = fake.volume(number)
            self.world.records.rows[key] = dataclasses.replace(
                self.world.records.rows[key], attachment_id=fake.attachment(SRC, number),
                connection_info=fake.info(SRC, number))
        self.world.volumes.add('a-second', fake.volume(0), None, fake.info(DST, 0))
        outcome = self.src.settle()
        self.assertIn('a-second', str(outcome.held))
        self.assertIn('a-second', self.world.volumes.rows)

    def test_without_an_answer_it_may_still_be_at_work(self):
        outcome = self.assertKept()
        self.assertEqual(0, self.asked())
        # the guest is well, and all of it here was read back
        self.assertTrue(outcome.elsewhere and outcome.unarmed)

    def test_one_answer_that_it_has_no_migsafe_is_enough(self):
        """It has said so when it was asked for the guest, and the next question is lost."""
        self.answered()
        with mock.patch.object(self.src.bus, 'unarmed', return_value=False):
            self.assertTrue(self.src.settle().clean)
        self.assertEqual((2, NONE), (self.asked(), self.attachments()))

    def test_it_does_not_let_go(self):
        self.answered()
        self.src.bus.lost.add('remove_volume_connection')
        outcome = self.assertKept()
        self.assertEqual(2, self.asked())
        for word in (DST, 'has no migsafe', fake.volume(0), 'volume attachment delete '
                     + fake.attachment(DST, 0)):
            self.assertIn(word, str(outcome.held))
        # the rows are the source's by now: to ask again would disconnect by its numbers
        self.src.bus.lost.clear()
        self.assertKept()
        self.assertEqual(2, self.asked())

    def test_a_journal_that_fails_leaves_the_row_for_the_next_attempt(self):
        self.answered()
        real = self.src.journal.intent

        def fails(tx, resource, effect, *args, **how):
            if effect == 'remove_connection':
                raise exceptions.JournalUnavailable(database='d', reason='full', cure='')
            return real(tx, resource, effect, *args, **how)
        with mock.patch.object(self.src.journal, 'intent', fails):
            self.assertTrue(self.src.settle().records_wrong)
        self.assertEqual((0, BOTH), (self.asked(), self.attachments()))
        self.assertTrue(self.src.settle().clean)
        self.assertEqual((2, NONE, set()), (
            self.asked(), self.attachments(), self.dst.devices.present))

    def test_never_by_a_number_of_the_source(self):
        """Nova on the destination saves the attachment first, and its connection at the end."""
        self.answered()
        for number in (0, 1):
            key = fake.volume(number)
            self.world.records.rows[key] = dataclasses.replace(
                self.world.records.rows[key], connection_info=fake.info(SRC, number))
        self.assertKept()
        self.assertEqual(0, self.asked())

    def test_what_the_destination_has_deleted_itself(self):
        self.answered()
        for number in (0, 1):
            del self.world.volumes.rows[fake.attachment(DST, number)]
            key = fake.volume(number)
            self.world.records.rows[key] = dataclasses.replace(
                self.world.records.rows[key], attachment_id=fake.attachment(SRC, number),
                connection_info=fake.info(SRC, number))
        self.assertTrue(self.src.settle().clean)
        self.assertEqual((0, NONE), (self.asked(), self.attachments()))

    def test_a_guest_that_may_be_elsewhere(self):
        self.answered()
        for guest in set(G) - {G.HERE, G.HANDED_OVER}:
            self.src.guests.state = guest
            self.assertFalse(self.src.settle().clean)
            self.assertEqual((0, BOTH), (self.asked(), self.attachments()), guest)
        self.src.guests.state, self.src.guests.job = G.HERE, True
        self.assertFalse(self.src.settle().clean)
        self.assertEqual((0, BOTH), (self.asked(), self.attachments()))

    def test_silence_is_no_want_of_a_plugin(self):
        self.answered()
        self.src.bus.unarmed_hosts.clear()
        with self.away(DST):
            outcome = self.assertKept()
        self.assertEqual((0, False), (self.asked(), outcome.unarmed))

    def test_operations_here_need_not_wait_for_a_host_without_migsafe(self):
        def blocked(*waits):
            return gates.blocked(self.src.participant, fake.INSTANCE, *waits)
        self.assertIsNone(blocked(gates.Waits.ARMED))
        self.assertEqual('open', self.src.tx().state)
        # what moves the instance does: that host may still write
        self.assertIn('is not settled', blocked())
        self.src.bus.unarmed_hosts.clear()
        with self.away(DST):
            self.assertIn('is not settled', blocked(gates.Waits.ARMED))


class TestAnswered(hosts.TwoHosts):
    """What shows that a destination has ended its part."""

    def ask(self, error=None):
        attempt = self.src.participant.attempt(fake.MIGRATION, fake.INSTANCE)

        def wrapped():
            if error:
                raise error
            return 'data'
        with host_attempt.working(attempt):
            try:
                self.assertEqual('data', unarmed_destination.pre_live_migration(
                    wrapped, None, (), {}))
            except Exception as raised:
                self.assertIs(error, raised)
        return attempt

    def test_kinds(self):
        sent = type('NovaException_Remote', (exception.NovaException,), {})
        for error, expected in (
                (None, True), (sent(), True), (oslo_messaging.RemoteError('OSError', 'x'), True),
                (exception.NovaException(), False), (oslo_messaging.MessagingTimeout(), False),
                (oslo_messaging.MessageDeliveryFailure(), False), (OSError(), False)):
            self.assertIs(expected, self.ask(error).answered, error)

    def test_of_nobody(self):
        self.assertEqual('x', unarmed_destination.pre_live_migration(lambda: 'x', None, (), {}))
        self.assertRaises(OSError, unarmed_destination.pre_live_migration,
                          mock.Mock(side_effect=OSError), None, (), {})

    def test_noted_once(self):
        self.break_off()
        attempt = self.ask()
        attempt.tx = self.src.tx()
        for _ in range(2):
            unarmed_destination.note(self.src.participant, attempt)
        notes = [r.text for r in self.src.journal.records(attempt.tx) if r.kind == 'note']
        self.assertEqual([unarmed_loser.ANSWERED], notes)


class TestCleanUp(hosts.TwoHosts):
    """Nova's way back was stopped before it told the destination to clean up."""

    def setUp(self):
        super().setUp()
        self.src.journal.begin(fake.MIGRATION, 'source', fake.INSTANCE, SRC, DST,
                               captures=self.world.captures())
        self.src.guests.state = G.HERE
        self.without(DST)

    def sent(self, answered=True, wanted=True):
        """What was sent, and whether the instance was busy at that time."""
        sent = []
        attempt = self.src.participant.attempt(fake.MIGRATION, fake.INSTANCE)
        attempt.tx, attempt.answered = self.src.tx(), answered
        unarmed_destination.note(self.src.participant, attempt)
        manager = SimpleNamespace(
            _live_migration_cleanup_flags=lambda data, migr_ctxt: (wanted, False),
            compute_rpcapi=SimpleNamespace(
                rollback_live_migration_at_destination=lambda context, instance, dest, **given:
                sent.append((dest, given, self.world.records.row.task_state))))
        instance = SimpleNamespace(uuid=fake.INSTANCE, migration_context=None)
        self.waits = unarmed_destination.clean_up(self.src.participant, manager, attempt, {
            'dest': DST, 'instance': instance, 'migrate_data': 'data', 'context': None})
        return sent

    def test_once_the_rows_are_right_and_before_the_instance_is_given_back(self):
        self.assertEqual([(DST, {'destroy_disks': False, 'migrate_data': 'data'}, 'migrating')],
                         self.sent())
        self.assertEqual({fake.attachment(SRC, 0), fake.attachment(SRC, 1)},
                         {row.attachment_id for row in self.world.records.rows.values()})
        self.assertIsNone(self.waits)

    def test_not_where_nova_would_not(self):
        self.assertEqual([], self.sent(wanted=False))

    def test_not_to_a_host_that_may_be_at_work(self):
        self.assertEqual([], self.sent(answered=False))

    def test_not_to_one_that_settles_itself(self):
        self.src.bus.unarmed_hosts.clear()
        self.assertEqual([], self.sent())

    def test_not_while_a_row_is_wrong_and_the_instance_waits_for_it(self):
        self.world.records.changed_meanwhile.add(fake.volume(0))
        sent = self.sent()
        self.assertEqual([], sent)
        self.assertIn('changed by something else', self.waits)
        self.recover()
        self.assertEqual('migrating', self.world.records.row.task_state)
        self.assertGreater(self.src.tx().next_attempt_at, timeutils.utcnow())
        self.world.records.changed_meanwhile.clear()
        self.recover()
        self.assertEqual(['migrating'], [task for _dest, _given, task in sent])
        self.assertIsNone(self.world.records.row.task_state)

    def test_a_row_whose_outcome_cannot_be_written_counts_as_wrong(self):
        error = exceptions.JournalUnavailable(database='d', reason='full', cure='')
        with mock.patch.object(self.src.journal, 'outcome', side_effect=error):
            self.assertEqual([], self.sent())
        self.assertIn('full', self.waits)

    def recover(self):
        made = recovery.Recovery(self.src.participant, SimpleNamespace(
            _waiting_live_migrations={}), lambda text: None)
        made._one(self.src.tx())

    def test_not_unless_the_guest_is_here_for_certain(self):
        for guest in set(G) - {G.HERE}:
            self.src.guests.state = guest
            self.assertEqual([], self.sent(), guest)
        self.src.guests.state, self.src.guests.job = G.HERE, True
        self.assertEqual([], self.sent())


class TestPrepare(hosts.TwoHosts):
    """When it is taken back at all."""

    def fail(self, plugin):
        manager = type('Manager', (), {})()
        registry.put(manager, self.dst.participant)
        self.dst.participant.recovery = SimpleNamespace(nudge=lambda: None)
        call = {'instance': SimpleNamespace(uuid=fake.INSTANCE, host=SRC)}
        migration = SimpleNamespace(uuid=fake.MIGRATION)

        def wrapped(context, instance, disk, migrate_data):
            raise OSError('no path to the volume')

        def begin(participant, attempt, *_args):
            attempt.tx = self.dst.tx()
        with mock.patch.object(preparation, 'begin', begin), \
                mock.patch.object(preparation, 'migration', return_value=migration), \
                mock.patch.object(preparation, 'plugin', return_value=plugin):
            self.assertRaises(OSError, destination.pre_live_migration, wrapped, manager,
                              (None, call['instance'], None, None), {})

    def test_only_where_nobody_leads(self):
        self.break_off()
        self.fail(plugin=True)
        self.assertEqual((BOTH, ('open', None)), (self.attachments(), self.dst.verdict()))
        self.fail(plugin=False)
        self.assertEqual((NONE, ('settled', 'ABORT')), (self.attachments(), self.dst.verdict()))


if __name__ == '__main__':
    unittest.main()
