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
import concurrent.futures
import contextlib
import datetime
import threading
import time
import types
import unittest
import uuid
from unittest import mock

from oslo_utils import fixture as timeutils_fixture
from oslo_utils import timeutils

from migsafe import clock
from migsafe.nova.clients import orphans
from migsafe.nova.host import recovery, upkeep, workers
from migsafe.tests.unit.nova import hosts
from migsafe.tests.unit.resources import cloud as fake
from migsafe.transaction.evidence import GuestState
from migsafe.transaction.move import FREED

SRC, DST, G = fake.SRC, fake.DST, GuestState


class Migrating:
    """Nova's instances in ``migrating`` on a host."""

    def __init__(self):
        self.found, self.asked = [], 0

    def migrating(self, host, wanted):
        self.asked += 1
        if isinstance(self.found, Exception):
            raise self.found
        return [found for found in self.found if wanted(found.instance_uuid)]

    def directory_shared(self, instance_uuid, host):
        return not host


class Block:
    """Makes settlements wait until they are let go."""

    def __init__(self, recovering, only=None):
        self.only, self.crew = only, recovering._crew
        self.go, self.arrived = threading.Event(), threading.Semaphore(0)
        self.most = self.now = 0
        self.settle = recovering._participant.settle
        recovering._participant.settle = self.wait

    def wait(self, tx):
        if self.only is None or tx.uuid in self.only:
            self.now += 1
            self.most = max(self.most, self.now)
            self.arrived.release()
            self.go.wait(60)
            self.now -= 1
        return self.settle(tx)

    def release(self):
        """Let go of what waits, and wait for its end."""
        self.go.set()
        self.crew.wait()
        self.go.clear()


NONE_FAILED = types.SimpleNamespace(instances=lambda host, wanted: ())
NONE_LEFT = types.SimpleNamespace(page=lambda host, wanted: [], done=lambda: None)


class Case(hosts.TwoHosts):
    def setUp(self):
        super().setUp()
        self.manager = types.SimpleNamespace(_waiting_live_migrations={})
        self.beats = []
        self.nova = Migrating()
        self.recovery = self.new_recovery()

    def new_recovery(self):
        made = recovery.Recovery(self.src.participant, self.manager,
                                 self.beats.append)
        made._upkeep._adoption._records = self.nova
        made._upkeep._adoption._failed = NONE_FAILED
        made._upkeep._adoption._claims = NONE_LEFT
        return made

    def journal_several(self, count):
        """Unsettled transactions of as many instances."""
        uuids = [str(uuid.uuid4()) for _ in range(count)]
        for number in uuids:
            self.src.journal.begin(number, 'source', str(uuid.uuid4()), SRC,
                                   '', captures=self.world.captures())
        self.world.records.row = None
        return uuids

    def round(self, later=5):
        """One round a little later, when all that is new is due."""
        return self.recovery.round(
            lambda: timeutils.utcnow() + datetime.timedelta(seconds=later))

    def round_and_wait(self):
        self.recovery.round(timeutils.utcnow)
        self.recovery._crew.wait()

    def open(self):
        """The uuids that are not settled."""
        return {tx.uuid for tx in self.src.journal.unsettled(limit=1000)}


