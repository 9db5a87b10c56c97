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
import itertools
from unittest import mock

from migsafe import exceptions
from migsafe.resources.base import Held
from migsafe.tests.unit.resources import cloud as fake
from migsafe.tests.unit.transaction import base
from migsafe.transaction import answers
from migsafe.transaction import move as transaction_move
from migsafe.transaction import verdict as transaction_verdict
from migsafe.transaction.evidence import NO_QEMU, Evidence, GuestState, HostEvidence
from migsafe.transaction.residue import Residue
from migsafe.transaction.witness import HANDED_OVER

SRC, DST, G = fake.SRC, fake.DST, GuestState
COMMIT, ABORT, HOLD = (
    transaction_verdict.Verdict.COMMIT,
    transaction_verdict.Verdict.ABORT,
    transaction_verdict.Verdict.HOLD,
)


class TestOrder(base.EngineCase):
    def test_abort_rows_devices_exports_rest_done(self):
        outcome = self.settle()
        self.assertTrue(outcome.clean, outcome)
        self.assertEqual(
            ['replace_connection', 'replace_connection', 'peer.release',
             'delete_attachment', 'delete_attachment', 'move_allocations',
             'bind', 'release_task'], self.names())
        self.assertEqual('settled', self.now().state)

    def test_commit_host_devices_exports_rest_done(self):
        self.cloud.guests.state = G.ABSENT
        self.cloud.peer.state = G.HERE
        self.cloud.records.status = 'running'
        self.journal.note(self.tx, HANDED_OVER)
        for number in (0, 1):
            self.journal.outcome(self.tx, self.journal.intent(
                self.tx, 'host_device', 'connect_volume',
                fake.volume(number), fake.info(SRC, number)), 'ok')
        outcome = self.settle()
        self.assertTrue(outcome.clean, outcome)
        self.assertEqual(
            ['to_host', 'disconnect', 'disconnect', 'remove_directory',
             'delete_attachment', 'delete_attachment', 'delete_allocations',
             'bind', 'release_task', 'finish_migration'], self.names())

    def test_export_never_goes_before_its_device(self):
        """Whatever device stays, on whichever host the code runs."""
        for local, stays in itertools.product((SRC, DST), (0, 1)):
            with self.subTest(local=local, stays=stays):
                self.prepare(local=local, begin=False)
                self.tx = self.begin(f'{local}-{stays}')
                self.cloud.devices.stubborn.add(fake.volume(stays))
                self.cloud.peer.answer['kept'] = {fake.volume(stays): 'lvm'}
                outcome = self.settle()
                self.assertFalse(outcome.clean)
                gone = {row for _name, row in
                        self.cloud.calls.of('delete_attachment')}
                self.assertEqual({fake.attachment(DST, 1 - stays)}, gone)

    def test_settling_again_changes_nothing(self):
        self.settle()
        again = self.begin('again')
        before = len(self.cloud.changes())
        self.assertTrue(self.engine.settle(again).clean)
        self.assertEqual(['peer.release'], self.names()[before:])

    def test_points_left_out_keep_the_instance_busy(self):
        outcome = self.settle(
            points=(
                transaction_move.Point.RECORDS,
                transaction_move.Point.DEVICES,
                transaction_move.Point.EXPORTS,
            )
        )
        self.assertNotIn('release_task', self.names())
        self.assertEqual({}, outcome.held)
        self.assertEqual('open', self.now().state)


class TestRowsFirst(base.EngineCase):
    """While a row is wrong, a reboot would open another volume's LUN."""

    def assert_busy(self):
        self.assertNotIn('release_task', self.names())
        self.assertEqual('migrating', self.cloud.records.row.task_state)
        self.assertEqual('open', self.now().state)

    def test_lost_swap_keeps_the_instance_migrating(self):
        self.cloud.records.changed_meanwhile.add(fake.volume(0))
        self.settle()
        self.assert_busy()

    def test_silent_cinder_keeps_the_instance_migrating(self):
        self.cloud.calls.errors['attachments'] = OSError('HTTP 503')
        self.settle()
        self.assert_busy()

    def test_silent_database_keeps_the_instance_migrating(self):
        self.cloud.calls.errors['volumes'] = OSError('conductor is away')
        self.settle()
        self.assert_busy()

    def test_row_and_export_of_the_same_volume_held(self):
        self.cloud.records.changed_meanwhile.add(fake.volume(0))
        self.cloud.volumes.add('leaked', fake.volume(0), None, None)
        self.cloud.peer.answer['kept'] = {fake.volume(0): 'used by lvm'}
        self.settle()
        self.assert_busy()

    def test_next_attempt_brings_it_to_an_end(self):
        self.cloud.calls.errors['attachments'] = OSError('HTTP 503')
        self.settle()
        self.cloud.calls.errors.clear()
        self.assertTrue(self.settle().clean)
        self.assertEqual('settled', self.now().state)


