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
import dataclasses
import types
import uuid
from unittest import mock

from nova import exception

from migsafe import exceptions
from migsafe.nova.host import attempt as host_attempt
from migsafe.nova.host import registry
from migsafe.nova.seams import destination, effects
from migsafe.tests.unit.nova import hosts
from migsafe.tests.unit.resources import cloud as fake
from migsafe.transaction.clients import OtherMove, VolumeRow
from migsafe.transaction.closing import Outcome
from migsafe.transaction.evidence import NO_QEMU, GuestState
from migsafe.transaction.history import NOT_BEGUN
from migsafe.transaction.verdict import Verdict
from migsafe.transaction.witness import HANDED_OVER

SRC, DST, G = fake.SRC, fake.DST, GuestState
ABORTED, COMMITTED = ('settled', 'ABORT'), ('settled', 'COMMIT')


class TestBothAlive(hosts.TwoHosts):
    def test_abort(self):
        self.break_off()
        self.assertTrue(self.src.settle().clean)
        self.assertEqual((ABORTED, ABORTED),
                         (self.src.verdict(), self.dst.verdict()))
        self.assertEqual({SRC: 2, DST: 0}, self.attachments())
        self.assertEqual(set(), self.dst.devices.present)
        self.assertEqual(2, len(self.src.devices.present))
        self.assertFalse(self.dst.cloud.directories.there)
        self.assertTrue(self.src.cloud.directories.there)

    def test_commit(self):
        self.break_off(G.ABSENT, G.HERE)
        self.assertTrue(self.src.settle().clean)
        self.assertEqual(COMMITTED, self.src.verdict())
        self.assertEqual({SRC: 0, DST: 2}, self.attachments())
        self.assertEqual(set(), self.src.devices.present)
        self.assertEqual(DST, self.world.records.row.host)
        self.assertTrue(self.dst.settle().clean)
        self.assertEqual(COMMITTED, self.dst.verdict())
        self.assertEqual(2, len(self.dst.devices.present))

    def test_the_source_leads(self):
        self.break_off()
        outcome = self.dst.settle()
        self.assertFalse(outcome.clean)
        self.assertIn(SRC, str(outcome.held))
        self.assertEqual([], self.dst.cloud.changes())

    def test_who_waits_for_a_host_on_hold_says_where_to_look_and_what_to_do(self):
        self.break_off(GuestState.HERE, GuestState.HERE)
        self.src.settle()
        self.assertEqual(('open', 'HOLD'), self.src.verdict())
        self.dst.settle()
        reason = self.dst.tx().reason
        for word in (f'{SRC} has not settled it yet and may need a person', 'on HOLD there',
                     f'`migsafe journal show {fake.MIGRATION}` on {SRC}',
                     f'`migsafe settle {fake.MIGRATION}` there', f'{DST} follows by itself'):
            self.assertIn(word, reason)

    def test_running_on_both_is_touched_by_nobody(self):
        self.break_off(G.HERE, G.HERE)
        for host in (self.src, self.dst):
            self.assertFalse(host.settle().clean)
            self.assertEqual([], host.cloud.changes())


class TestHeardOf(hosts.TwoHosts):
    """post_live_migration_at_destination"""

    def hear(self):
        """What the hook returns; Nova puts the instance into ERROR if it raises."""
        self.break_off(G.ABSENT, G.HERE)
        manager = type('Manager', (), {})()
        registry.put(manager, self.dst.participant)

        def wrapped(context, instance, block_migration):
            return f'Nova did it for {instance.uuid}'
        return destination.post_live_migration_at_destination(
            wrapped, manager, (None, types.SimpleNamespace(uuid=fake.INSTANCE), False), {})

    def test_written_down(self):
        self.assertIn(fake.INSTANCE, self.hear())
        self.assertEqual(COMMITTED, self.dst.verdict())

    def test_journal_that_cannot_be_read(self):
        error = exceptions.JournalUnavailable(database='d', reason='no reply', cure='')
        with mock.patch.object(self.dst.journal, 'unsettled_for_instance',
                               side_effect=error) as asked:
            self.assertIn(fake.INSTANCE, self.hear())
        asked.assert_called_once_with(fake.INSTANCE)
        # recovery does what is left
        self.assertEqual(('open', None), self.dst.verdict())
        self.assertTrue(self.src.settle().clean)
        self.dst.settle()
        self.assertEqual(COMMITTED, self.dst.verdict())