class TestRound(Case):
    def test_the_whole_journal_is_checked_once_a_day(self):
        with mock.patch.object(self.src.journal, 'check_whole') as check:
            for _turn in range(3):
                self.recovery._upkeep._do()
                self.recovery._upkeep._aside.wait()
            check.assert_called_once_with()
            self.recovery._upkeep._checked -= 25 * 3600
            self.recovery._upkeep._do()
            self.recovery._upkeep._aside.wait()
            self.assertEqual(2, check.call_count)

    def test_a_clock_that_jumps_a_month_ahead_purges_nothing(self):
        journal = self.src.journal
        tx = journal.finish(journal.begin(
            str(uuid.uuid4()), 'source', str(uuid.uuid4()), SRC, ''))
        now = timeutils_fixture.TimeFixture()
        now.setUp()
        self.addCleanup(now.cleanUp)
        self.recovery._upkeep._purge()
        now.advance_time_seconds(31 * 86400)
        self.recovery._upkeep._purge()
        self.assertIsNotNone(journal.refresh(tx))
        # The control: so it would be if the month had gone by.
        self.recovery._upkeep._clock = clock.Steady(datetime.timedelta(0))
        self.recovery._upkeep._purge()
        self.assertIsNone(journal.refresh(tx))

    def test_once_settles_everything_in_pages(self):
        self.conf.set_override('recovery_batch', 3, 'migsafe')
        self.journal_several(8)
        self.recovery.once()
        self.assertEqual(set(), self.open())
        self.assertEqual([''], self.beats)

    def test_a_round_is_bounded_and_says_that_there_is_more(self):
        self.journal_several(9)
        block = Block(self.recovery)
        left = []
        for expected in (True, True, False):
            self.assertIs(expected, self.round())
            block.release()
            left.append(len(self.open()))
        self.assertEqual([5, 1, 0], left)
        self.assertEqual(4, block.most)

    def test_what_is_not_due_waits(self):
        self.journal_several(1)
        tx = self.src.journal.unsettled()[0]
        self.src.journal.postpone(tx, 500, 'later')
        self.round_and_wait()
        self.assertEqual({tx.uuid}, self.open())
        self.recovery.once()
        self.assertEqual(set(), self.open())

    def test_live_ones_are_left_alone(self):
        number = self.journal_several(1)[0]
        attempt = self.src.participant.attempt(number, fake.INSTANCE)
        with self.src.participant.attempts.open(attempt):
            self.recovery.once()
        self.assertEqual({number}, self.open())


class TestHanging(Case):
    """What never comes back holds up itself and nothing else."""

    def hang(self, count):
        uuids = self.journal_several(count)
        block = Block(self.recovery, set(uuids))
        self.addCleanup(self.recovery._crew.wait)
        self.addCleanup(block.go.set)
        self.round()
        for _ in range(min(count, self.conf.migsafe.recovery_workers)):
            self.assertTrue(block.arrived.acquire(timeout=30))
        return uuids, block

    def until(self, done):
        """Rounds until something is so."""
        for number in range(300):
            if done():
                return
            self.round(30 * number)
            time.sleep(0.05)
        self.fail(f'still open: {self.open()}')

    def test_a_later_one_is_settled(self):
        hung, block = self.hang(1)
        self.journal_several(1)
        self.until(lambda: self.open() == set(hung))
        block.release()
        self.assertEqual(set(), self.open())

    def test_it_is_not_taken_up_twice(self):
        _hung, block = self.hang(1)
        for _ in range(5):
            self.round()
        block.release()
        self.assertEqual(1, block.most)

    def test_its_host_still_beats_and_adopts(self):
        self.hang(1)
        self.nova.asked = 0
        beats = len(self.beats)
        self.until(lambda: self.nova.asked >= 2)
        self.assertGreater(len(self.beats), beats)

    def test_adoption_that_hangs(self):
        go = threading.Event()
        self.addCleanup(go.set)
        self.nova.migrating = lambda *_: go.wait(60) and []
        self.journal_several(1)
        self.until(lambda: not self.open())
        self.assertTrue(self.recovery._upkeep._aside.busy(upkeep.ADOPTION))

    def test_a_device_of_no_migration_that_hangs(self):
        go = threading.Event()
        self.addCleanup(go.set)
        self.src.participant.kept = types.SimpleNamespace(
            settle=lambda: go.wait(60))
        self.journal_several(1)
        self.until(lambda: not self.open() and self.nova.asked >= 2)
        self.assertTrue(self.recovery._upkeep._aside.busy(upkeep.KEPT))

    def test_as_many_as_there_are_workers(self):
        hung, _block = self.hang(self.conf.migsafe.recovery_workers)
        later, = self.journal_several(1)
        self.round()
        self.assertIn(later, self.open())
        with mock.patch.object(workers, 'HUNG', 0):
            self.until(lambda: self.open() == set(hung))
            self.round(10 ** 6)
        for number in hung:
            tx = self.src.journal.get(number)
            self.assertIn(f'transaction {tx.id}', self.beats[-1])
        self.assertIn('hangs', self.beats[-1])

    def test_those_that_hang_are_bounded(self):
        self.conf.set_override('recovery_batch', 6, 'migsafe')
        self.recovery = self.new_recovery()
        with mock.patch.object(workers, 'HUNG', 0):
            _hung, block = self.hang(12)
            for _ in range(10):
                self.round()
                time.sleep(0.01)
            self.assertLessEqual(block.most, 6)
        block.release()

    def test_many_live_ones_leave_room_for_others(self):
        live = self.journal_several(3 * self.conf.migsafe.recovery_batch)
        attempts = self.src.participant.attempts
        with contextlib.ExitStack() as stack:
            for number in live:
                stack.enter_context(attempts.open(
                    self.src.participant.attempt(number, fake.INSTANCE)))
            self.journal_several(1)
            self.round()
            self.recovery._crew.wait()
            self.assertEqual(set(live), self.open())


