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
import json
import types
import unittest
from unittest import mock

import hypothesis
import oslo_messaging as messaging
from hypothesis import strategies

from migsafe.nova.bus import peer
from migsafe.resources import host_device
from migsafe.transaction import answers
from migsafe.transaction.evidence import GuestState

HOST = 'node11'
G = GuestState
WORDS = strategies.sampled_from([
    'guest', 'host', 'job', 'boot_id', 'detail', 'known', 'live', 'state',
    'verdict', 'version', 'kept', 'reason', 'attachments', HOST, 'node13',
    'done', 'busy', 'refused', 'COMMIT', 'ABORT', *(g.value for g in G)])
JSON = strategies.recursive(
    strategies.none()
    | strategies.booleans()
    | strategies.integers()
    | strategies.floats()
    | strategies.text()
    | WORDS,
    lambda inner: (
        strategies.lists(inner, max_size=5)
        | strategies.dictionaries(WORDS | strategies.text(), inner, max_size=8)
    ),
    max_leaves=30,
)
#: Replies that are nearly right are where mistakes hide.
REPLIES = JSON | strategies.fixed_dictionaries(
    {},
    optional={
        'guest': WORDS | JSON,
        'host': WORDS | JSON,
        'job': JSON,
        'boot_id': JSON,
        'rebooted': strategies.booleans() | JSON,
        'detail': JSON,
        'known': strategies.booleans() | JSON,
        'live': JSON,
        'state': WORDS | JSON,
        'verdict': JSON,
        'reason': JSON,
        'kept': strategies.dictionaries(strategies.text(), strategies.text()) | JSON,
        'attachments': strategies.dictionaries(
            strategies.text(), strategies.lists(strategies.text())
        )
        | JSON,
    },
)
fuzz = hypothesis.settings(
    max_examples=400, deadline=None, derandomize=True,
    suppress_health_check=list(hypothesis.HealthCheck))


class TestParse(unittest.TestCase):
    @fuzz
    @hypothesis.given(REPLIES)
    def test_evidence(self, reply):
        found = answers.parse(HOST, reply)
        self.assertEqual(HOST, found.host)
        self.assertIsNot(G.DEAD, found.guest)
        if found.guest is not G.UNKNOWN:
            self.assertEqual((HOST, found.guest.value),
                             (reply['host'], reply['guest']))
            self.assertEqual(reply.get('job') is False, not found.job)
        self.assertLessEqual(len(found.detail), answers.MAX_TEXT)
        # It has answered, whatever it said.
        self.assertIsInstance(found.boot_id, str)
        if found.rebooted is not None:
            self.assertIs(reply['rebooted'], found.rebooted)
        json.dumps(found.as_payload())

    @fuzz
    @hypothesis.given(REPLIES)
    def test_description(self, reply):
        found = peer.parse_description(reply)
        if found is None:
            return
        self.assertIs(reply['known'], found['known'])
        if reply.get('live') is not False:
            self.assertIs(True, found['live'])
        for key in ('state', 'verdict', 'version'):
            self.assertIsInstance(found[key], str)
        for volume, made in found['attachments'].items():
            self.assertIsInstance(volume, str)
            self.assertTrue(all(isinstance(i, str) and i for i in made))
        json.dumps(found)

    @fuzz
    @hypothesis.given(REPLIES)
    def test_release(self, reply):
        found = peer.parse_release(reply)
        self.assertIn(found['state'], ('done', 'busy', 'refused'))
        kept = host_device.peer_kept(found, ['v-1', 'v-2'])
        if found['state'] == 'done' and not kept:
            self.assertEqual(('done', {}), (reply['state'], reply['kept']))
        self.assertTrue(all(isinstance(k, str) and isinstance(v, str)
                            for k, v in kept.items()))

    def test_names_another_host(self):
        for host in (None, '', 'node13', [HOST], HOST.upper()):
            found = answers.parse(HOST, {
                'guest': 'absent', 'job': False, 'host': host})
            self.assertIs(G.UNKNOWN, found.guest)

    def test_what_is_not_understood_is_no_answer(self):
        """Not even that a migration goes on: then nothing could be put right."""
        for odd in ({'guest': 'absent'}, {'guest': 'hibernated', 'job': True},
                    {'guest': 'absent', 'job': 'maybe'}):
            found = answers.parse(HOST, {'host': HOST, 'boot_id': 'b', **odd})
            self.assertEqual((peer.GuestState.UNKNOWN, False, ''),
                             (found.guest, found.job, found.boot_id))
            self.assertIn('not understood', found.detail)
        plain = {'known': True, 'live': False, 'state': 'open', 'verdict': ''}
        self.assertIsNotNone(peer.parse_description(plain))
        for odd in ({'live': None}, {'state': 'parked'}, {'verdict': 'LATER'}, {'known': 1}):
            self.assertIsNone(peer.parse_description(plain | odd))

    def test_of_what_a_peer_does_not_know_it_need_not_say_more(self):
        first = {'known': False, 'live': False}
        found = peer.parse_description(first)
        self.assertEqual((False, False, '', ''), tuple(
            found[name] for name in ('known', 'live', 'state', 'verdict')))
        for more in ({'known': True}, {'live': True}, {'state': 'parked'}, {'verdict': None}):
            self.assertIsNone(peer.parse_description(first | more))

    def test_kept_volumes_are_never_dropped(self):
        """Two long keys that become the same when cut, one odd value."""
        long = 'x' * answers.MAX_TEXT
        for kept in ({long + 'a': '1', long + 'b': '2'}, {'v': 1},
                     {str(n): '' for n in range(peer.MAX_ITEMS + 1)}):
            found = peer.parse_release({'state': 'done', 'kept': kept})
            self.assertNotIn('kept', found)
            self.assertEqual({'v-1'},
                             set(host_device.peer_kept(found, ['v-1'])))


