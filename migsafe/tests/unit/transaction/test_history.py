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
import unittest

import hypothesis
from hypothesis import strategies

from migsafe import exceptions
from migsafe.journal.records import Corrupt, Record
from migsafe.transaction import history

IDS = strategies.integers(0, 6)
KEYS = strategies.sampled_from(['', 'v-1', 'v-2'])
PAYLOADS = strategies.none() | strategies.lists(strategies.integers(), max_size=2) | \
    strategies.dictionaries(strategies.sampled_from(['attachment_id', 'host', 'data', 'x']),
                    strategies.none() | strategies.text(max_size=3) | strategies.integers()
                    | strategies.lists(strategies.text(max_size=2), max_size=2), max_size=3)
EFFECTS = strategies.sampled_from([history.CREATE, history.CONNECT, history.DISCONNECT,
                           history.LEGACY_CONNECT, 'peer_is_dead', '', 'later'])
KINDS = strategies.sampled_from(['capture', 'intent', 'outcome', 'verdict', 'settled',
                         'hold', 'request', 'note', 'later'])


@strategies.composite
def _logs(draw):
    count = draw(strategies.integers(0, 12))
    return [Record(
        id=number + 1, transaction_id=1, kind=draw(KINDS),
        resource=draw(strategies.sampled_from(['host_device', 'volume_connection'])),
        key=draw(KEYS), effect=draw(EFFECTS),
        status=draw(strategies.sampled_from(['ok', 'error', 'unknown', ''])),
        payload=draw(PAYLOADS), ref=draw(strategies.none() | IDS),
        text=draw(strategies.sampled_from(['', 'handed_over']))
    ) for number in range(count)]


fuzz = hypothesis.settings(
    max_examples=400, deadline=None, derandomize=True,
    suppress_health_check=list(hypothesis.HealthCheck))


def _record(number, kind, effect='', key='v', status='', payload=None,
            ref=None, text=''):
    return Record(number, 1, kind, 'r', key, effect, status, payload, ref,
                     text=text)