class TestSaid(base.EngineCase):
    """What the log says of an attempt that has not come to its end."""

    def said(self, reply):
        self.cloud.peer.answer = reply
        with self.assertLogs('migsafe.transaction.closing', 'INFO') as logs:
            self.assertFalse(self.settle().clean)
        return [(one.levelname, one.getMessage()) for one in logs.records]

    def test_a_peer_that_settles_it_is_waited_for(self):
        (level, text), = self.said({'state': 'busy', 'reason': answers.SETTLING})
        self.assertEqual('INFO', level)
        self.assertIn(f'is being settled on {DST}, too', text)
        self.assertTrue(self.settle().held)

    def test_a_peer_that_is_at_something_else(self):
        (level, text), = self.said({'state': 'busy', 'reason': 'still in pre_live_migration'})
        self.assertEqual('WARNING', level)
        self.assertIn('still in pre_live_migration', text)


class Raising(base.Plugin):
    name = 'acme_raising'

    def revert(self, move, point):
        raise RuntimeError("password='chap-secret-4711' HTTP 500")

    def inspect(self, move):
        return [Residue('R99', self.name, 'k', SRC, 'still there')]


class Unreadable(base.Plugin):
    name = 'acme_unreadable'

    def inspect(self, move):
        raise RuntimeError('HTTP 500')


class LostReply(base.Plugin):
    name = 'acme_lost_reply'

    def revert(self, move, point):
        raise TimeoutError('no reply')


class Holding(base.Plugin):
    name = 'acme_holding'

    def revert(self, move, point):
        raise Held({'k': 'on purpose'})


class EarlyAndLate(base.Plugin):
    name = 'acme_points'
    revert_points = (transaction_move.Point.RECORDS, transaction_move.Point.DONE)


class TestPlugins(base.EngineCase):
    def with_plugin(self, plugin):
        self.prepare(resources=(plugin,), begin=False)
        self.tx = self.begin(plugin.name)
        outcome = self.settle()
        self.assertEqual(SRC, self.cloud.records.row.host)
        self.assertIn('delete_attachment', self.names())
        return outcome

    def test_out_of_tree_plugin_is_called_at_its_points(self):
        self.assertTrue(self.with_plugin(base.Plugin).clean)
        self.assertEqual([('acme.revert', 'REST')],
                         self.cloud.calls.of('acme.revert', 'acme.commit'))

    def test_points_of_a_plugin(self):
        self.with_plugin(EarlyAndLate)
        self.assertEqual(
            [('acme.revert', 'RECORDS'), ('acme.revert', 'DONE')],
            self.cloud.calls.of('acme.revert'))

    def test_one_that_raises_holds_only_itself(self):
        outcome = self.with_plugin(Raising)
        self.assertEqual({'acme_raising'},
                         {name for name, _key in outcome.held})
        self.assertNotIn(fake.SECRET, str(outcome.held))
        self.assertEqual('open', self.now().state)
        self.assertNotIn(fake.SECRET, self.now().reason)

    def test_one_that_cannot_be_read_back_is_not_settled(self):
        outcome = self.with_plugin(Unreadable)
        self.assertEqual({('acme_unreadable', '')}, set(outcome.held))

    def test_lost_reply_is_judged_by_reading_back(self):
        self.assertTrue(self.with_plugin(LostReply).clean)

    def test_held_on_purpose_stays_held(self):
        outcome = self.with_plugin(Holding)
        self.assertIn('on purpose', outcome.held[('acme_holding', 'k')])