class TestQuiet(Case):
    """What is asked of anybody while a migration is going on."""

    def setUp(self):
        super().setUp()
        self.clock = self.enterContext(
            timeutils_fixture.TimeFixture(timeutils.utcnow()))

    def ticks(self, seconds):
        """A round every two seconds, on both hosts' clocks."""
        for _ in range(seconds // 2):
            self.recovery.round(timeutils.utcnow)
            self.recovery._crew.wait()
            self.recovery._upkeep._aside.wait()
            self.clock.advance_time_seconds(2)

    def destination(self):
        self.break_off(dst=G.IN_TRANSFER)
        self.recovery = recovery.Recovery(
            self.dst.participant, self.manager, self.beats.append)
        self.recovery._upkeep._adoption._records = self.nova
        self.recovery._upkeep._adoption._failed = NONE_FAILED
        self.recovery._upkeep._adoption._claims = NONE_LEFT
        return self.dst.participant

    def test_upkeep_is_as_rare_as_on_an_idle_host(self):
        number = self.journal_several(1)[0]
        attempt = self.src.participant.attempt(number, fake.INSTANCE)
        with self.src.participant.attempts.open(attempt):
            self.ticks(300)
        expected = 300 / (upkeep.LEAST * self.conf.migsafe.recovery_interval)
        self.assertLessEqual(len(self.beats), expected + 1)
        self.assertLessEqual(self.nova.asked, expected + 1)
        self.assertGreaterEqual(self.nova.asked, 300 // 36)

    def test_a_destination_that_receives_asks_nobody(self):
        self.destination()
        self.ticks(300)
        self.assertEqual([], self.dst.bus.asked)
        self.assertEqual((0, None), (self.dst.tx().attempts,
                                     self.dst.tx().verdict))

    def test_it_finds_out_when_that_has_ended(self):
        self.destination()
        self.ticks(60)
        self.dst.guests.state = G.ABSENT
        self.src.journal.finish(self.src.tx(), verdict='ABORT')
        self.ticks(60)
        self.assertEqual(('settled', 'ABORT'), self.dst.verdict())

    def test_it_finds_out_that_the_guest_is_here(self):
        self.destination()
        self.ticks(60)
        self.dst.guests.state, self.src.guests.state = G.HERE, G.ABSENT
        self.assertTrue(self.src.settle().clean)
        self.ticks(60)
        self.assertEqual(('settled', 'COMMIT'), self.dst.verdict())

    def test_it_leaves_a_source_alone_that_is_at_work(self):
        self.destination()
        self.dst.guests.state = G.ABSENT
        attempt = self.src.participant.attempt(fake.MIGRATION, fake.INSTANCE)
        with self.src.participant.attempts.open(attempt):
            self.ticks(120)
        self.assertLessEqual(self.dst.bus.asked.count((SRC, 'describe')), 5)
        self.assertEqual(0, self.dst.tx().attempts)

    def test_it_waits_after_its_own_part(self):
        participant = self.destination()
        self.dst.guests.state = G.ABSENT
        attempt = participant.attempt(fake.MIGRATION, fake.INSTANCE)
        with participant.attempts.open(attempt):
            self.ticks(60)
        self.ticks(20)
        self.assertEqual([], self.dst.bus.asked)
        self.ticks(20)
        self.assertNotEqual([], self.dst.bus.asked)

    def test_it_does_not_wait_after_a_failure_or_a_fence(self):
        participant = self.destination()
        for broken in (lambda a: a.failures.append('x'),
                       lambda a: a.fenced.set()):
            attempt = participant.attempt(fake.MIGRATION, fake.INSTANCE)
            with participant.attempts.open(attempt):
                broken(attempt)
            self.assertFalse(participant.attempts.resting(
                fake.MIGRATION, self.dst.tx().next_attempt_at))

    def test_an_operator_gets_an_answer(self):
        self.destination()
        self.ticks(10)
        self.dst.journal.request(self.dst.tx(), 'settle')
        self.ticks(4)
        self.assertEqual(1, self.dst.tx().attempts)
        self.assertIn('received', self.dst.tx().reason)


class TestDamage(Case):
    """One row that cannot be read holds one transaction."""

    def damage(self, statement, *values):
        self.local = SRC
        self.sql(statement, *values)

    def test_corrupt_payload(self):
        uuids = self.journal_several(4)
        self.damage("UPDATE migsafe_records SET payload = '{not json' WHERE "
                    'transaction_id = (SELECT id FROM migsafe_transactions '
                    'WHERE uuid = ?)', uuids[1])
        self.recovery.once()
        self.assertEqual({uuids[1]}, self.open())
        tx = self.src.journal.get(uuids[1])
        self.assertEqual((None, 1), (tx.verdict, tx.attempts))
        self.assertIn('migsafe_records', tx.reason)
        self.assertIn('migsafe journal show', tx.reason)

    def test_payload_of_another_type(self):
        uuids = self.journal_several(3)
        for number, payload in zip(uuids[:2], ('"text"', '17'), strict=True):
            self.damage('UPDATE migsafe_records SET payload = ? WHERE '
                        'transaction_id = (SELECT id FROM '
                        'migsafe_transactions WHERE uuid = ?)', payload,
                        number)
        self.recovery.once()
        self.assertEqual(set(uuids[:2]), self.open())

    def test_unknown_kind_of_line(self):
        uuids = self.journal_several(2)
        self.damage("UPDATE migsafe_records SET kind = 'later' WHERE "
                    'transaction_id = (SELECT id FROM migsafe_transactions '
                    'WHERE uuid = ?)', uuids[0])
        self.recovery.once()
        self.assertEqual({uuids[0]}, self.open())

    def test_unknown_state_and_verdict(self):
        uuids = self.journal_several(3)
        self.damage("UPDATE migsafe_transactions SET verdict = 'MAYBE' "
                    'WHERE uuid = ?', uuids[0])
        self.damage("UPDATE migsafe_transactions SET state = 'half' "
                    'WHERE uuid = ?', uuids[1])
        self.recovery.once()
        left = self.src.journal.unsettled(limit=10)
        self.assertEqual({uuids[0], uuids[1]}, {tx.uuid for tx in left})
        self.assertEqual([], self.src.cloud.changes())

    def test_nothing_is_done_on_a_damaged_journal(self):
        self.break_off()
        self.damage("UPDATE migsafe_records SET payload = 'x'")
        self.recovery.once()
        self.assertEqual([], self.src.cloud.changes())
        self.assertEqual('open', self.src.tx().state)


class TestIndependence(Case):
    def test_adoption_that_fails_does_not_stop_what_is_journalled(self):
        uuids = self.journal_several(2)
        self.nova.found = RuntimeError('conductor is away')
        try:
            self.recovery.once()
        except RuntimeError:
            self.assertEqual(set(), self.open() & set(uuids))
        self.assertEqual(set(), self.open())


class TestAdopt(Case):
    def found(self, **changes):
        fields = {'instance_uuid': fake.INSTANCE, 'updated_at': None,
                  'migration_uuid': fake.MIGRATION, 'migration_id': 1419,
                  'migration_status': 'error', 'dest_host': DST}
        self.nova.found = [orphans.Migrating(**(fields | changes))]

    def adopted(self):
        self.recovery._upkeep._adoption.adopt()
        return self.src.journal.get(self.nova.found[0].migration_uuid
                                    or '') or next(iter(
                                        self.src.journal.list()), None)

    def test_what_was_taken_up_is_settled_at_once(self):
        """Not an interval later: the round that it was found in is over."""
        self.nova.found = []
        self.recovery.round(timeutils.utcnow)
        self.recovery._upkeep._aside.wait()
        self.assertFalse(self.recovery._wake.is_set())
        self.found()
        self.recovery._upkeep._kept_up = None
        self.recovery.round(timeutils.utcnow)
        self.recovery._upkeep._aside.wait()
        self.assertTrue(self.recovery._wake.is_set())

    def test_stuck_one_is_settled_by_evidence(self):
        self.found()
        self.dst.guests.state = G.ABSENT
        self.recovery.once()
        tx = self.src.tx()
        self.assertEqual(('settled', 'ABORT', SRC, DST),
                         (tx.state, tx.verdict, tx.source_host,
                          tx.dest_host))
        self.assertIsNone(self.world.records.row.task_state)

    def test_one_that_waits_or_works_is_left_alone(self):
        self.found()
        self.manager._waiting_live_migrations[fake.INSTANCE] = (None, None)
        self.assertIsNone(self.adopted())
        self.manager._waiting_live_migrations.clear()
        attempt = self.src.participant.attempt(fake.MIGRATION, fake.INSTANCE)
        with self.src.participant.attempts.open(attempt):
            self.assertIsNone(self.adopted())
        self.assertIsNotNone(self.adopted())

    def test_what_a_failed_one_has_left_in_the_line_does_not_count(self):
        """Nova takes it away only when pre_live_migration has succeeded."""
        self.found()
        future = concurrent.futures.Future()
        self.manager._waiting_live_migrations[fake.INSTANCE] = (None, future)
        self.assertIsNone(self.adopted())
        future.set_running_or_notify_cancel()
        self.assertIsNone(self.adopted())
        future.set_exception(OSError('pre_live_migration failed'))
        self.assertIsNotNone(self.adopted())

    def test_one_that_could_not_be_submitted_counts_for_a_while(self):
        self.found()
        now = timeutils.utcnow()
        self.manager._waiting_live_migrations[fake.INSTANCE] = (None, None)
        for after, expected in ((0, False), (self.conf.migsafe.adopt_after - 1, False),
                                (self.conf.migsafe.adopt_after, True)):
            with mock.patch.object(timeutils, 'utcnow', return_value=(
                    now + datetime.timedelta(seconds=after))):
                self.recovery._upkeep._adoption._unsubmitted.setdefault(fake.INSTANCE, now)
                self.assertIs(expected, self.adopted() is not None, after)

    def test_conductor_has_its_time(self):
        now = timeutils.utcnow(with_timezone=True)
        for status in ('accepted', 'pre-migrating', None):
            self.found(migration_status=status, updated_at=now)
            self.assertIsNone(self.adopted())
        old = now - datetime.timedelta(
            seconds=self.conf.migsafe.adopt_after + 60)
        self.found(migration_status='accepted', updated_at=old)
        self.assertIsNotNone(self.adopted())

    def test_what_a_clock_ahead_has_written_is_counted_from_the_first_look(self):
        now = timeutils.utcnow(with_timezone=True)
        self.found(migration_status='accepted', updated_at=now + datetime.timedelta(hours=1))
        wait = self.conf.migsafe.adopt_after
        for after, expected in ((0, False), (wait - 1, False), (wait + 1, True)):
            with mock.patch.object(timeutils, 'utcnow', return_value=timeutils.normalize_time(
                    now) + datetime.timedelta(seconds=after)):
                self.assertIs(expected, self.adopted() is not None, after)

    def test_a_completed_one_is_not_ended_while_its_guest_may_be_here(self):
        adopting = self.recovery._upkeep._adoption
        left = orphans.Migrating(fake.INSTANCE, None, fake.MIGRATION, 7, 'completed', fake.DST,
                                 task=False)
        done = []
        adopting._claims = types.SimpleNamespace(
            page=lambda host, wanted: [left], done=lambda: done.append(1))
        held = mock.patch.object(self.src.participant.clients.allocations, 'held',
                                 return_value={'rp': {}})
        for state, ended in ((GuestState.HERE, False), (GuestState.UNKNOWN, False),
                             (GuestState.ABSENT, True)):
            self.src.guests.state = state
            with held:
                adopting.give_back()
            self.assertIs(ended, self.src.journal.get(fake.MIGRATION, 'source') is not None)
        self.assertEqual([1, 1, 1], done)

    def test_a_failed_one_that_holds_a_claim_is_begun_and_settled_by_evidence(self):
        """Its journal was put back from before it: nobody else gives the claim back."""
        adopting = self.recovery._upkeep._adoption
        left = orphans.Migrating(fake.INSTANCE, None, fake.MIGRATION, 7, 'error', fake.DST,
                                 task=False)
        adopting._claims = types.SimpleNamespace(page=lambda host, wanted: [left],
                                                 done=lambda: None)
        self.world.allocations.by_consumer.pop(fake.MIGRATION, None)
        adopting.give_back()
        self.assertIsNone(self.src.journal.get(fake.MIGRATION, 'source'))
        self.world.allocations.by_consumer[fake.MIGRATION] = {'rp-' + SRC: {}}
        adopting.give_back()
        tx = self.src.journal.get(fake.MIGRATION, 'source')
        self.assertEqual((SRC, DST, None), (tx.source_host, tx.dest_host, tx.verdict))
        # its owner may be at work on it, and nothing that is new is taken for a leftover
        self.assertIn(FREED, self.src.participant.engine.history(tx).notes)

    def test_one_that_has_come_here_is_its_sources(self):
        """The journal that knew it as its destination was put back from before it."""
        self.found(dest_host=SRC)
        self.assertIsNone(self.adopted())
        self.found()
        self.assertIsNotNone(self.adopted())

    def test_conductor_has_longer_while_it_chooses_a_destination(self):
        now = timeutils.utcnow(with_timezone=True)
        for seconds, expected in ((1700, False), (1900, True)):
            self.found(migration_status='accepted', dest_host='',
                       updated_at=now - datetime.timedelta(seconds=seconds))
            self.assertIs(expected, self.adopted() is not None)

    def test_without_the_task_only_an_old_one_that_was_never_journalled_here(self):
        now = timeutils.utcnow()
        old = now - datetime.timedelta(seconds=self.conf.migsafe.adopt_after + 60)
        self.found(task=False, migration_status='running', updated_at=now)
        self.assertIsNone(self.adopted())
        self.found(task=False, migration_status='running', updated_at=old)
        self.assertIsNotNone(self.adopted())
        self.recovery.once()
        before = len(self.src.journal.list())
        self.assertEqual('settled', self.src.tx().state)
        self.adopted()
        self.assertEqual(before, len(self.src.journal.list()))

    def test_without_any_migration_record(self):
        old = timeutils.utcnow() - datetime.timedelta(days=1)
        self.found(migration_uuid=None, migration_id=None, dest_host='',
                   migration_status=None, updated_at=old)
        tx = self.adopted()
        self.assertEqual((SRC, ''), (tx.source_host, tx.dest_host))

    def test_is_not_begun_twice(self):
        self.found()
        first = self.adopted()
        self.assertEqual(first.id, self.adopted().id)
        self.assertEqual(1, len(self.src.journal.list()))


class TestThread(Case):
    def test_goes_on_after_an_error_and_ends_when_told(self):
        self.conf.set_override('recovery_interval', 1, 'migsafe')
        self.nova.found = RuntimeError('conductor is away')
        self.recovery.start()
        self.addCleanup(self.recovery.join, 30)
        self.addCleanup(self.recovery.stop)
        deadline = timeutils.utcnow() + datetime.timedelta(seconds=60)
        while len(self.beats) < 2 and timeutils.utcnow() < deadline:
            self.recovery.nudge()
            time.sleep(0.01)
        self.assertGreaterEqual(len(self.beats), 2)
        self.recovery.stop()
        self.recovery.join(30)


if __name__ == '__main__':
    unittest.main()
