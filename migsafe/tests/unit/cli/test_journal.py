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
"""``migsafe journal`` and ``migsafe residue``."""

import json
from unittest import mock

from oslo_utils import fixture as timeutils_fixture
from oslo_utils import timeutils

from migsafe.tests.unit.cli import base
from migsafe.tests.unit.journal import base as journal_base

CONNECTION = journal_base.CONNECTION


class TestList(base.CommandTestCase):
    """``journal list``."""

    def setUp(self):
        super().setUp()
        self.journal = self.open()
        for number in range(5):
            self.begin(self.journal, uuid=f'm-{number}', instance=f'i-{number % 2}')
        self.journal.finish(self.journal.get('m-4'))

    def uuids(self, *args):
        return [row['UUID'] for row in self.rows('journal', 'list', *args)]

    def test_newest_first(self):
        self.assertEqual(['m-4', 'm-3', 'm-2', 'm-1', 'm-0'], self.uuids())

    def test_filters(self):
        self.assertEqual(['m-4'], self.uuids('--state', 'settled'))
        self.assertEqual(['m-3', 'm-1'], self.uuids('--instance', 'i-1'))
        self.assertEqual(['m-4', 'm-3'], self.uuids('--limit', '2'))
        self.assertEqual([], self.uuids('--instance', "i-1' OR 1=1"))

    def test_more_than_a_page(self):
        for number in range(5, 230):
            self.begin(self.journal, uuid=f'm-{number}')
        self.assertEqual([f'm-{n}' for n in range(229, -1, -1)], self.uuids('--limit', '0'))
        self.assertEqual(100, len(self.uuids()))
        self.assertEqual(205, len(self.uuids('--limit', '205')))

    def test_hostile_rows_hide_no_others(self):
        self.sql(
            "UPDATE migsafe_transactions SET state = 'haunted', attempts = 'many', "
            "updated_at = 'x' WHERE uuid = 'm-1'",
            "UPDATE migsafe_transactions SET reason = char(27) || '[2J' || char(10) || "
            f"'auth_password={journal_base.SECRET}' WHERE uuid = 'm-2'")
        rows = self.rows('journal', 'list', code=3)
        self.assertEqual(5, len(rows))
        self.assertEqual(['<unreadable>'] * 3,
                         [rows[3][name] for name in ('State', 'Attempts', 'Updated')])
        self.assertIn('auth_password=***', rows[2]['Reason'])
        err = self.run_command('journal', 'list')[2]
        self.assertIn('id 2, column state', err)


class TestShow(base.CommandTestCase):
    """``journal show``."""

    def setUp(self):
        super().setUp()
        self.journal = self.open()
        self.tx = self.begin(self.journal, captures=[('volume_connection', 'v-1', CONNECTION)])

    def show(self, code=0):
        return self.rows('journal', 'show', 'm-1', code=code)

    def test_a_timeline(self):
        done = self.journal.intent(self.tx, 'host_device', 'connect_volume', 'v-1', CONNECTION)
        self.journal.outcome(self.tx, done, 'ok')
        self.journal.intent(self.tx, 'host_device', 'connect_volume', 'v-2')
        self.journal.verdict(self.tx, 'ABORT', 'runs on node13')
        self.journal.finish(self.tx)
        rows = self.show()
        self.assertEqual(
            [('begin', ''), ('capture', ''), ('intent', ''), ('outcome', 'ok'),
             ('intent', 'may have happened'), ('verdict', 'ABORT'), ('settled', 'ABORT')],
            [(row['Event'], row['Status']) for row in rows])
        self.assertEqual(4, rows[1]['Details']['data']['target_lun'])
        self.assertEqual('***', rows[1]['Details']['data']['auth_password'])
        self.assertIsNone(rows[0]['ID'])

    def test_tables_cut_what_is_long(self):
        self.journal.note(self.tx, 'long', {'fill': 'x' * 5000})
        out = self.run_command('journal', 'show', 'm-1')[1]
        self.assertLess(max(len(line) for line in out.splitlines()), 500)
        self.assertNotIn('None', out)

    def test_both_roles_in_order(self):
        dest = self.begin(self.journal, role='destination')
        now = timeutils.utcnow()
        clock = self.useFixture(timeutils_fixture.TimeFixture(now))
        self.journal.note(self.tx, 'one')
        self.journal.note(dest, 'two')  # within the same millisecond
        clock.advance_time_seconds(-60)  # the clock is set back
        self.journal.note(self.tx, 'three')
        rows = self.show()
        self.assertEqual([('source', 'one'), ('destination', 'two'), ('source', 'three')],
                         [(row['Role'], row['Text']) for row in rows if row['Event'] == 'note'])
        events = [(row['Role'], row['Event']) for row in rows]
        self.assertEqual(('source', 'begin'), events[0])
        self.assertLess(events.index(('destination', 'begin')),
                        events.index(('destination', 'note')))
        self.assertEqual({('source', 'now'), ('destination', 'now')},
                         {event for event in events if event[1] == 'now'})

    def test_unknown(self):
        code, out, err = self.run_command('journal', 'show', 'm-9')
        self.assertEqual((1, ''), (code, out))
        self.assertIn('no transaction m-9', err)
        self.assertIn('journal list', err)

    def test_hostile_payloads(self):
        for number, payload in enumerate((
                '{"auth_password": "%s"' % journal_base.SECRET,  # noqa: UP031
                '[' * 100000, 'x' * 10 ** 7, '"text"', '{"a": {"b": 1e999}}',
                json.dumps({'nested': json.dumps(CONNECTION)}), '{"\\u001b[2J": "\\u001b"}')):
            self.journal.note(self.tx, f'note {number}', {'a': 1})
            with_quotes = payload.replace("'", "''")
            self.sql(f"UPDATE migsafe_records SET payload = '{with_quotes}' "
                     f"WHERE text = 'note {number}'")
        self.sql("UPDATE migsafe_records SET kind = 'exorcism' WHERE kind = 'capture'")
        for name in ('table', 'yaml', 'csv', 'json'):
            code, out, err = self.run_command('journal', 'show', 'm-1', '-f', name)
            self.assertEqual(3, code)
            self.assertLess(len(out), 30000)
            for number in range(7):
                self.assertIn(f'note {number}', out)
            self.assertIn("'exorcism'", err)
            self.assertLess(len(err), 10000)

    def test_a_hostile_role(self):
        self.sql("UPDATE migsafe_transactions SET role = 'both'")
        self.assertEqual('<unreadable>', self.show(code=3)[0]['Role'])