class TestForgets(hosts.TwoHosts):
    """What Nova remembers of a guest that was to come."""

    def prepare(self, **kwargs):
        super().prepare(**kwargs)
        self.forgot = []
        for host in (self.src, self.dst):
            host.participant.forget = lambda uuid, name=host: self.forgot.append(
                (name is self.dst, uuid))

    def test_when_the_source_has_settled(self):
        self.break_off()
        self.src.settle()
        self.assertEqual([(True, fake.INSTANCE)], self.forgot)

    def test_when_it_finds_out_by_itself(self):
        self.break_off()
        self.dst.journal.verdict(self.dst.tx(), 'ABORT', 'told before')
        self.src.journal.verdict(self.src.tx(), 'ABORT', 'by hand')
        self.src.journal.finish(self.src.tx(), 'by hand')
        self.assertTrue(self.dst.settle().clean)
        self.assertEqual([(True, fake.INSTANCE)], self.forgot)

    def test_not_while_something_is_left(self):
        self.break_off()
        self.dst.devices.holders[fake.volume(1)] = 'LV root'
        self.src.settle()
        self.assertEqual([], self.forgot)

    def test_not_of_a_guest_that_has_come(self):
        self.break_off(G.ABSENT, G.HERE)
        self.src.settle()
        self.dst.settle()
        self.assertEqual([], self.forgot)

    def test_not_of_the_next_attempt(self):
        self.break_off()
        tx, outcome = self.dst.tx(), Outcome(Verdict.ABORT, {})
        attempt = self.dst.participant.attempt('new', fake.INSTANCE)
        with self.dst.participant.attempts.open(attempt):
            self.dst.participant.forget_guest(tx, outcome)
        self.assertEqual([], self.forgot)
        self.dst.participant.forget_guest(tx, outcome)
        self.assertEqual([(True, fake.INSTANCE)], self.forgot)


class TestOneAway(hosts.TwoHosts):
    def test_destination_silent_then_back(self):
        self.break_off()
        with self.away(DST):
            self.assertFalse(self.src.settle().clean)
            self.assertEqual({SRC: 2, DST: 2}, self.attachments())
            self.assertEqual({fake.attachment(SRC, n) for n in (0, 1)}, {
                r.attachment_id for r in self.world.records.rows.values()})
        self.assertTrue(self.src.settle().clean)
        self.assertEqual({SRC: 2, DST: 0}, self.attachments())

    def test_destination_declared_dead_comes_back(self):
        self.break_off()
        with self.away(DST):
            self.world.hosts.down.add(DST)
            self.assertTrue(self.src.settle().clean)
        self.assertTrue(self.dst.devices.present)
        self.dst.devices.present.clear()
        self.assertTrue(self.dst.settle().clean)
        self.assertEqual(ABORTED, self.dst.verdict())

    def test_source_silent_while_the_guest_runs_on_the_destination(self):
        self.break_off(G.ABSENT, G.HERE)
        with self.away(SRC):
            self.assertFalse(self.dst.settle().clean)
        self.assertEqual(DST, self.world.records.row.host)
        self.assertEqual({SRC: 2, DST: 2}, self.attachments())
        self.assertNotIn('disconnect', [c[0] for c in
                                        self.dst.cloud.changes()])
        self.assertTrue(self.src.settle().clean)
        self.assertTrue(self.dst.settle().clean)
        self.assertEqual((COMMITTED, COMMITTED),
                         (self.src.verdict(), self.dst.verdict()))

    def test_two_verdicts_never_contradict_each_other(self):
        """The source lost power, the destination took over and committed,
        its user then stopped the guest, and the source came back: "runs
        nowhere" is ABORT for one that does not ask what was decided."""
        self.break_off(G.ABSENT, G.HERE)
        with self.away(SRC):
            self.dst.settle()
        self.assertEqual('COMMIT', self.dst.verdict()[1])
        self.dst.guests.state = G.ABSENT
        self.src.settle()
        self.assertNotEqual('ABORT', self.src.verdict()[1])
        self.assertEqual(DST, self.world.records.row.host)

    def test_lost_reply_of_the_source_is_not_a_source_without_a_journal(self):
        """The source has committed; only the answer to "describe" is lost."""
        self.break_off(G.ABSENT, G.HERE)
        self.src.journal.note(self.src.tx(), HANDED_OVER)
        self.assertTrue(self.src.settle().clean)
        self.dst.guests.state = G.ABSENT        # its user stopped it
        self.dst.bus.lost = {'describe'}
        self.dst.settle()
        self.assertNotEqual('ABORT', self.dst.verdict()[1])
        self.assertEqual(DST, self.world.records.row.host)
        self.assertEqual({SRC: 0, DST: 2}, self.attachments())