class TestVerdictFirst(base.EngineCase):
    """What is not journalled is not done."""

    def test_verdict_that_cannot_be_journalled(self):
        for local in (SRC, DST):
            with self.subTest(local):
                self.prepare(local=local, begin=False)
                self.tx = self.begin(f'full-{local}')
                with mock.patch.object(
                        self.journal, 'verdict',
                        side_effect=exceptions.JournalUnavailable(
                            database='x', reason='the disk is full',
                            cure='')):
                    self.assertRaises(exceptions.JournalUnavailable,
                                      self.settle)
                self.assertEqual([], self.cloud.changes())

    def test_intent_that_cannot_be_journalled(self):
        with mock.patch.object(
                self.journal, 'intent',
                side_effect=exceptions.JournalUnavailable(
                    database='x', reason='the disk is full', cure='')):
            outcome = self.settle()
        self.assertEqual(['peer.release'], self.names())
        self.assertFalse(outcome.clean)

    def test_verdict_is_durable_before_the_first_change(self):
        seen = []

        def replace(*args):
            seen.append(self.now().verdict)
            return False
        self.cloud.records.replace_connection = replace
        self.settle()
        self.assertEqual(['ABORT', 'ABORT'], seen)

    def test_hold_changes_nothing(self):
        for mine, theirs in itertools.product(G, G):
            evidence = Evidence(HostEvidence(SRC, mine),
                                   HostEvidence(DST, theirs))
            if transaction_verdict.decide(evidence).verdict is not HOLD:
                continue
            with self.subTest(mine=mine, theirs=theirs):
                self.cloud.guests.state = mine
                self.cloud.peer.state = theirs
                outcome = self.settle()
                self.assertIs(HOLD, outcome.verdict)
                self.assertFalse(outcome.clean)
                self.assertEqual([], self.cloud.changes())

    def test_evidence_is_in_the_journal(self):
        self.settle()
        record = [r for r in self.journal.records(self.tx)
                  if r.kind == 'verdict'][0]
        self.assertEqual('here', record.payload['source']['guest'])
        self.assertEqual('absent', record.payload['destination']['guest'])

    def test_no_evidence_ever_removes_what_may_be_in_use(self):
        """The whole product: nothing of a side that may run is touched."""
        for number, (mine, theirs) in enumerate(itertools.product(G, G)):
            with self.subTest(mine=mine, theirs=theirs):
                self.prepare(begin=False)
                self.tx = self.begin(f'product-{number}')
                self.cloud.guests.state = mine
                self.cloud.peer.state = theirs
                self.settle()
                names = self.names()
                if mine.may_run or mine is G.DEAD:
                    self.assertNotIn('disconnect', names)
                    self.assertNotIn('remove_directory', names)
                if theirs.may_run:
                    self.assertNotIn('peer.release', names)
                gone = {row for _n, row in
                        self.cloud.calls.of('delete_attachment')}
                for host, state in ((SRC, mine), (DST, theirs)):
                    if state.may_run:
                        self.assertEqual(set(), gone & {
                            fake.attachment(host, n) for n in (0, 1)})


class TestStand(base.EngineCase):
    def test_commit_is_never_turned_into_abort(self):
        """The guest was stopped on the destination after the COMMIT."""
        for number, (mine, theirs) in enumerate(itertools.product(G, G)):
            with self.subTest(mine=mine, theirs=theirs):
                self.prepare(begin=False)
                self.tx = self.begin(f'stand-{number}')
                self.journal.verdict(self.tx, 'COMMIT', 'as seen then')
                self.cloud.guests.state = mine
                self.cloud.peer.state = theirs
                outcome = self.settle()
                self.assertIn(outcome.verdict, (COMMIT, HOLD))
                self.assertEqual('COMMIT', self.now().verdict)
                self.assertNotIn(('to_host', SRC), self.cloud.calls.made)
                if mine in (G.HERE, G.POSTCOPY):
                    self.assertEqual([], self.cloud.changes())

    def test_stand_over_the_whole_product(self):
        for verdict, src, dst, job in itertools.product(
                (COMMIT, ABORT), G, G, (False, True)):
            evidence = Evidence(HostEvidence(SRC, src, job),
                                   HostEvidence(DST, dst, job))
            decision = transaction_verdict.stand(verdict, evidence)
            loser = src if verdict is COMMIT else dst
            self.assertIn(decision.verdict, (verdict, HOLD))
            if loser.may_run or job:
                self.assertFalse(decision.teardown)
            if loser in (G.HERE, G.POSTCOPY):
                self.assertIs(HOLD, decision.verdict)
                self.assertIn(SRC if verdict is COMMIT else DST,
                              decision.reason)

    def test_hold_is_decided_anew(self):
        self.cloud.peer.state, self.cloud.guests.state = G.UNKNOWN, G.UNKNOWN
        self.assertIs(HOLD, self.settle().verdict)
        self.assertEqual('HOLD', self.now().verdict)
        self.cloud.peer.state, self.cloud.guests.state = G.ABSENT, G.HERE
        self.assertTrue(self.settle().clean)

    def test_hold_has_no_winner(self):
        self.assertRaises(ValueError, transaction_verdict.winner, HOLD, SRC, DST)


