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
"""``migsafe preflight``: a real HTTP server for Nova's API, and hosts that answer as told."""

import dataclasses
import http.server
import json
import os
import threading
import types

import fixtures

from migsafe.cli import bus, cloud
from migsafe.preflight import report
from migsafe.tests import api_server
from migsafe.tests.unit.cli import base
from migsafe.tests.unit.preflight import cases
from migsafe.tests.unit.preflight.cases import DST, GUEST, ISO, SRC, UUID

SERVER = {'id': UUID, 'name': 'db1', 'status': 'ACTIVE', 'OS-EXT-STS:task_state': None,
          'OS-EXT-SRV-ATTR:host': SRC}
HUSH = 'api-hush-4711'


def service(host, **changes):
    return {'host': host, 'binary': 'nova-compute', 'status': 'enabled', 'state': 'up',
            'forced_down': False, 'disabled_reason': None, **changes}


class Api(http.server.BaseHTTPRequestHandler):
    """Nova's API: what it answers is a function of the path."""

    def do_GET(self):
        self.server.asked.append(self.command)
        status, body = self.server.answer(self.path)
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header('Content-Length', str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_POST = do_PUT = do_DELETE = do_PATCH = do_GET

    def log_message(self, *_args):
        """Say nothing."""


class PreflightCase(base.CommandTestCase):

    def setUp(self):
        super().setUp()
        self.servers = [dict(SERVER)]
        self.services = [service(SRC), service(DST)]
        self.wrong = None
        self.api = api_server.Server(Api)
        self.api.answer, self.api.asked = self.answer, []
        self.api.start()
        self.addCleanup(self.api.server_close)
        self.addCleanup(self.api.shutdown)
        for name in [name for name in os.environ if name.startswith('OS_')]:
            self.useFixture(fixtures.EnvironmentVariable(name))
        self.clouds(f'http://127.0.0.1:{self.api.server_port}/v2.1')
        self.hosts = {SRC: self.payload(cases.made(SRC, GUEST)),
                      DST: self.payload(cases.made(DST))}
        self.path = self.payload(cases.PATH)
        self.around = {host: self.payload(cases.around(host)) for host in self.hosts}
        self.calls = []
        self.useFixture(fixtures.MonkeyPatch('migsafe.cli.bus.Bus.__init__', lambda *_: None))
        self.useFixture(fixtures.MonkeyPatch(
            'migsafe.cli.bus.Bus.call', lambda _bus, *args, **kwargs: self.call(*args, **kwargs)))
        self.useFixture(fixtures.MonkeyPatch(
            'migsafe.cli.two_hosts.time', types.SimpleNamespace(time=lambda: 1000.0)))

    @staticmethod
    def payload(found):
        """As it comes over the bus."""
        return json.loads(json.dumps(report.payload(found)))

    def clouds(self, endpoint):
        path = os.path.join(os.path.dirname(self.nova_conf), 'clouds.yaml')
        with open(path, 'w') as handle:
            json.dump({'clouds': {'t': {
                'auth_type': 'none', 'compute_endpoint_override': endpoint,
                'auth': {'endpoint': endpoint}}}}, handle)
        self.useFixture(fixtures.EnvironmentVariable('OS_CLIENT_CONFIG_FILE', path))

    def answer(self, path):
        if self.wrong is not None and self.wrong(path) is not None:
            return self.wrong(path)
        if path == f'/v2.1/servers/{UUID}':
            return 200, {'server': self.servers[0]}
        if path.startswith('/v2.1/servers/detail'):
            return 200, {'servers': self.servers}
        if path.startswith('/v2.1/os-services'):
            return 200, {'services': [one for one in self.services
                                      if f'host={one["host"]}' in path]}
        return 404, {'itemNotFound': {}}

    def call(self, service, method, since=bus.FIRST, **arguments):
        self.calls.append((service.server, method))
        if method == 'path':
            self.assertEqual((SRC, '1.3', DST), (service.server, since, arguments['destination']))
        if method == 'surroundings':
            self.assertEqual('1.6', since)
        answer = {'path': self.path, 'surroundings': self.around.get(service.server)}.get(
            method, self.hosts[service.server])
        if method == 'describe' and answer is bus.TooOld:
            raise bus.Unknown(service=service.name, armed=service.armed)
        if isinstance(answer, dict | list | str):
            return answer
        raise answer(service=service.name, armed=service.armed, method=method, version=since,
                     reason='x', kind='y', seconds=3, check=service.check, bus='mq:5672')

    def preflight(self, *args, code, server=UUID, host=DST):
        destination = ('--host', host) if host else ()
        return self.rows('preflight', server, *destination, '--os-cloud', 't', *args, code=code)

    def checks(self, rows):
        return {row['Name']: row for row in rows if row['What'] == 'check'}


class TestAnswers(PreflightCase):

    def test_fine(self):
        rows = self.preflight(code=0)
        self.assertEqual(('disk', 'vda', 'connected'), tuple(
            rows[0][name] for name in ('What', 'Name', 'Result')))
        self.assertEqual(('decision', 'auto', 'copies nothing'), tuple(
            rows[1][name] for name in ('What', 'Name', 'Result')))
        self.assertEqual({'ok'}, {row['Result'] for row in self.checks(rows).values()})

    def test_a_way_that_is_not_known(self):
        for wrong, words in ((bus.Refused, 'answered that it cannot'), (bus.TooOld, 'older'),
                             ({'uri': 7}, 'not to be understood'), (bus.Silent, 'did not answer')):
            with self.subTest(str(wrong)):
                self.path = wrong
                found = self.checks(self.preflight(code=3))
                self.assertEqual({'unknown'}, {found[name]['Result'] for name in (
                    'path', 'certificates', 'speed')})
                self.assertIn(words, found['path']['Detail'])

    def test_surroundings_that_are_not_known(self):
        for wrong, words in ((bus.Refused, 'answered that it cannot'), (bus.TooOld, 'older'),
                             ({'host': 7}, 'not to be understood'),
                             (bus.Silent, 'did not answer')):
            with self.subTest(str(wrong)):
                self.around[DST] = wrong
                found = self.checks(self.preflight(code=3))
                self.assertEqual(('unknown', 'ok'), (
                    found['array']['Result'], found['dirty-rate']['Result']))
                self.assertIn(words, found['array']['Detail'])

    def test_by_name(self):
        self.assertEqual(0, self.run_command('preflight', 'db1', '--host', DST, '--os-cloud',
                                             't')[0])

    def test_it_only_reads(self):
        self.preflight(code=0)
        self.assertEqual({'GET'}, set(self.api.asked))
        self.assertEqual({(SRC, 'preflight'), (DST, 'preflight'), (SRC, 'path'),
                          (SRC, 'surroundings'), (DST, 'surroundings')},
                         set(self.calls))

    def test_incident_002(self):
        self.hosts[SRC] = self.payload(cases.made(SRC, dataclasses.replace(
            GUEST, disks=(*GUEST.disks, ISO))))
        rows = self.preflight(code=3)
        self.assertEqual([('sda', 'left, arrives blank'), ('auto', 'copies')],
                         [(row['Name'], row['Result']) for row in rows[1:3]])
        self.assertIn('openstack server migrate', rows[1]['Remedy'])
        rows = self.preflight('--block-migration', 'false', code=3)
        self.assertEqual(['stays', 'stays', 'refused'], [row['Result'] for row in rows[:3]])
        self.assertIn('InvalidSharedStorage', self.checks(rows)['disks']['Detail'])

    def test_the_wrong_setting_names_the_right_one(self):
        rows = self.preflight('--block-migration', 'true', code=3)
        self.assertIn('works: --block-migration auto', self.checks(rows)['disks']['Remedy'])

    def test_twenty_six_volumes(self):
        volumes = tuple(dataclasses.replace(cases.VOLUME, id=f'v-{number}', device=f'vd{number}')
                        for number in range(26))
        disks = tuple(dataclasses.replace(GUEST.disks[0], target=one.device, serial=one.id)
                      for one in volumes)
        self.hosts[SRC] = self.payload(cases.made(SRC, dataclasses.replace(
            GUEST, volumes=volumes, disks=disks)))
        rows = self.preflight(code=0)
        self.assertEqual(26, sum(row['What'] == 'disk' for row in rows))

    def test_no_disks(self):
        self.hosts[SRC] = self.payload(cases.made(SRC, dataclasses.replace(
            GUEST, volumes=(), disks=())))
        self.assertEqual('decision', self.preflight(code=0)[0]['What'])

    def test_the_table_for_people(self):
        self.services[1]['status'] = 'disabled'
        code, out, err = self.run_command('preflight', UUID, '--host', DST, '--os-cloud', 't')
        self.assertEqual(3, code)
        self.assertIn('destination-service: refused', err)
        self.assertIn(f'openstack compute service set --enable {DST} nova-compute', err)
        self.assertIn('copies nothing', out)


class TestHostsThatDoNot(PreflightCase):

    def results(self, code=3, **kwargs):
        rows = self.preflight(code=code, **kwargs)
        return {name: row['Result'] for name, row in self.checks(rows).items()}, rows

    def test_no_destination(self):
        found, rows = self.results(host='')
        self.assertEqual(('unknown', 'unknown'), (found['destination-service'], found['disks']))
        self.assertEqual('unknown', rows[0]['Result'])

    def test_a_destination_that_does_not_exist(self):
        self.hosts['nowhere'] = bus.Silent
        found, rows = self.results(host='nowhere')
        self.assertEqual('refused', found['destination-service'])
        self.assertIn('no nova-compute', self.checks(rows)['destination-service']['Detail'])

    def test_every_way_of_not_answering(self):
        nonsense = ({}, {'host': DST}, [], 'x', self.payload(cases.made('another')),
                    {**self.hosts[DST], 'now': 'x'}, {**self.hosts[DST], 'storage': None})
        for answer in (bus.Silent, bus.Refused, bus.Unreachable, bus.NoAnswer, *nonsense):
            for name in (SRC, DST):
                with self.subTest(answer=str(answer)[:60], name=name):
                    kept, self.hosts[name] = self.hosts[name], answer
                    found, rows = self.results()
                    self.hosts[name] = kept
                    self.assertEqual('unknown', found['plugin'])
                    self.assertEqual('unknown', found['disks'])
                    self.assertIn(name, self.checks(rows)['plugin']['Detail'])

    def test_without_the_plugin(self):
        self.hosts[DST] = bus.TooOld
        found, rows = self.results()
        self.assertEqual(('refused', 'unknown'), (found['plugin'], found['residue']))
        self.assertIn('enabled = true', self.checks(rows)['plugin']['Detail'])

    def test_another_major_version(self):
        self.hosts[DST]['version'] = '2.0.0'
        self.assertEqual('refused', self.results()[0]['plugin-version'])

    def test_what_hosts_say_reaches_no_terminal(self):
        self.hosts[DST]['version'] = '0.1\x1b[31m'
        self.hosts[SRC]['guest']['disks'][0]['target'] = 'vd\x1b]0;x\x07a'
        self.preflight(code=3)


class TestApiThatDoesNot(PreflightCase):

    def said(self, server=UUID):
        """The command could not do its work: one line that says why."""
        code, out, err = self.run_command('preflight', server, '--host', DST, '--os-cloud', 't')
        self.assertEqual((1, ''), (code, out), err)
        self.assertEqual([], self.calls)
        self.assertNotIn(HUSH, err)
        return err

    def test_no_such_server(self):
        self.assertIn('has no server', self.said('8b1e4b0e-7c38-4bb1-9f0e-0a1f4a0d7c11'))
        self.servers = []
        self.assertIn('has no server', self.said('db9'))

    def test_a_name_of_two(self):
        self.servers.append({**SERVER, 'id': '8b1e4b0e-7c38-4bb1-9f0e-0a1f4a0d7c11'})
        self.assertIn('8b1e4b0e', self.said('db1'))

    def test_a_server_without_a_host(self):
        self.servers[0]['OS-EXT-SRV-ATTR:host'] = None
        self.assertIn('Nova has none', self.said())
        del self.servers[0]['OS-EXT-SRV-ATTR:host']
        self.assertIn('administrator', self.said())

    def test_every_answer_but_the_right_one(self):
        for answer, words in (
                ((403, {}), '403'), ((401, {}), 'refuses the account'), ((500, {}), '500'),
                ((503, b'<html>' + HUSH.encode()), '503'), ((200, b'<p>no'), 'not to be'),
                ((200, {}), 'not to be'), ((200, {'server': 5}), 'no server'),
                ((200, []), 'not to be'), ((200, {'server': {'id': 'x'}}), 'no server'),
                ((200, b'\xff\xfe'), 'not to be'), ((302, b''), '302')):
            with self.subTest(answer=answer):
                self.wrong = lambda path, answer=answer: answer
                self.assertIn(words, self.said())

    def test_an_answer_that_is_too_long(self):
        self.useFixture(fixtures.MonkeyPatch('migsafe.cli.cloud.MOST', 10))
        self.assertIn('bytes long', self.said())

    def test_nobody_there(self):
        self.clouds('http://127.0.0.1:1/v2.1')
        self.assertIn('did not answer', self.said())

    def test_no_such_cloud(self):
        code, _out, err = self.run_command('preflight', UUID, '--os-cloud', 'other')
        self.assertEqual(1, code)
        self.assertIn('--os-cloud', err)

    def test_an_api_that_hangs(self):
        """Each question is over in time, whatever the library does."""
        waiting = threading.Event()
        self.addCleanup(waiting.set)
        self.useFixture(fixtures.MonkeyPatch('migsafe.cli.cloud.WHOLE', 0.2))
        self.wrong = lambda path: waiting.wait(60) and None
        self.assertIn('nothing came within', self.said())

    def test_an_account_that_keystone_refuses(self):
        path = os.environ['OS_CLIENT_CONFIG_FILE']
        with open(path, 'w') as handle:
            json.dump({'clouds': {'t': {'auth_type': 'v3password', 'auth': {
                'auth_url': f'http://127.0.0.1:{self.api.server_port}/v3', 'username': 'ops',
                'password': HUSH, 'user_domain_id': 'default', 'project_id': 'p'}}}}, handle)
        for status, words in ((401, 'Unauthorized'), (500, '500'), (200, 'cannot be asked')):
            with self.subTest(status=status):
                self.wrong = lambda path, status=status: (status, {'error': {'message': 'no'}})
                self.assertIn(words, self.said())

    def test_services_that_it_does_not_tell(self):
        """Of the server alone it has told: the rest is judged, and this is unknown."""
        for answer in ((403, {}), (200, {'services': 'x'}), (200, b'no'), (200, {'services': [
                service(DST, state='?')]}), (500, {})):
            with self.subTest(answer=answer):
                self.wrong = lambda path, answer=answer: answer if 'os-services' in path else None
                rows = self.preflight(code=3)
                self.assertEqual('unknown', self.checks(rows)['destination-service']['Result'])
                self.assertEqual('ok', self.checks(rows)['disks']['Result'])

    def test_without_the_library(self):
        self.useFixture(fixtures.MonkeyPatch(
            'migsafe.cli.cloud.Cloud._adapter', lambda *_: __import__('no_such_module_here')))
        self.assertIn('nova-compute', self.said())


class TestCloud(PreflightCase):

    def test_nothing_is_taken_for_another(self):
        self.services = [service(DST + '0'), {**service(DST), 'binary': 'nova-conductor'}]
        self.wrong = lambda path: (200, {'services': self.services})
        self.assertIsNone(cloud.Cloud('t').service(DST))