class TestRead(unittest.TestCase):
    @fuzz
    @hypothesis.given(_logs())
    def test_any_log_is_read(self, log):
        found = history.read(log)
        answered = {r.ref for r in log if r.kind == 'outcome'}
        for number, record in found.open_intents.items():
            self.assertEqual(('intent', number), (record.kind, record.id))
        self.assertTrue({r.id for r in log if r.kind == 'intent'}
                        - answered <= set(found.open_intents))
        for made in found.attachments.values():
            self.assertTrue(all(isinstance(i, str) and i for i in made))
        for info in found.connections.values():
            self.assertIsInstance(info, dict)
        self.assertNotIn('handed_over', found.notes - {
            r.text for r in log if r.kind == 'note'})

    @fuzz
    @hypothesis.given(_logs())
    def test_what_may_be_connected_is_never_forgotten(self, log):
        """Only a disconnect that answered "ok" forgets a connection."""
        found = history.read(log)
        gone, connected = set(), set()
        intents = {}
        for record in log:
            if record.kind == 'intent':
                intents[record.id] = record
                if record.effect == history.CONNECT and isinstance(
                        record.payload, dict):
                    connected.add(record.key)
            if record.kind == 'outcome' and record.status == 'ok':
                gone.add(record.key)
        self.assertTrue(connected - gone <= set(found.connections))

    def test_intent_alone_may_have_happened(self):
        found = history.read([_record(1, 'intent', history.CONNECT,
                                   payload={'data': {}})])
        self.assertEqual({'v': {'data': {}}}, found.connections)
        self.assertEqual([1], list(found.open_intents))

    def test_failed_connect_may_have_happened(self):
        found = history.read([
            _record(1, 'intent', history.CONNECT, payload={'data': {}}),
            _record(2, 'outcome', history.CONNECT, status='error', ref=1)])
        self.assertIn('v', found.connections)
        self.assertEqual(['connect_volume v'], found.failed)

    def test_failed_create_may_have_made_one(self):
        log = [_record(1, 'intent', history.CREATE),
               _record(2, 'outcome', history.CREATE, status='error', ref=1)]
        self.assertEqual(['v'], history.read(log).unsure())
        begun = _record(2, 'outcome', history.CREATE, status='error', ref=1,
                        payload=history.NOT_BEGUN)
        self.assertEqual([], history.read([log[0], begun]).unsure())

    def test_last_disconnect_counts(self):
        log = []
        for status, undone in (('error', {'v'}), ('unknown', {'v'}), ('ok', set()),
                               ('error', {'v'})):
            number = len(log) + 1
            log += [_record(number, 'intent', history.DISCONNECT),
                    _record(number + 1, 'outcome', status=status, ref=number)]
            self.assertEqual(undone, history.read(log).undone)

    def test_failed_disconnect_is_still_connected(self):
        log = [_record(1, 'intent', history.CONNECT, payload={'data': {}}),
               _record(2, 'outcome', history.CONNECT, status='ok', ref=1),
               _record(3, 'intent', history.DISCONNECT)]
        self.assertIn('v', history.read(log).connections)
        for status in ('error', 'unknown'):
            self.assertIn('v', history.read([*log, _record(
                4, 'outcome', history.DISCONNECT, status=status,
                ref=3)]).connections)
            self.assertEqual(set(), history.read([*log, _record(
                4, 'outcome', history.DISCONNECT, status=status, ref=3)]).ended)
        over = [*log, _record(4, 'outcome', history.DISCONNECT, status='ok', ref=3)]
        self.assertNotIn('v', history.read(over).connections)
        self.assertEqual({'v'}, history.read(over).ended)
        again = history.read([*over, _record(5, 'intent', history.CONNECT,
                                             payload={'data': {}})])
        self.assertEqual(({'v'}, set()), (set(again.connections), again.ended))

    def test_withdrawal_stands_until_it_is_decided(self):
        log = [_record(1, 'request', 'peer_is_dead', payload={'host': 'node11'}),
               _record(2, 'request', 'peer_is_dead', payload={'host': 'node12'}),
               _record(3, 'request', history.WITHDRAW, payload={'host': 'node11'}),
               _record(4, 'verdict', '', status='HOLD')]
        found = history.read(log)
        self.assertEqual(({'node12'}, 'node11'), (found.dead_hosts, found.guest_on))
        found = history.read([*log, _record(5, 'verdict', '', status='ABORT')])
        self.assertEqual(({'node12'}, ''), (found.dead_hosts, found.guest_on))

    def test_connection_info_after_the_connect_is_the_better_one(self):
        """os-brick adds device_path and multipath_id."""
        found = history.read([
            _record(1, 'intent', history.CONNECT, payload={'data': {}}),
            _record(2, 'outcome', history.CONNECT, status='ok', ref=1,
                    payload={'data': {'device_path': '/dev/dm-3'}})])
        self.assertEqual('/dev/dm-3',
                         found.connections['v']['data']['device_path'])

    def test_attachments_in_the_order_they_were_made(self):
        found = history.read([
            _record(1, 'outcome', history.CREATE, status='ok',
                    payload={'attachment_id': 'a-1'}),
            _record(2, 'outcome', history.CREATE, status='error',
                    payload={'attachment_id': 'a-2'}),
            _record(3, 'outcome', history.CREATE, status='ok',
                    payload={'attachment_id': 'a-3'})])
        self.assertEqual({'v': ['a-1', 'a-3']}, found.attachments)

    def test_corrupt_line_raises_and_is_not_taken_for_empty(self):
        bad = Corrupt('node13.sqlite', 'migsafe_records', 7, 'payload',
                         'holds 3 characters that are not JSON')
        for kind in ('capture', 'request', 'intent', 'outcome'):
            log = [_record(7, kind, history.CONNECT, status='ok', payload=bad)]
            if kind == 'request':
                log = [_record(7, kind, 'peer_is_dead', payload=bad)]
            with self.assertRaises(exceptions.JournalCorrupt) as caught:
                history.read(log)
            self.assertIn('node13.sqlite', str(caught.exception))

    def test_secrets_do_not_show(self):
        found = history.read([_record(1, 'intent', history.CONNECT, payload={
            'data': {'auth_password': 'chap-secret-4711'}})])
        self.assertNotIn('chap-secret-4711', repr(found))