class TestDeclaredDead(hosts.TwoHosts):
    """A host that an operator declared dead, and that answers all the same."""

    def settle(self, boot, src=G.SHUT_OFF):
        """The source's verdict when libvirt of the other host is broken.

        :param boot: the boot from which the destination answers
        """
        self.prepare()
        number = str(uuid.uuid4())
        self.src.guests.state, self.dst.guests.state = src, G.UNKNOWN
        self.src.journal.begin(number, 'source', fake.INSTANCE, SRC, DST,
                               captures=self.world.captures())
        self.dst.journal.begin(number, 'destination', fake.INSTANCE, SRC, DST,
                               dest_boot_id='boot-1')
        self.dst.guests.boot = boot
        self.src.journal.request(self.src.tx(number), 'peer_is_dead',
                                 {'host': DST})
        # what rests on an answer is heard twice
        self.src.settle(number)
        self.src.settle(number)
        return self.src.tx(number)

    def test_only_another_boot_bears_it_out(self):
        self.assertEqual('ABORT', self.settle('boot-2').verdict)
        for boot in ('boot-1', '', None):
            with self.subTest(boot):
                tx = self.settle(boot)
                self.assertEqual('HOLD', tx.verdict)
                self.assertIn('declared dead by an operator, but it answers',
                              tx.reason)

    def test_its_devices_are_its_own_to_look_at(self):
        """It is alive: as of any host that answers, an export stays while
        that host cannot say that the device is gone."""
        for boot in ('boot-1', 'boot-2', None):
            self.settle(boot, G.HERE)
            self.assertEqual({SRC: 2, DST: 2}, self.attachments())
            self.assertEqual([], self.dst.cloud.changes())


class TestMovedOn(hosts.TwoHosts):
    """Something else moved the instance while this was held."""

    def hold(self):
        """Committed and freed, but a device of the source has a holder."""
        self.break_off(G.ABSENT, G.HERE)
        self.src.devices.holders[fake.volume(0)] = 'LV guest/data'
        self.assertFalse(self.src.settle().clean)
        self.assertEqual(DST, self.world.records.row.host)
        self.assertIsNone(self.world.records.row.task_state)

    def move_back(self):
        """A cold migration or an evacuation brings it to the source."""
        self.world.records.row = dataclasses.replace(
            self.world.records.row, host=SRC, node=SRC, vm_state='stopped')
        for number in (0, 1):
            new = f'a77a0000-0000-4000-8000-9{number:011d}'
            self.world.volumes.add(new, fake.volume(number), SRC,
                                   fake.info(SRC, number))
            self.world.volumes.rows.pop(fake.attachment(DST, number), None)
            self.world.records.rows[fake.volume(number)] = VolumeRow(
                number + 1, fake.volume(number), new, fake.info(SRC, number))
        self.src.cloud.directories.there = True
        self.dst.guests.state = G.ABSENT
        self.src.calls.made.clear()

    def test_moved_back_and_stopped(self):
        """Its records, its directory and its exports are of the new life."""
        self.hold()
        self.move_back()
        self.src.settle()
        self.assertEqual(SRC, self.world.records.row.host)
        self.assertTrue(self.src.cloud.directories.there)
        changed = {name for name, *_ in self.src.cloud.changes()}
        self.assertEqual(set(), changed & {
            'to_host', 'remove_directory', 'replace_connection', 'bind',
            'delete_allocations'})
        self.assertEqual(2, sum(
            row.attachment_id in self.world.volumes.rows
            for row in self.world.records.rows.values()))

    def test_moved_back_and_running(self):
        self.hold()
        self.move_back()
        self.src.guests.state = G.HERE
        self.src.settle()
        self.assertEqual([], self.src.cloud.changes())