class TestResidue(base.CommandTestCase):
    """``residue list``."""

    def setUp(self):
        super().setUp()
        self.journal = self.open()
        base.report(self.journal)

    def residue(self, *args, code=3):
        return [(row['Kind'], row['State'], row['Resource'], row['Host'], row['Key'],
                 row['Transaction'], row['Reason'])
                for row in self.rows('residue', 'list', *args, code=code)]

    def test_clean(self):
        self.journal.finish(self.begin(self.journal))
        self.assertEqual([], self.residue(code=0))

    def test_a_host_that_never_reported(self):
        """That nothing is listed does not mean that there is nothing."""
        self.assertEqual([], self.residue(code=0))
        self.open('node17').close()
        for host, code in (('node13', 0), ('node17', 3)):
            _code, _out, err = self.run_command('--host', host, 'residue', 'list')
            self.assertEqual(code, _code, host)
            self.assertEqual(bool(code), 'has never reported' in err)
            self.assertIn(f'This is host {host} alone', err)
        self.sql('DELETE FROM migsafe_services')
        self.assertEqual([], self.residue())

    def test_a_line_for_each_thing(self):
        """The same is said once, and of a long reason the command that it names."""
        reason = f'{"on node11: held, as could be said at length; " * 5}see "migsafe lvm check".'
        tx = self.begin(self.journal)
        held = {('host_device', f'R4 {volume}'): f'R4 host_device {volume} {reason}'
                for volume in ('v-1', 'v-2')}
        held['instance_record', 'R6 '] = 'R6 instance_record  on node13: stuck'
        for (resource, key), why in held.items():
            self.journal.hold(tx, resource, key, why)
        self.journal.postpone(tx, 30, '; '.join(held.values()))
        found = self.residue()
        self.assertEqual([('R4', 'v-1'), ('R4', 'v-2'), ('R6', '')],
                         [(row[0], row[4]) for row in found])
        self.assertEqual({why for why in held.values() if why[:2] == 'R4'},
                         {row[-1] for row in found if row[0] == 'R4'})
        shown = self.run_command('residue', 'list', '--max-width', '0')[1].splitlines()
        told = [line.split('|')[-2].strip() for line in shown if line.startswith('| R')]
        self.assertEqual([
            'on node11: held, as could be said at length; on node11: held, as could be said at '
            'length; on node11: held, as could be ... "migsafe lvm check"', 'as above',
            'on node13: stuck'], told)

    def test_what_to_do_next(self):
        """Said in words, and not by a command: it is no less what is read first."""
        reason = (f'{"held [node13: here; node11: silent], " * 5}which is fenced, but alone. '
                  'Next: ask from node12.example.org; see [migsafe] reach). It is tried again.')
        tx = self.begin(self.journal)
        self.journal.hold(tx, 'host_device', 'R4 v-1', reason)
        self.journal.postpone(tx, 30, reason)
        shown = self.run_command('residue', 'list', '--max-width', '0')[1]
        self.assertIn(' ... Next: ask from node12.example.org; see [migsafe] reach |', shown)

    def test_a_reason_of_many_words(self):
        """A line for people, all of it for programs, and nothing of it is lost."""
        reason = ' '.join(f'{number} is held by vg0/lv0;' for number in range(65))
        tx = self.begin(self.journal)
        self.journal.hold(tx, 'host_device', 'R4 v-1', reason)
        self.journal.postpone(tx, 30, reason)
        self.assertGreater(len(reason), 1400)
        self.assertEqual(reason, self.residue()[0][-1])
        self.assertEqual(reason, self.rows('residue', 'list', code=3)[0]['Reason'])
        _code, out, _err = self.run_command('residue', 'list')
        self.assertIn('0 is held by vg0/lv0;', out)
        self.assertIn(' ... ', out)
        self.assertLess(max(map(len, out.splitlines())), 260)
        self.assertEqual(5, len(out.splitlines()), out)
        with mock.patch('cliff.utils.terminal_width', return_value=100):
            _code, out, _err = self.run_command('residue', 'list')
        self.assertLessEqual(max(map(len, out.splitlines())), 100)
        _code, out, _err = self.run_command('journal', 'show', 'm-1', '-f', 'value', '-c', 'Text')
        self.assertIn(reason, out)

    def test_findings(self):
        self.journal.set_findings('R9', {('i-1', 'v-1'): 'another disk', ('i-2', 'v-2'): 'too'})
        code, out, err = self.run_command('residue', 'list', '-f', 'json')
        self.assertEqual(3, code)
        self.assertIn('2 found that a person has to see to', err)
        self.assertNotIn('by itself', err)
        self.assertEqual([('R9', 'found', 'host_device', 'node13', 'v-2', '', 'too')],
                         self.residue('--instance', 'i-2'))
        self.journal.set_findings('R9', {})
        self.assertEqual([], self.residue(code=0))

    def test_pieces(self):
        tx = self.begin(self.journal)
        done = self.journal.intent(tx, 'host_device', 'connect_volume', 'v-1')
        self.journal.outcome(tx, done, 'error')
        self.journal.intent(tx, 'volume_connection', 'attachment_create', 'v-2')
        self.journal.verdict(tx, 'ABORT', 'runs on node13')
        for key in ('R4 v-1', 'R4 v-2'):
            self.journal.hold(tx, 'host_device', key, f'{key} is held by vg0/lv0')
        self.journal.hold(tx, 'port_binding', 'R8 p-1', 'Neutron does not answer')
        self.journal.settled(tx, 'host_device', 'R4 v-2')
        self.journal.postpone(tx, 30, 'R4 v-1 is held by vg0/lv0')
        self.assertEqual([
            ('R4', 'held', 'host_device', 'node13', 'v-1', 'm-1', 'R4 v-1 is held by vg0/lv0'),
            ('R8', 'was held', 'port_binding', 'node13', 'p-1', 'm-1', 'Neutron does not answer'),
            ('', 'unknown', 'volume_connection', 'node13', 'v-2', 'm-1',
             'attachment_create may have happened')], self.residue())

    def test_what_is_not_decided(self):
        self.begin(self.journal)
        tx = self.begin(self.journal, uuid='m-2', instance='i-2')
        self.journal.verdict(tx, 'HOLD', 'node11 does not answer')
        self.assertEqual([
            ('', 'unsettled', 'transaction', 'node13', '', 'm-1', 'not decided yet'),
            ('', 'held', 'transaction', 'node13', '', 'm-2', 'node11 does not answer')],
            self.residue())
        self.assertEqual(['m-2'], [row[5] for row in self.residue('--instance', 'i-2')])

    def test_a_thousand(self):
        for number in range(120):
            self.begin(self.journal, uuid=f'm-{number}')
        self.assertEqual(120, len(self.residue()))

    def test_hostile_rows(self):
        tx = self.begin(self.journal)
        self.journal.hold(tx, 'host_device', 'R4 v-1', 'held')
        self.journal.hold(tx, 'host_device', 'R4 v-2', 'held too')
        self.sql("UPDATE migsafe_records SET kind = 'x' WHERE key = 'R4 v-1'",
                 "UPDATE migsafe_transactions SET verdict = 'x', reason = x'ff1b5b324a'")
        rows = self.residue()
        self.assertIn('v-2', [row[4] for row in rows])