class TestEvidence(base.EngineCase):
    def test_no_destination_was_chosen(self):
        self.tx = self.journal.begin('early', 'source', fake.INSTANCE, SRC,
                                     '')
        self.cloud.records.rows.clear()
        self.cloud.volumes.rows.clear()
        self.cloud.allocations.by_consumer = {
            fake.INSTANCE: {'rp-' + SRC: {}}}
        self.assertTrue(self.settle().clean)
        self.assertEqual([], self.cloud.calls.of('peer.evidence'))
        self.assertIsNone(self.cloud.records.row.task_state)

    def test_word_counts_only_for_a_silent_host(self):
        self.cloud.hosts.down.add(DST)
        for state, expected in ((G.UNKNOWN, G.DEAD), (G.HERE, G.HERE),
                                (G.ABSENT, G.ABSENT)):
            self.cloud.peer.state = state
            found = self.engine.witness.gather(self.tx, self.engine.history(self.tx))
            self.assertIs(expected, found.destination.guest)

    def test_confirmation_needs_the_word(self):
        self.journal.request(self.tx, 'peer_is_dead', {'host': DST})
        self.cloud.peer.state = G.UNKNOWN
        self.assertFalse(self.settle().clean)
        self.assertIn(f'service set --down {DST} nova-compute', self.journal.refresh(
            self.tx).reason)
        self.cloud.hosts.down.add(DST)
        self.cloud.hosts.believed = False
        self.assertTrue(self.settle().clean)

    def test_operators_word_does_not_reach_this_host(self):
        self.journal.request(self.tx, 'peer_is_dead', {'host': SRC})
        self.cloud.guests.state = G.UNKNOWN
        found = self.engine.witness.gather(self.tx, self.engine.history(self.tx))
        self.assertIs(G.UNKNOWN, found.source.guest)

    def test_person_who_says_that_the_guest_is_there(self):
        self.cloud.hosts.down.add(DST)
        self.cloud.peer.state = G.UNKNOWN
        self.journal.request(self.tx, 'withdraw', {'host': DST})
        found = self.engine.witness.gather(self.tx, self.engine.history(self.tx))
        self.assertIs(G.UNKNOWN, found.destination.guest)

    def test_word_alone_where_it_is_not_believed(self):
        self.cloud.hosts.down.add(DST)
        self.cloud.hosts.believed = False
        self.cloud.peer.state = G.UNKNOWN
        self.assertFalse(self.settle().clean)
        self.assertIn('believe_forced_down', self.journal.refresh(self.tx).reason)

    def test_host_that_was_deleted_from_nova(self):
        self.cloud.hosts.deleted.add(DST)
        self.cloud.peer.state = G.UNKNOWN
        self.assertFalse(self.settle().clean)
        self.journal.request(self.tx, 'peer_is_dead', {'host': DST})
        self.assertTrue(self.settle().clean)

    def test_dead_peer_settles_without_it(self):
        self.cloud.hosts.down.add(DST)
        self.cloud.peer.state = G.UNKNOWN
        outcome = self.settle()
        self.assertTrue(outcome.clean, outcome)
        self.assertNotIn('peer.release', self.names())
        self.assertEqual({fake.attachment(SRC, 0), fake.attachment(SRC, 1)},
                         set(self.cloud.volumes.rows))

    def test_handed_over_only_while_the_source_runs_no_guest(self):
        self.journal.note(self.tx, HANDED_OVER)
        for state, there in itertools.product(G, (G.ABSENT, G.HERE)):
            self.cloud.guests.state = state
            self.cloud.peer.state = there
            found = self.engine.witness.gather(self.tx, self.engine.history(self.tx))
            # A source that is only stopped may be resumed by libvirt, unless
            # the guest is seen on the destination.
            gone = state is G.ABSENT or (
                state is G.IN_TRANSFER and there is G.HERE)
            self.assertIs(G.HANDED_OVER if gone else state,
                          found.source.guest)