class TestMovesOn(hosts.TwoHosts):
    """Something else is moving the instance to the loser while this is held."""

    def row(self, **changes):
        self.world.records.row = dataclasses.replace(
            self.world.records.row, **changes)

    def moving(self, source, dest, kind='migration', status='migrating',
               **changes):
        """A cold migration, seen from the middle: the host is not changed."""
        self.world.records.others = [OtherMove(
            kind, 'other-move', status, source, dest)]
        self.row(**{'task_state': 'resize_migrating'} | changes)
        for host in (self.src, self.dst):
            host.guests.state = G.ABSENT
            host.cloud.directories.there = True
            host.calls.made.clear()

    def aborted(self):
        """Freed while the destination was silent; that one is back now."""
        self.break_off()
        with self.away(DST):
            self.assertFalse(self.src.settle().clean)
        self.assertIsNone(self.world.records.row.task_state)

    def committed(self):
        self.break_off(G.ABSENT, G.HERE)
        self.src.devices.holders[fake.volume(0)] = 'LV guest/data'
        self.assertFalse(self.src.settle().clean)
        self.src.devices.holders.clear()

    def assertLeftAlone(self, host):
        """What is there was made for the other move."""
        self.assertEqual([], [
            change for change in host.cloud.changes()
            if change[0] in ('disconnect', 'remove_directory',
                             'delete_attachment')])
        self.assertTrue(host.cloud.directories.there)

    def test_cold_migration_to_the_destination_of_an_abort(self):
        self.aborted()
        self.moving(SRC, DST)
        outcome = self.src.settle()
        self.assertLeftAlone(self.dst)
        self.assertFalse(outcome.clean)
        self.assertIn('other-move', str(outcome.held))
        self.assertIn('set --state active', str(outcome.held))
        self.assertEqual({SRC: 2, DST: 2}, self.attachments())

    def test_the_destination_by_itself(self):
        self.aborted()
        self.moving(SRC, DST, 'evacuation', 'pre-migrating',
                    task_state='rebuilding')
        self.dst.journal.verdict(self.dst.tx(), 'ABORT', 'told before')
        with self.away(SRC):
            self.dst.settle()
        self.assertLeftAlone(self.dst)

    def test_cold_migration_to_the_source_of_a_commit(self):
        self.committed()
        self.moving(DST, SRC)
        self.src.settle()
        self.assertLeftAlone(self.src)

    def test_and_away_again(self):
        """What is left there is what a revert needs."""
        self.committed()
        self.moving(SRC, fake.THIRD, status='finished', host=fake.THIRD,
                    task_state=None, vm_state='resized')
        self.src.settle()
        self.assertLeftAlone(self.src)

    def test_unshelved_to_the_destination(self):
        self.aborted()
        self.moving('', '')
        self.world.records.others = []
        self.row(host=None, task_state='spawning', vm_state='shelved_offloaded')
        self.src.settle()
        self.assertLeftAlone(self.dst)

    def test_arrived_there(self):
        """As its own record says; the source closes it, then this one. That something has brought
        it there has to be on record for the source's word to be believed."""
        self.arrived_there('ABORT', OtherMove(
            'migration', 'other-move', 'confirmed', SRC, DST, over=True))

    def test_arrived_there_without_a_record(self):
        self.arrived_there(None)

    def test_arrived_there_and_the_record_came_to_nothing(self):
        self.arrived_there(None, OtherMove(
            'migration', 'other-move', 'error', SRC, DST, over=True))

    def arrived_there(self, verdict, *others):
        self.aborted()
        self.moving('', '')
        self.world.records.others = list(others)
        self.row(host=DST, task_state=None)
        self.dst.participant.release(fake.MIGRATION, fake.INSTANCE,
                                     Verdict.ABORT)
        self.assertLeftAlone(self.dst)
        self.assertTrue(self.src.settle().clean)
        self.assertTrue(self.dst.settle().clean)
        self.assertEqual((ABORTED, ('settled', verdict)),
                         (self.src.verdict(), self.dst.verdict()))
        self.assertLeftAlone(self.dst)

    def test_message_about_a_migration_that_this_host_does_not_know(self):
        self.moving(SRC, DST)
        answer = self.dst.participant.release(
            str(uuid.uuid4()), fake.INSTANCE, Verdict.ABORT)
        self.assertEqual('refused', answer['state'])
        self.assertLeftAlone(self.dst)

    def assertNoReasonToWait(self, *hosts, **changes):
        self.aborted()
        self.moving(*hosts, **changes)
        self.assertTrue(self.src.settle().clean)
        self.assertFalse(self.dst.cloud.directories.there)

    def test_elsewhere(self):
        self.assertNoReasonToWait(SRC, fake.THIRD)

    def test_record_that_nobody_works_on(self):
        self.assertNoReasonToWait(SRC, DST, task_state=None)

    def test_directory_is_removed_once(self):
        self.break_off()
        self.dst.devices.holders[fake.volume(1)] = 'LV root'
        self.assertFalse(self.src.settle().clean)
        self.assertFalse(self.dst.cloud.directories.there)
        self.dst.cloud.directories.there = True
        self.dst.devices.holders.clear()
        self.assertTrue(self.src.settle().clean)
        self.assertTrue(self.dst.cloud.directories.there)


