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
"""What a journal does, whatever database it is in; run on all three."""

import datetime
import threading
from unittest import mock

from oslo_utils import timeutils

from migsafe import exceptions
from migsafe.journal import blanking, values
from migsafe.tests.unit.journal import base

NOW = base.NOW


class ApiCases:
    """Tests to be mixed into a JournalTestCase."""

    def setUp(self):
        super().setUp()
        self.journal = self.open()

    def freeze(self):
        return self.useFixture(base.Clock())

    def test_begin_keeps_what_it_was_given(self):
        self.freeze()
        tx = self.begin(self.journal, source_boot_id='boot-a', dest_boot_id='boot-b',
                        migration_id=1419, captures=[
                            ('volume_connection', 'v-1', base.CONNECTION),
                            ('port_binding', 'p-1', None)])
        self.assertEqual(
            ('m-1', 'node13', 'source', 'i-1', 'node13', 'node11', 'boot-a', 'boot-b', 1419),
            (tx.uuid, tx.host, tx.role, tx.instance_uuid, tx.source_host, tx.dest_host,
             tx.source_boot_id, tx.dest_boot_id, tx.migration_id))
        self.assertEqual(('open', None, '', 0, None),
                         (tx.state, tx.verdict, tx.reason, tx.attempts, tx.settled_at))
        self.assertEqual([NOW] * 3, [tx.created_at, tx.updated_at, tx.next_attempt_at])
        self.assertEqual(
            [('capture', 'volume_connection', 'v-1', base.CONNECTION),
             ('capture', 'port_binding', 'p-1', None)],
            [(r.kind, r.resource, r.key, r.payload) for r in self.journal.records(tx)])
        self.assertEqual(tx, self.journal.get('m-1'))

    def test_begin_again_returns_the_first(self):
        first = self.begin(self.journal, captures=[('r', 'k', {'a': 1})])
        again = self.journal.begin('m-1', 'source', 'other', 'x', 'y', captures=[('r', 'k', {})])
        self.assertEqual(first, again)
        self.assertEqual(1, len(self.journal.records(first)))

    def test_both_roles_of_one_host_are_two_transactions(self):
        source = self.begin(self.journal)
        dest = self.begin(self.journal, role='destination')
        self.assertNotEqual(source.id, dest.id)
        self.assertEqual(source, self.journal.get('m-1', 'source'))
        self.assertEqual(dest, self.journal.get('m-1', 'destination'))

    def test_begin_by_many_at_once_makes_one(self):
        found, start = [], threading.Barrier(6)
        journals = [self.journal, self.open()]

        def run(number):
            start.wait()
            for turn in range(5):
                tx = self.begin(journals[number % 2], uuid=f'm-{turn}', captures=[('r', 'k', {})])
                found.append((turn, tx.id))
        threads = [threading.Thread(target=run, args=(n,)) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(30, len(found))
        self.assertEqual(5, len(set(found)))
        for tx in self.journal.list():
            self.assertEqual(1, len(self.journal.records(tx)))

    def test_begin_refuses_what_is_no_role(self):
        exc = self.assertRaises(exceptions.JournalBadValue, self.begin, self.journal, role='both')
        self.assertIn("'both'", str(exc))
        self.assertEqual([], self.journal.list())

    def test_begin_refuses_a_name_that_would_be_cut(self):
        for name, kwargs in (('uuid', {'uuid': 'x' * 65}), ('uuid', {'uuid': ''}),
                             ('instance_uuid', {'instance': 'i' * 65}),
                             ('source_boot_id', {'source_boot_id': 'b\n' * 3})):
            exc = self.assertRaises(
                exceptions.JournalBadValue, self.begin, self.journal, **kwargs)
            self.assertIn(name, str(exc))

    def test_intent_then_outcome(self):
        tx = self.begin(self.journal)
        intent = self.journal.intent(tx, 'volume_connection', 'attachment_create', 'v-1',
                                     {'host': 'node11'})
        self.journal.outcome(tx, intent, 'ok', {'attachment_id': 'a-1'})
        one, two = self.journal.records(tx)
        self.assertEqual(('intent', 'attachment_create', 'v-1', {'host': 'node11'}, None),
                         (one.kind, one.effect, one.key, one.payload, one.ref))
        self.assertEqual(intent, one.id)
        self.assertEqual(
            ('outcome', 'volume_connection', 'attachment_create', 'v-1', 'ok', intent),
            (two.kind, two.resource, two.effect, two.key, two.status, two.ref))
        self.assertEqual({'attachment_id': 'a-1'}, two.payload)

    def test_outcome_needs_its_intent(self):
        tx, other = self.begin(self.journal), self.begin(self.journal, uuid='m-2')
        intent = self.journal.intent(other, 'r', 'e')
        note = self.journal.request(tx, 'x', None)
        for wrong in (intent, note, 99999):
            self.assertRaises(exceptions.JournalBadValue,
                              self.journal.outcome, tx, wrong, 'ok')
        self.assertRaises(exceptions.JournalBadValue,
                          self.journal.outcome, other, intent, 'fine')
        self.assertEqual(['intent'], [r.kind for r in self.journal.records(other)])

    def test_late_steps_are_refused_but_their_outcomes_are_kept(self):
        tx = self.begin(self.journal)
        intent = self.journal.intent(tx, 'r', 'e')
        self.journal.verdict(tx, 'ABORT', 'runs on node13')
        self.journal.finish(tx, 'done')
        for call in (lambda: self.journal.intent(tx, 'r', 'connect_volume'),
                     lambda: self.journal.verdict(tx, 'COMMIT', 'late'),
                     lambda: self.journal.settled(tx, 'r'),
                     lambda: self.journal.hold(tx, 'r', 'k', 'late'),
                     lambda: self.journal.request(tx, 'retry', None),
                     lambda: self.journal.postpone(tx, 1, 'late')):
            exc = self.assertRaises(exceptions.JournalTransactionSettled, call)
            self.assertIn('m-1', str(exc))
        self.journal.outcome(tx, intent, 'ok')
        self.journal.note(tx, 'late')
        self.assertEqual(['intent', 'verdict', 'outcome', 'note'],
                         [r.kind for r in self.journal.records(tx)])
        self.assertEqual('ABORT', self.journal.get('m-1').verdict)

    def test_verdict_is_in_row_and_log(self):
        tx = self.begin(self.journal)
        tx = self.journal.verdict(tx, 'HOLD', 'node11 does not answer', {'dest': 'silent'})
        self.assertEqual(('HOLD', 'node11 does not answer'), (tx.verdict, tx.reason))
        record, = self.journal.records(tx)
        self.assertEqual(('verdict', 'HOLD', 'node11 does not answer', {'dest': 'silent'}),
                         (record.kind, record.status, record.text, record.payload))
        self.assertRaises(exceptions.JournalBadValue, self.journal.verdict, tx, 'MAYBE', '')

    def test_verdict_that_stands_is_not_turned_round(self):
        """By one who looked before it was made, with whatever method."""
        for stands, late in (('COMMIT', 'ABORT'), ('ABORT', 'COMMIT'), ('COMMIT', 'HOLD')):
            looked = self.begin(self.journal, uuid=f'{stands}-{late}')
            self.journal.verdict(looked, stands, 'as seen')
            before = self.journal.records(looked)
            self.assertEqual((stands, 'as seen', 'open'), self.says(
                self.journal.verdict(looked, late, 'too late')))
            self.assertEqual((stands, 'as seen', 'open'), self.says(
                self.journal.finish(looked, 'too late', verdict=late)))
            self.assertEqual(before, self.journal.records(looked))
            self.assertEqual((stands, 'done', 'settled'), self.says(
                self.journal.finish(looked, 'done', verdict=stands)))

    @staticmethod
    def says(tx):
        return tx.verdict, tx.reason, tx.state

    def test_only_the_verdict_that_was_wrong_is_withdrawn(self):
        tx = self.begin(self.journal)
        self.journal.verdict(tx, 'COMMIT', 'node11 said so')
        self.assertEqual('COMMIT', self.journal.withdraw(tx, 'ABORT', 'no').verdict)
        self.assertRaises(exceptions.JournalBadValue, self.journal.withdraw, tx, 'HOLD', 'no')
        now = self.journal.withdraw(tx, 'COMMIT', 'runs on node13', {'user': 'root'})
        self.assertEqual(('HOLD', 'runs on node13', 'open'), self.says(now))
        record = self.journal.records(tx)[-1]
        self.assertEqual(('verdict', 'HOLD', 'runs on node13', {'user': 'root'}),
                         (record.kind, record.status, record.text, record.payload))
        self.assertEqual('ABORT', self.journal.verdict(now, 'ABORT', 'runs on node13').verdict)
        self.journal.finish(tx)
        self.assertRaises(exceptions.JournalTransactionSettled, self.journal.withdraw, tx,
                          'ABORT', 'too late')

    def test_a_long_outage_does_not_fill_the_log(self):
        tx = self.begin(self.journal)
        for _round in range(5):
            self.journal.verdict(tx, 'HOLD', 'node11 does not answer')
            self.journal.hold(tx, 'host_device', 'v-1', 'held by vg-data/lv0')
            self.journal.hold(tx, 'host_device', 'v-2', 'held by vg-data/lv0')
            self.journal.postpone(tx, 30, 'node11 does not answer, next in 30 s')
        self.assertEqual(['verdict', 'hold', 'hold'],
                         [r.kind for r in self.journal.records(tx)])
        self.journal.hold(tx, 'host_device', 'v-1', 'held by a mount')
        self.journal.settled(tx, 'host_device', 'v-2')
        self.journal.hold(tx, 'host_device', 'v-2', 'held by vg-data/lv0')
        self.journal.verdict(tx, 'ABORT', 'runs on node13')
        self.assertEqual(['hold', 'settled', 'hold', 'verdict'],
                         [r.kind for r in self.journal.records(tx)[3:]])
        self.assertEqual(5, self.journal.get('m-1').attempts)

    def test_postpone_makes_it_due_later(self):
        clock = self.freeze()
        tx = self.begin(self.journal)
        tx = self.journal.postpone(tx, 90.5, 'peer is down')
        self.assertEqual((1, 'peer is down'), (tx.attempts, tx.reason))
        self.assertEqual(NOW + datetime.timedelta(seconds=90.5), tx.next_attempt_at)
        self.assertEqual([], self.journal.unsettled(due_before=timeutils.utcnow()))
        self.assertEqual([tx], self.journal.unsettled())
        clock.advance(91)
        self.assertEqual([tx], self.journal.unsettled(due_before=timeutils.utcnow()))

    def test_a_clock_that_is_set_back_leaves_it_due(self):
        """A host may boot with its clock hours ahead, until chrony has stepped it."""
        clock = self.freeze()
        clock.advance(9 * 3600)
        tx = self.journal.postpone(self.begin(self.journal), 60, 'peer is down')
        self.assertEqual([], self.journal.unsettled(due_before=timeutils.utcnow()))
        clock.advance(-9 * 3600)
        self.assertEqual([tx], self.journal.unsettled(due_before=timeutils.utcnow()))
        self.journal.postpone(tx, 60, 'peer is down')
        self.assertEqual([], self.journal.unsettled(due_before=timeutils.utcnow()))

    def test_what_was_postponed_by_a_clock_that_was_ahead_is_due(self):
        """Also when something was written to it by the right clock since then."""
        clock = self.freeze()
        clock.advance(9 * 3600)
        tx = self.journal.postpone(self.begin(self.journal), 60, 'peer is down')
        clock.advance(-9 * 3600)
        self.journal.note(tx, 'by the right clock')
        self.assertEqual([], self.journal.unsettled(due_before=timeutils.utcnow()))
        self.assertEqual([tx.id], [found.id for found in self.journal.unsettled(
            due_before=timeutils.utcnow(), longest=600)])
        self.journal.postpone(tx, 600, 'peer is down')
        self.assertEqual([], self.journal.unsettled(due_before=timeutils.utcnow(), longest=600))

    def test_what_was_settled_in_the_future_is_not_purged(self):
        clock = self.freeze()
        clock.advance(31 * 86400)
        self.journal.finish(self.begin(self.journal))
        clock.advance(-31 * 86400)
        self.assertEqual(0, self.journal.purge(timeutils.utcnow()))

    def test_request_makes_it_due_at_once(self):
        self.freeze()
        tx = self.begin(self.journal)
        self.journal.postpone(tx, 600, 'peer is down')
        payload = {'host': 'node11', 'user': 'root'}
        line = self.journal.request(tx, 'peer_is_dead', payload)
        found, = self.journal.unsettled(due_before=NOW)
        record, = self.journal.records(found, kinds=('request',))
        self.assertEqual((line, 'peer_is_dead', payload),
                         (record.id, record.effect, record.payload))

    def test_finish_is_final_and_harmless_again(self):
        clock = self.freeze()
        tx = self.begin(self.journal)
        self.journal.verdict(tx, 'COMMIT', 'runs on node11')
        done = self.journal.finish(tx)
        self.assertEqual(('settled', 'COMMIT', 'runs on node11', NOW),
                         (done.state, done.verdict, done.reason, done.settled_at))
        clock.advance(10)
        self.assertEqual(done, self.journal.finish(tx, 'again'))
        self.assertEqual([], self.journal.unsettled())
        self.assertEqual([], self.journal.unsettled_for_instance('i-1'))

    def test_unsettled_is_paged_and_of_this_host(self):
        other = self.open('node11')
        mine = [self.begin(self.journal, uuid=f'm-{n}') for n in range(7)]
        theirs = self.begin(other, uuid='m-0', role='destination')
        self.journal.finish(mine[2])
        seen, after = [], 0
        while page := self.journal.unsettled(limit=3, after_id=after):
            self.assertLessEqual(len(page), 3)
            seen += [tx.uuid for tx in page]
            after = page[-1].id
        self.assertEqual(['m-0', 'm-1', 'm-3', 'm-4', 'm-5', 'm-6'], seen)
        self.assertEqual([theirs], other.unsettled())

    def test_unsettled_for_instance(self):
        one = self.begin(self.journal, uuid='m-1')
        self.begin(self.journal, uuid='m-2', instance='i-2')
        gone = self.begin(self.journal, uuid='m-3')
        self.journal.finish(gone)
        self.assertEqual([one], self.journal.unsettled_for_instance('i-1'))

    def test_list_filters_and_pages(self):
        for number in range(4):
            self.begin(self.journal, uuid=f'm-{number}', instance=f'i-{number % 2}')
        self.journal.finish(self.journal.get('m-3'))
        self.assertEqual(['m-0', 'm-1', 'm-2', 'm-3'], [t.uuid for t in self.journal.list()])
        self.assertEqual(['m-3'], [t.uuid for t in self.journal.list(state='settled')])
        self.assertEqual(['m-1', 'm-3'],
                         [t.uuid for t in self.journal.list(instance_uuid='i-1')])
        first = self.journal.list(limit=1)[0]
        self.assertEqual(['m-1'], [t.uuid for t in self.journal.list(limit=1, after_id=first.id)])

    def test_records_can_be_paged_and_filtered(self):
        tx = self.begin(self.journal)
        for number in range(4):
            self.journal.note(tx, f'note {number}', [number])
        self.journal.hold(tx, 'r', 'k', 'because')
        page = self.journal.records(tx, limit=2)
        self.assertEqual(['note 0', 'note 1'], [r.text for r in page])
        rest = self.journal.records(tx, after_id=page[-1].id, kinds=('note',))
        self.assertEqual([[2], [3]], [r.payload for r in rest])

    def test_status_is_replaced(self):
        facts = {'pid': 4711, 'boot_id': 'b', 'plugin_version': '0.1', 'nova_version': '34.0.0',
                 'concurrency': 'native threads'}
        self.journal.set_status(armed=False, seams=[], detail='seam missing', **facts)
        self.journal.set_status(armed=True, seams=[{'name': 'x', 'ok': True}], **facts)
        status, = self.journal.statuses()
        self.assertEqual((True, 4711, '', [{'name': 'x', 'ok': True}]),
                         (status.armed, status.pid, status.detail, status.seams))

    def test_findings_are_what_they_are_now(self):
        clock = self.freeze()
        other = self.open(host='node11')
        other.set_findings('R9', {('i-3', 'v-3'): 'of another host'})
        self.journal.set_findings('R10', {('i-1', 'v-1'): 'of another kind'})
        self.journal.set_findings('R9', {('i-1', 'v-1'): 'one', ('i-2', 'v-2'): 'two'})
        clock.advance(60)
        self.journal.set_findings('R9', {('i-2', 'v-2'): 'two now', ('i-1', 'v-9'): 'new'})
        self.assertEqual(
            [('R10', 'i-1', 'v-1', 'of another kind', 0), ('R9', 'i-2', 'v-2', 'two now', 0),
             ('R9', 'i-1', 'v-9', 'new', 60)],
            [(f.kind, f.instance_uuid, f.key, f.text, (f.created_at - NOW).total_seconds())
             for f in self.journal.findings()])
        self.assertEqual(['i-3'], [f.instance_uuid for f in other.findings()])
        self.assertEqual(1, len(self.journal.findings(limit=1)))
        self.journal.set_findings('R9', {})
        self.assertEqual(['R10'], [f.kind for f in self.journal.findings()])

    def test_all_findings_of_a_kind_are_there_for_who_writes_them_back(self):
        """However many there are of another one."""
        self.journal.set_findings('R9', {('i', f'v-{n}'): 'x' for n in range(20)})
        self.journal.set_findings('R4', {('i', f'w-{n}'): 'y' for n in range(3)})
        self.assertEqual(5, len(self.journal.findings(limit=5)))
        self.assertEqual(['w-0', 'w-1', 'w-2'], sorted(
            found.key for found in self.journal.findings(kind='R4', limit=1)))

    def test_check_writable_leaves_no_trace(self):
        for _turn in range(3):
            self.journal.check_writable()
        self.assertEqual([], self.journal.list(all_hosts=True))

    def test_purge_takes_only_what_was_settled_long_ago(self):
        clock = self.freeze()
        old, held = self.begin(self.journal, uuid='old'), self.begin(self.journal, uuid='held')
        self.journal.note(old, 'x')
        self.journal.finish(old)
        self.journal.verdict(held, 'HOLD', 'peer is down')
        clock.advance(31 * 86400)
        new = self.begin(self.journal, uuid='new')
        self.journal.finish(new)
        before = timeutils.utcnow() - datetime.timedelta(days=30)
        self.assertEqual(1, self.journal.purge(before))
        self.assertEqual(['held', 'new'], [t.uuid for t in self.journal.list()])
        self.assertEqual([], self.journal.records(old))
        exc = self.assertRaises(exceptions.JournalNotFound, self.journal.note, old, 'late')
        self.assertIn('old', str(exc))

    def test_secrets_of_what_is_settled_are_forgotten(self):
        opened = self.open()
        kept, done = (self.begin(opened, uuid, captures=[
            ('volume_connection', 'v-1', {'connection_info': base.CONNECTION, 'attachment': 'a'}),
            ('other', 'v-2', {'text': f'auth_password={base.SECRET}', 'list': [
                base.CONNECTION['data']]})]) for uuid in ('m-1', 'm-2'))
        opened.finish(done)
        now = timeutils.utcnow()
        opened.blank(now - datetime.timedelta(days=1))
        self.assertIn(base.SECRET, str([line.payload for line in opened.records(done)]))
        opened.blank(now + datetime.timedelta(days=1))
        self.assertIn(base.SECRET, str([line.payload for line in opened.records(kept)]))
        lines = opened.records(done)
        self.assertNotIn(base.SECRET, str([line.payload for line in lines]))
        self.assertEqual({'connection_info': None, 'attachment': 'a'}, lines[0].payload)
        self.assertEqual('CHAP', lines[1].payload['list'][0]['auth_method'])
        self.assertEqual({}, opened.refresh(done).problems())

    def test_secrets_are_forgotten_in_batches(self):
        opened = self.open()
        number = 5
        done = [opened.finish(self.begin(opened, f'm-{count}', captures=[
            ('r', str(n), {'password': base.SECRET}) for n in range(2)]))
            for count in range(number)]
        with mock.patch.object(blanking, '_SETTLED', blanking._SETTLED.limit(2)), \
                mock.patch.object(blanking, 'PAGE', 2):
            opened.blank(timeutils.utcnow() + datetime.timedelta(days=1))
        self.assertEqual([{'password': None}] * 2 * number,
                         [line.payload for tx in done for line in opened.records(tx)])

    def test_purge_works_in_batches(self):
        for number in range(205):
            self.journal.finish(self.begin(self.journal, uuid=f'm-{number}'))
        sizes = []
        commit = self.journal._commit

        def watch(label, work):
            result = commit(label, work)
            sizes.append(result[0])
            return result
        self.journal._commit = watch
        later = timeutils.utcnow() + datetime.timedelta(seconds=1)
        self.assertEqual(205, self.journal.purge(later))
        self.assertEqual([100, 100, 5], sizes)

    def test_ids_are_never_used_again(self):
        first = self.begin(self.journal)
        self.journal.finish(first)
        self.journal.purge(timeutils.utcnow() + datetime.timedelta(seconds=1))
        again = self.begin(self.journal)
        self.assertGreater(again.id, first.id)

    def test_payload_bound(self):
        tx = self.begin(self.journal)
        fits = {'x': 'y' * (values.PAYLOAD_LIMIT - 10)}
        self.journal.note(tx, 'large', fits)
        self.assertEqual(fits, self.journal.records(tx)[0].payload)
        exc = self.assertRaises(exceptions.JournalPayloadTooLarge, self.journal.intent, tx, 'r',
                                'e', 'k', {'auth_password': base.SECRET * 10 ** 6})
        self.assertIn(str(values.PAYLOAD_LIMIT), str(exc))
        self.assertNotIn(base.SECRET, str(exc))
        self.assertEqual(1, len(self.journal.records(tx)))

    def test_text_of_any_kind_survives(self):
        tx = self.begin(self.journal)
        odd = 'Grüße 卷 \U0001f4be \ud800 \x00 \x1b[31m end'
        self.journal.note(tx, odd, {'raw': odd})
        record, = self.journal.records(tx)
        self.assertEqual('Grüße 卷 \U0001f4be ? ? ?[31m end', record.text)
        self.assertEqual({'raw': odd}, record.payload)

    def test_names_that_differ_in_case_are_two(self):
        lower, upper = self.begin(self.journal, uuid='m-a'), self.begin(self.journal, uuid='m-A')
        self.assertNotEqual(lower.id, upper.id)
        self.assertEqual(lower, self.journal.get('m-a'))

    def test_a_failing_call_leaves_nothing(self):
        tx = self.begin(self.journal)
        before = self.journal.get('m-1')

        def work(session):
            from migsafe.journal import writes
            writes.add(session, writes.locked(session, tx, 'x'), 'note', text='half')
            raise exceptions.JournalBadValue(what='a test', reason='on purpose')
        self.assertRaises(exceptions.JournalBadValue, self.journal._commit, 'a test', work)
        self.assertEqual([], self.journal.records(tx))
        self.assertEqual(before, self.journal.get('m-1'))

    def test_count_unsettled(self):
        self.assertEqual({}, self.journal.count_unsettled())
        tx = self.begin(self.journal)
        self.journal.verdict(tx, 'HOLD', 'x')
        self.begin(self.journal, uuid='m-2')
        self.journal.finish(self.begin(self.journal, uuid='m-3'))
        tried = self.begin(self.journal, uuid='m-4')
        self.journal.verdict(tried, 'ABORT', 'x')
        self.journal.postpone(tried, 1, 'a device has a holder')
        self.assertEqual({'node13': (3, 2)}, self.journal.count_unsettled())

    def test_writers_do_not_disturb_each_other(self):
        tx = self.begin(self.journal)
        journals, failed = [self.journal, self.open()], []

        def run(number):
            try:
                for turn in range(15):
                    mine = journals[number % 2]
                    intent = mine.intent(tx, 'r', 'e', f'{number}-{turn}')
                    mine.outcome(tx, intent, 'ok')
            except Exception as exc:
                failed.append(exc)
        threads = [threading.Thread(target=run, args=(n,)) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual([], failed)
        lines = self.journal.records(tx)
        self.assertEqual(180, len(lines))
        outcomes = {r.ref: r.key for r in lines if r.kind == 'outcome'}
        self.assertEqual({r.id: r.key for r in lines if r.kind == 'intent'}, outcomes)