class TestHeld(base.EngineCase):
    def test_reason_names_everything_and_is_written_once(self):
        self.cloud.peer.answer = {'state': 'refused', 'reason': 'no answer'}
        for _ in range(3):
            outcome = self.settle()
        self.assertFalse(outcome.clean)
        self.assertEqual(3, self.now().attempts)
        self.assertIn('no answer', self.now().reason)
        holds = [r for r in self.journal.records(self.tx)
                 if r.kind == 'hold']
        self.assertEqual(len({(r.resource, r.key) for r in holds}),
                         len(holds))

    def test_long_reasons_are_cut(self):
        self.cloud.peer.answer = {'state': 'refused', 'reason': 'x' * 10**6}
        self.settle()
        self.assertLessEqual(len(self.now().reason), 2000)

    def test_backoff_grows_and_is_bounded(self):
        self.cloud.guests.state = G.UNKNOWN
        pauses = []
        with mock.patch.object(self.journal, 'postpone',
                               lambda tx, s, why: pauses.append(s)):
            for attempts in (0, 3, 9, 100, 10**6):
                self.sql('UPDATE migsafe_transactions SET attempts = ?',
                         attempts)
                self.settle()
        for pause, most in zip(pauses, (1, 8, 512, 600, 600), strict=True):
            self.assertTrue(most / 2 <= pause <= most, pauses)

    def pause(self, attempts):
        """How long it waits after so many attempts that settled nothing."""
        pauses = []
        self.sql('UPDATE migsafe_transactions SET attempts = ?', attempts)
        with mock.patch.object(self.journal, 'postpone',
                               lambda tx, s, why: pauses.append(s)):
            self.assertFalse(self.settle().clean)
        self.assertEqual(1, len(pauses))
        return pauses[0]

    def test_a_device_in_use_is_looked_at_again_soon(self):
        kept = {fake.volume(0): '/dev/dm-0 is held by vg0-root'}
        self.cloud.peer.answer = {'state': 'done', 'kept': kept}
        self.assertTrue(15 <= self.pause(100) <= 30)

    def test_a_peer_that_does_not_answer_is_not(self):
        self.cloud.peer.answer = {'state': 'refused', 'reason': 'no answer'}
        self.assertTrue(300 <= self.pause(100) <= 600)


class TestLocal(base.EngineCase):
    """The destination lets go of what only it has."""

    local = DST

    def settle_local(self, verdict='ABORT'):
        tx = self.journal.verdict(self.tx, verdict, 'the source said so')
        return self.engine.settle_local(
            tx, self.cloud.guests.evidence(fake.INSTANCE))

    def test_devices_and_directory_only(self):
        outcome = self.settle_local()
        self.assertTrue(outcome.clean, outcome)
        self.assertEqual(['disconnect', 'disconnect', 'remove_directory'],
                         self.names())
        self.assertEqual('settled', self.now().state)

    def test_guest_here_is_left_alone(self):
        for state in G:
            if state in (*NO_QEMU, G.DEAD):
                continue
            with self.subTest(state):
                self.cloud.guests.state = state
                self.assertFalse(self.settle_local().clean)
                self.assertEqual([], self.cloud.changes())

    def test_migration_job_is_left_alone(self):
        self.cloud.guests.job = True
        self.assertFalse(self.settle_local().clean)
        self.assertEqual([], self.cloud.changes())

    def test_kept_device_is_reported_by_volume(self):
        self.cloud.devices.holders[fake.volume(1)] = 'LV root'
        outcome = self.settle_local()
        self.assertEqual({fake.volume(1)}, set(outcome.kept))
        self.assertEqual('open', self.now().state)


class TestDamage(base.EngineCase):
    def test_corrupt_payload_holds_the_transaction(self):
        self.sql("UPDATE migsafe_records SET payload = '{not json' "
                 "WHERE kind = 'capture'")
        with self.assertRaises(exceptions.JournalCorrupt) as caught:
            self.settle()
        self.assertIn('node13.sqlite', str(caught.exception))
        self.assertEqual([], self.cloud.changes())
        self.assertEqual('open', self.now().state)

    def test_unknown_kinds_and_resources_are_kept_and_ignored(self):
        self.journal.settled(self.tx, 'later_resource', 'k', {'x': 1})
        self.journal.hold(self.tx, 'later_resource', 'k', 'why')
        before = len(self.journal.records(self.tx))
        self.assertTrue(self.settle().clean)
        self.assertGreaterEqual(len(self.journal.records(self.tx)), before)