class TestDeletedService(hosts.TwoHosts):
    """One host is gone for good, and its compute service was deleted as Nova's procedure says."""

    def settled_without(self, deleted):
        self.break_off(src=G.ABSENT, dst=G.HERE)
        self.world.hosts.down.add(SRC)
        for part in (self.world.allocations, self.world.hosts):
            part.deleted.add(deleted)
        with self.away(SRC):
            self.dst.journal.request(self.dst.tx(), 'peer_is_dead',
                                     {'host': SRC, 'user': 'root'})
            return self.dst.settle()

    def test_the_loser(self):
        self.assertTrue(self.settled_without(SRC).clean)
        self.assertEqual(('settled', 'COMMIT'), self.dst.verdict())

    def test_the_winner(self):
        self.assertIn('instance holds nothing there', str(self.settled_without(DST).held))


class TestLate(hosts.TwoHosts):
    """Messages that arrive when something else is going on."""

    def release(self, migration):
        return self.dst.participant.release(migration, fake.INSTANCE,
                                            Verdict.ABORT)

    def test_release_of_another_migration_while_one_is_prepared(self):
        """An old message, or a recovery elsewhere, must not disconnect what
        pre_live_migration of a newer migration has just connected."""
        self.begin_destination('new')
        self.dst.guests.state = G.ABSENT
        attempt = self.dst.participant.attempt('new', fake.INSTANCE)
        with self.dst.participant.attempts.open(attempt):
            self.release(str(uuid.uuid4()))
        self.assertEqual([], self.dst.cloud.changes())
        self.assertEqual(2, len(self.dst.devices.present))

    def test_tombstone_and_pre_live_migration_at_the_same_moment(self):
        """One of the two sees the other, whichever is first."""
        self.dst.guests.state = G.ABSENT
        opened = []
        attempt = self.dst.participant.attempt(fake.MIGRATION, fake.INSTANCE)
        begin = self.dst.journal.begin

        def begin_twice(*args, **kwargs):
            tx = begin(*args, **kwargs)
            # The other thread: destination._begin() reads this row,
            # which has no verdict yet, and goes on.
            context = self.dst.participant.attempts.open(attempt)
            context.__enter__()
            opened.append(context)
            return tx
        self.dst.journal.begin = begin_twice
        answer = self.release(fake.MIGRATION)
        opened[0].__exit__(None, None, None)
        self.assertTrue(attempt.fenced.is_set()
                        or answer['state'] != 'done', answer)

    def test_release_while_pre_live_migration_runs_stops_it(self):
        self.break_off()
        self.src.journal.verdict(self.src.tx(), 'ABORT', 'runs here')
        attempt = self.dst.participant.attempt(fake.MIGRATION, fake.INSTANCE)
        with self.dst.participant.attempts.open(attempt):
            answer = self.release(fake.MIGRATION)
            self.assertEqual('busy', answer['state'])
            self.assertTrue(attempt.fenced.is_set())
        self.assertEqual([], self.dst.cloud.changes())
        self.assertEqual('done', self.release(fake.MIGRATION)['state'])

    def test_stopped_while_the_journal_kept_a_step_waiting(self):
        """Between the question and the connect lies a wait for a disk, as long as it takes."""
        self.begin_destination()
        attempt = self.dst.participant.attempt(fake.MIGRATION, fake.INSTANCE)
        attempt.tx, written, connected = self.dst.tx(), attempt.intent, []

        class Driver:
            def _connect_volume(self, context, connection_info, instance):
                connected.append(connection_info)

        def waits(*args):
            number = written(*args)
            attempt.fenced.set()
            return number
        driver, step = Driver(), effects.journalled(effects.CONNECT)
        given = (None, fake.info(DST, 0), None)
        with self.dst.participant.attempts.open(attempt), host_attempt.working(attempt):
            step(driver._connect_volume, driver, given, {})
            self.assertEqual(1, len(connected))
            with mock.patch.object(attempt, 'intent', waits), \
                    self.assertRaisesRegex(exception.MigrationError, 'was rolled back'):
                step(driver._connect_volume, driver, given, {})
            attempt.flush()
        self.assertEqual(1, len(connected))
        self.assertEqual(NOT_BEGUN, self.dst.journal.records(attempt.tx)[-1].payload)

    def test_source_keeps_everything_while_the_destination_is_busy(self):
        self.break_off()
        attempt = self.dst.participant.attempt(fake.MIGRATION, fake.INSTANCE)
        with self.dst.participant.attempts.open(attempt):
            self.assertFalse(self.src.settle().clean)
        self.assertEqual({SRC: 2, DST: 2}, self.attachments())
        self.assertTrue(self.src.settle().clean)

    def test_release_twice_at_once(self):
        self.break_off()
        self.src.journal.verdict(self.src.tx(), 'ABORT', 'runs here')
        tx = self.dst.tx()
        with self.dst.participant.exclusive(tx, 0) as mine:
            self.assertTrue(mine)
            self.assertEqual('busy', self.release(fake.MIGRATION)['state'])
        self.assertEqual([], self.dst.cloud.changes())


