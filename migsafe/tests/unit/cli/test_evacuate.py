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
"""migsafe evacuate, with an API of Nova that is made up."""

import http.server
import json
import os
import types
from unittest import mock

import fixtures

from migsafe import exceptions
from migsafe.cli import bus, evacuating
from migsafe.fencing import fences, turns
from migsafe.tests import api_server
from migsafe.tests.unit.cli.test_host_fence import Fence
from migsafe.tests.unit.cli.test_host_verdict import HostTestCase, silent

ONE, TWO = (f'b1f5a6c0-0000-4000-8000-00000000000{number}' for number in (1, 2))


class Api(http.server.BaseHTTPRequestHandler):

    def do_GET(self):
        size = int(self.headers.get('Content-Length') or 0)
        body = json.loads(self.rfile.read(size)) if size else None
        status, answer = self.server.answer(self.command, self.path, body)
        text = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header('Content-Length', str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_POST = do_PUT = do_GET

    def log_message(self, *_args):
        """Say nothing."""


class EvacuateCase(HostTestCase):

    def setUp(self):
        super().setUp()
        self.configure(f'[migsafe]\nstate_path = {self.state}')
        for name in ('cn1', 'cn2', 'cn5', 'cn6', 'cn7', 'cn8'):
            self.host(name)
        self.servers = {uuid: {
            'id': uuid, 'name': f'vm{uuid[-1]}', 'status': 'ACTIVE', 'OS-EXT-STS:task_state': None,
            'OS-EXT-SRV-ATTR:host': 'cn3'} for uuid in (ONE, TWO)}
        self.sent, self.late = [], {}
        #: what cn3 answers after it was forced down, and whether it was before
        self.after, self.forced_down, self.takes_back = silent(), False, (200, {})
        #: what the API answers to an evacuation; what becomes of it
        self.accepts, self.outcome = (200, {}), self.arrives
        self.api = api_server.Server(Api)
        self.api.answer = self.answer
        self.api.start()
        self.addCleanup(self.api.server_close)
        self.addCleanup(self.api.shutdown)
        for name in [name for name in os.environ if name.startswith('OS_')]:
            self.useFixture(fixtures.EnvironmentVariable(name))
        endpoint = f'http://127.0.0.1:{self.api.server_port}/v2.1'
        path = os.path.join(os.path.dirname(self.nova_conf), 'clouds.yaml')
        with open(path, 'w') as handle:
            json.dump({'clouds': {'t': {'auth_type': 'none', 'compute_endpoint_override': endpoint,
                                        'auth': {'endpoint': endpoint}}}}, handle)
        self.useFixture(fixtures.EnvironmentVariable('OS_CLIENT_CONFIG_FILE', path))
        self.enterContext(mock.patch.object(evacuating, 'time', types.SimpleNamespace(
            sleep=self.pass_time, monotonic=lambda: 0.0)))

    def pass_time(self, _seconds):
        for uuid in self.late:
            self.outcome(self.servers[uuid])
        self.late = {}

    @staticmethod
    def arrives(server):
        server.update({'OS-EXT-STS:task_state': None, 'OS-EXT-SRV-ATTR:host': 'cn1'})

    @staticmethod
    def stays(server):
        server.update({'OS-EXT-STS:task_state': None})

    def answer(self, command, path, body):
        path = path.removeprefix('/v2.1')
        if command == 'PUT':
            self.sent.append((path, body))
            self.answers['cn3'] = self.after
            with self.engine.begin() as connection:
                connection.exec_driver_sql('update services set forced_down = '
                                           f"{body['forced_down']:d} where host = 'cn3'")
            return self.takes_back if not body['forced_down'] else (200, {})
        if command == 'POST':
            self.sent.append((path.split('/')[2], body['evacuate']))
            if self.accepts[0] != 409:
                self.servers[path.split('/')[2]]['OS-EXT-STS:task_state'] = 'rebuilding'
                self.late[path.split('/')[2]] = True
            return self.accepts
        if path.startswith('/os-services'):
            return 200, {'services': [{
                'host': 'cn3', 'binary': 'nova-compute', 'status': 'enabled', 'state': 'down',
                'forced_down': self.forced_down}] if 'host=cn3' in path else []}
        if path.startswith('/servers/detail'):
            if 'name=' in path:
                return 200, {'servers': [self.servers[ONE]]}
            return 200, {'servers': [] if 'marker=' in path else list(self.servers.values())}
        return 200, {'server': self.servers[path.split('/')[2]]}

    def dead(self):
        self.host('cn3', silent(), ago=900, forced_down=True)

    def evacuate(self, wanted, *args, code):
        return {row['Server']: (row['Result'], row['Detail']) for row in self.rows(
            'evacuate', wanted, '--os-cloud', 't', *args, code=code)}

    def refused(self, wanted, *args, typed=''):
        code, out, err = self.run_command('evacuate', wanted, '--os-cloud', 't', *args,
                                          typed=typed)
        self.assertEqual((1, ''), (code, out))
        return err


class TestDeadHost(EvacuateCase):

    def setUp(self):
        super().setUp()
        self.dead()

    def test_host(self):
        found = self.evacuate('cn3', code=4)
        self.assertEqual(dict.fromkeys((ONE, TWO), ('evacuated', 'to cn1: ACTIVE')), found)
        self.assertEqual([(ONE, {}), (TWO, {})], self.sent)
        self.assertEqual({}, self.evacuate('cn3', code=0))

    def test_server(self):
        for wanted in ('vm1', ONE):
            self.servers[ONE]['OS-EXT-SRV-ATTR:host'] = 'cn3'
            self.assertEqual({ONE}, set(self.evacuate(wanted, '--to', 'cn2', code=4)))
        self.assertEqual([(ONE, {'host': 'cn2'})] * 2, self.sent)

    def test_one_that_nova_refuses(self):
        self.accepts = 409, {'conflictingRequest': {'code': 409, 'message': 'while it is paused'}}
        for result, detail in self.evacuate('cn3', code=3).values():
            self.assertEqual('refused', result)
            self.assertIn('(409): while it is paused', detail)

    def test_one_that_stays(self):
        self.outcome = self.stays
        result, detail = self.evacuate(ONE, code=3)[ONE]
        self.assertEqual('failed', result)
        self.assertIn(f'openstack server event list {ONE}', detail)

    def test_one_that_is_broken_where_it_came_to(self):
        self.outcome = lambda server: (self.arrives(server), server.update({'status': 'ERROR'}))
        self.assertEqual('failed', self.evacuate(ONE, code=3)[ONE][0])

    def test_answer_that_is_lost(self):
        self.accepts = 502, {}
        self.assertEqual('evacuated', self.evacuate(ONE, code=4)[ONE][0])
        self.assertEqual(1, len(self.sent))

    def test_time_that_is_up(self):
        self.assertEqual('under way', self.evacuate(ONE, '--wait', '0', code=3)[ONE][0])

    def test_one_that_is_evacuated_already(self):
        self.servers[ONE]['OS-EXT-STS:task_state'] = 'rebuilding'
        found = self.evacuate('cn3', code=3)
        self.assertEqual(('left', 'evacuated'), (found[ONE][0], found[TWO][0]))

    def test_limit(self):
        self.configure(f'[migsafe]\nstate_path = {self.state}\nevacuation_limit = 1')
        found = self.evacuate('cn3', code=3)
        self.assertEqual(('evacuated', 'left'), (found[ONE][0], found[TWO][0]))

    def test_two_controllers(self):
        with turns.Turns('', self.state) as other, other.of(ONE):
            found = self.evacuate('cn3', code=3)
        self.assertEqual(('refused', 'evacuated'), (found[ONE][0], found[TWO][0]))
        self.assertIn('another command', found[ONE][1])
        self.assertEqual([TWO], [uuid for uuid, _body in self.sent])
        self.assertEqual('evacuated', self.evacuate(ONE, code=4)[ONE][0])

    def test_interrupt(self):
        def interrupt(_seconds):
            raise KeyboardInterrupt
        with mock.patch.object(evacuating.time, 'sleep', interrupt):
            self.assertEqual('under way', self.evacuate(ONE, code=3)[ONE][0])
        self.pass_time(0)
        self.assertEqual('cn1', self.servers[ONE]['OS-EXT-SRV-ATTR:host'])

    def test_host_that_comes_back_in_the_middle(self):
        send = self.answer

        def comes_back(command, path, body):
            if command == 'POST':
                self.answers['cn3'] = 'here'
            return send(command, path, body)
        self.api.answer = comes_back
        found = self.evacuate('cn3', code=3)
        self.assertEqual(('evacuated', 'refused'), (found[ONE][0], found[TWO][0]))
        self.assertIn('guest was seen running there', found[TWO][1])

    def test_backend_of_locks_that_is_unknown(self):
        self.configure(f'[migsafe]\nstate_path = {self.state}\nevacuation_lock = nosuch://x')
        self.assertIn('evacuation_lock', self.refused(ONE))
        self.assertEqual([], self.sent)


class TestHostThatIsNotProvenDead(EvacuateCase):

    def setUp(self):
        super().setUp()
        self.fenced, self.outcome_of_fence = [], 'its power is off'
        self.enterContext(mock.patch.object(fences, 'load', lambda _conf: [Fence(self.act)]))

    def act(self):
        self.fenced.append('cn3')
        return self.outcome_of_fence

    def test_refused(self):
        self.host('cn3', silent(), ago=900)
        for wanted in ('cn3', ONE):
            err = self.refused(wanted)
            self.assertIn('Nothing is evacuated from host cn3', err)
            self.assertIn('--fence', err)
        self.assertEqual(([], []), (self.sent, self.fenced))

    def test_fenced_first(self):
        self.host('cn3', silent(), ago=900)
        found = self.evacuate('cn3', '--fence', code=4, typed='cn3\n')
        self.assertEqual({'evacuated'}, {result for result, _detail in found.values()})
        self.assertEqual(['/os-services/force-down', ONE, TWO], [what for what, _ in self.sent])

    def evacuate(self, wanted, *args, code, typed=''):
        return {row['Server']: (row['Result'], row['Detail']) for row in self.rows(
            'evacuate', wanted, '--os-cloud', 't', *args, code=code, typed=typed)}

    def test_host_that_is_dead_by_a_word_alone_is_fenced(self):
        self.host('cn3', silent(), ago=900, forced_down=True)
        self.outcome_of_fence = exceptions.MigsafeError('it says On')
        err = self.refused('cn3', '--fence', '--yes')
        for word in ('it says On', 'Without --fence it counts as fenced already'):
            self.assertIn(word, err)
        self.assertEqual((['cn3'], []), (self.fenced, self.sent))
        self.outcome_of_fence = 'its power is off'
        self.evacuate('cn3', '--fence', '--yes', code=4)
        self.assertEqual(['cn3'] * 2, self.fenced)

    def test_lock_that_is_lost(self):
        """Of the instance, before Nova is asked."""
        self.host('cn3', silent(), ago=900, forced_down=True)
        with mock.patch('tooz.drivers.file.FileLock.is_still_owner', lambda _lock: False):
            found = self.evacuate('cn3', code=3)
        self.assertEqual({'refused'}, {result for result, _detail in found.values()})
        self.assertEqual([], self.sent)

    def test_fence_that_fails_evacuates_nothing(self):
        self.host('cn3', silent(), ago=900)
        self.outcome_of_fence = exceptions.MigsafeError('it says On')
        self.assertIn('it says On', self.refused('cn3', '--fence', '--yes'))
        self.assertEqual([], self.sent)

    def said(self):
        return [body['forced_down'] for path, body in self.sent if 'force-down' in path]

    def test_bmc_that_says_off_while_the_host_lives(self):
        """The word of this command would let its guests be started twice, later."""
        self.host('cn3', silent(), ago=900)
        self.after = 'here'
        err = self.refused('cn3', '--fence', '--yes')
        for word in ('Nothing is evacuated', 'was taken back'):
            self.assertIn(word, err)
        self.assertEqual((['cn3'], [True, False]), (self.fenced, self.said()))
        self.assertEqual(2, len(self.sent))

    def test_word_that_is_not_taken_back(self):
        """It is another one's, or Nova does not do it."""
        self.host('cn3', silent(), ago=900)
        self.after = 'here'
        for self.forced_down, self.takes_back, said in (
                (True, (200, {}), [True]), (False, (403, {}), [True, False])):
            self.answers['cn3'], self.sent = silent(), []
            with self.engine.begin() as connection:
                connection.exec_driver_sql('update services set forced_down = 0')
            err = self.refused('cn3', '--fence', '--yes')
            self.assertIn('ALTHOUGH IT LIVES', err)
            self.assertIn('service set --up cn3 nova-compute', err)
            self.assertEqual(said, self.said())

    def test_host_that_is_not_known_to_live_keeps_the_word(self):
        self.host('cn3', silent(), ago=900)
        self.after = bus.Unreachable(bus='mq', seconds=1, reason='', service='x')
        self.assertNotIn('--up', self.refused('cn3', '--fence', '--yes'))
        self.assertEqual([True], self.said())

    def test_host_that_lives(self):
        self.host('cn3', 'here')
        self.assertIn('shows that it lives', self.refused('cn3', '--fence', '--yes'))
        self.assertEqual(([], []), (self.sent, self.fenced))

    def test_name_that_is_not_typed(self):
        self.host('cn3', silent(), ago=900)
        self.assertIn('Nothing was done', self.refused('cn3', '--fence', typed='cn4\n'))
        self.assertEqual(([], []), (self.sent, self.fenced))