class TestPeer(unittest.TestCase):
    def setUp(self):
        self.peer = peer.Peer(5)
        patch = mock.patch.object(peer.rpc, 'get_client')
        self.client = patch.start()
        self.addCleanup(patch.stop)

    def test_nobody_is_asked_without_a_host(self):
        """A message without a server would go to any compute host."""
        self.assertIs(G.UNKNOWN, self.peer.evidence('', 'u', 'i').guest)
        self.assertIsNone(self.peer.describe('', 'u'))
        self.assertEqual('refused',
                         self.peer.release('', 'u', 'i', 'ABORT')['state'])
        self.client.assert_not_called()

    def test_time_and_repetitions_are_bounded(self):
        self.peer.describe(HOST, 'u')
        self.client.return_value.prepare.assert_called_once_with(
            server=HOST, timeout=5, retry=peer.RETRIES)
        self.assertLessEqual(peer.RETRIES, 3)

    def test_asked_to_let_go_once_more_after_an_error_of_its_own(self):
        """An error does not say whether the device is gone. Without an answer it may be at it."""
        sent = type('NovaException_Remote', (Exception,), {})
        for errors, expected, asked in (
                ([None], None, 1), ([sent(), None], None, 2), ([sent(), sent()], sent, 2),
                ([messaging.RemoteError('TimeoutExpired'), None], None, 2),
                ([messaging.MessagingTimeout()], messaging.MessagingTimeout, 1),
                ([messaging.MessageDeliveryFailure()], messaging.MessageDeliveryFailure, 1)):
            nova = mock.Mock()
            nova.remove_volume_connection.side_effect = errors
            with mock.patch.object(peer.objects.Instance, 'get_by_uuid') as found:
                if expected:
                    self.assertRaises(expected, peer.Peer(5, nova).let_go, HOST, 'i', 'v')
                else:
                    peer.Peer(5, nova).let_go(HOST, 'i', 'v')
            self.assertEqual([mock.call(mock.ANY, found.return_value, 'v', HOST)] * asked,
                             nova.remove_volume_connection.mock_calls, errors)

    def test_topic_is_that_of_nova(self):
        """As Nova chooses it: by what the oldest host of the cloud understands."""
        for alternative, understood, expected in (('compute-alt', True, 'compute-alt'),
                                                  ('compute-alt', False, 'compute'),
                                                  (None, True, 'compute')):
            nova = mock.Mock()
            can = nova.router.client.return_value.can_send_version
            can.return_value = understood
            with mock.patch.object(peer, 'rpcapi', types.SimpleNamespace(
                    RPC_TOPIC='compute', **({'RPC_TOPIC_ALT': alternative} if alternative
                                            else {}))):
                peer.Peer(5, nova).describe(HOST, 'u')
            self.assertEqual(expected, self.client.call_args[0][0].topic)
            self.assertEqual([mock.call('6.5')] if alternative else [], can.mock_calls)

    def test_any_error_is_no_answer_and_the_same_text_each_time(self):
        call = self.client.return_value.prepare.return_value.call
        reasons = set()
        for number in range(3):
            call.side_effect = TimeoutError(f'no reply to message {number}')
            found = self.peer.evidence(HOST, 'u', 'i')
            self.assertIs(G.UNKNOWN, found.guest)
            self.assertIsNone(found.boot_id)
            reasons.add(found.detail)
            reasons.add(self.peer.release(HOST, 'u', 'i', 'ABORT')['reason'])
        self.assertEqual(1, len(reasons))
        self.assertIn(HOST, reasons.pop())