class TestRelease(hosts.TwoHosts):
    def release(self, verdict=Verdict.ABORT, **changes):
        fields = {'uuid': fake.MIGRATION, 'instance': fake.INSTANCE}
        fields |= changes
        return self.dst.participant.release(
            fields['uuid'], fields['instance'], verdict)

    def test_of_another_instance(self):
        self.break_off()
        answer = self.release(instance=str(uuid.uuid4()))
        self.assertEqual('refused', answer['state'])
        self.assertEqual([], self.dst.cloud.changes())

    def test_against_a_journalled_commit(self):
        self.break_off(G.ABSENT, G.ABSENT)
        self.dst.journal.verdict(self.dst.tx(), 'COMMIT', 'arrived')
        answer = self.release()
        self.assertEqual('refused', answer['state'])
        self.assertIn('COMMIT', answer['reason'])
        self.assertEqual([], self.dst.cloud.changes())

    def test_commit_of_an_unknown_migration(self):
        answer = self.release(Verdict.COMMIT, uuid=str(uuid.uuid4()))
        self.assertEqual('refused', answer['state'])

    def test_guest_in_the_way(self):
        self.break_off()
        for state in G:
            if state in (*NO_QEMU, G.DEAD):
                continue
            self.dst.guests.state = state
            answer = self.release()
            if answer['state'] == 'done':
                self.assertEqual({fake.volume(0), fake.volume(1)},
                                 set(answer['kept']))
        self.assertEqual([], self.dst.cloud.changes())

    def test_tombstone_refuses_what_comes_later(self):
        self.dst.guests.state = G.ABSENT
        self.dst.devices.present.clear()
        self.world.volumes.rows.clear()
        self.assertEqual('done', self.release()['state'])
        tx = self.dst.journal.begin(fake.MIGRATION, 'destination',
                                    fake.INSTANCE, SRC, DST)
        self.assertEqual(ABORTED, (tx.state, tx.verdict))

    def test_one_volume_kept_and_all_else_released(self):
        self.break_off()
        self.src.journal.verdict(self.src.tx(), 'ABORT', 'runs here')
        self.dst.devices.holders[fake.volume(1)] = 'LV root'
        answer = self.release()
        self.assertEqual(('done', [fake.volume(1)]),
                         (answer['state'], list(answer['kept'])))
        self.assertFalse(self.src.settle().clean)
        self.assertEqual({SRC: 2, DST: 1}, self.attachments())
        self.dst.devices.holders.clear()
        self.assertTrue(self.src.settle().clean)
        self.assertEqual({SRC: 2, DST: 0}, self.attachments())


class TestStanding(hosts.TwoHosts):
    def test_follow_never_turns_a_commit_round(self):
        self.break_off(G.ABSENT, G.ABSENT)
        self.dst.journal.verdict(self.dst.tx(), 'COMMIT', 'it was here')
        self.src.journal.verdict(self.src.tx(), 'ABORT', 'by hand')
        self.src.journal.finish(self.src.tx(), 'by hand')
        self.dst.settle()
        self.assertEqual('COMMIT', self.dst.verdict()[1])
        self.assertEqual([], [c for c in self.dst.cloud.changes()
                              if c[0] in ('disconnect', 'remove_directory')])


class TestHandedOver(hosts.TwoHosts):
    def test_a_guest_that_ended_on_the_source_was_not_handed_over(self):
        """Whatever Nova took it for when it was asked."""
        for dst in G:
            if dst is G.HERE:
                continue
            with self.subTest(dst):
                self.prepare()
                number = str(uuid.uuid4())
                tx = self.src.journal.begin(
                    number, 'source', fake.INSTANCE, SRC, DST,
                    captures=self.world.captures())
                self.src.journal.note(tx, HANDED_OVER)
                self.src.guests.state = G.SHUT_OFF
                self.dst.guests.state = dst
                self.src.settle(number)
                self.assertNotEqual('COMMIT', self.src.tx(number).verdict)
                self.assertTrue(self.src.cloud.directories.there)

    def test_a_directory_waits_until_the_guest_is_seen(self):
        """Handed over, by Nova's word, to a host that is silent or lost it."""
        self.break_off(G.ABSENT, G.ABSENT)
        self.src.journal.note(self.src.tx(), HANDED_OVER)
        outcome = self.src.settle()
        self.assertIn('only copy', str(outcome.held))
        self.assertEqual({SRC: 0, DST: 2}, self.attachments())
        self.assertTrue(self.src.cloud.directories.there)
        self.dst.guests.state = G.HERE
        self.assertTrue(self.src.settle().clean)
        self.assertFalse(self.src.cloud.directories.there)

    def test_stopped_source_and_no_destination_is_not_a_hand_over(self):
        """The guest still is in the stopped source: starting it failed on
        the destination, and libvirt is about to resume it here."""
        for dst in (G.ABSENT, G.UNKNOWN):
            with self.subTest(dst):
                self.prepare()
                number = str(uuid.uuid4())
                tx = self.src.journal.begin(
                    number, 'source', fake.INSTANCE, SRC, DST,
                    captures=self.world.captures())
                self.src.journal.note(tx, HANDED_OVER)
                self.src.guests.state = G.IN_TRANSFER
                self.dst.guests.state = dst
                self.src.settle(number)
                self.assertNotEqual('COMMIT', self.src.tx(number).verdict)

