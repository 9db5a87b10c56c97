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
"""``migsafe repair --os-cloud`` over HTTP, with what its services may answer."""

import http.server
import json
import os
import sqlite3

import fixtures

from migsafe.cli import repair_services
from migsafe.repair import requests
from migsafe.tests import api_server
from migsafe.tests.unit.audit import cloud
from migsafe.tests.unit.cli import test_repair

INSTANCE = '0a7e7c7e-0000-4000-8000-000000000001'


class _Handler(http.server.BaseHTTPRequestHandler):
    def _answer(self):
        body = self.rfile.read(int(self.headers.get('Content-Length') or 0))
        status, answer = self.server.case.answer(
            self.command, self.path, json.loads(body or b'null'),
            self.headers['OpenStack-API-Version'])
        if status is None:
            self.connection.close()
            return
        self.send_response(status)
        self.send_header('Content-Length', str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST = do_DELETE = _answer

    def log_message(self, *_args):
        """Say nothing."""


class Served(test_repair.RepairTestCase):
    """A cloud t whose services are here."""

    def setUp(self):
        super().setUp()
        self.heard, self.says = [], (200, b'{}')
        server = api_server.Server(_Handler)
        server.case = self
        server.start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        for name in [name for name in os.environ if name.startswith('OS_')]:
            self.useFixture(fixtures.EnvironmentVariable(name))
        endpoint = f'http://127.0.0.1:{server.server_port}'
        path = os.path.join(self.useFixture(fixtures.TempDir()).path, 'clouds.yaml')
        with open(path, 'w') as handle:
            json.dump({'clouds': {'t': {
                'auth_type': 'none', 'auth': {'endpoint': endpoint},
                'block_storage_endpoint_override': endpoint,
                'placement_endpoint_override': endpoint}}}, handle)
        self.useFixture(fixtures.EnvironmentVariable('OS_CLIENT_CONFIG_FILE', path))

    def answer(self, *heard):
        self.heard.append(heard)
        return self.says


class TestServices(Served):
    """One question and its answer."""

    def ask(self, service, method, path, body=None):
        return repair_services._Asked('t')(service, method, path, body)

    def test_what_is_sent(self):
        self.says = (409, b'{"errors": [{"detail": "too late"}]}')
        status, body = self.ask('placement', 'POST', '/allocations', {'x': 1})
        self.assertEqual((409, 'too late'), (status, requests.reason(body)))
        self.says = (404, b'none')
        self.assertEqual((404, None), self.ask('block-storage', 'DELETE', '/attachments/a'))
        self.assertEqual([('POST', '/allocations', {'x': 1}, 'placement 1.28'),
                          ('DELETE', '/attachments/a', None, 'volume 3.27')], self.heard)

    def test_nobody_answers(self):
        self.says = (None, b'')
        error = self.assertRaises(requests.Unanswered, self.ask, 'placement', 'GET', '/x')
        self.assertIn('placement did not answer', str(error))
        error = self.assertRaises(requests.Unanswered, repair_services._Asked('other'),
                                  'placement', 'GET', '/x', None)
        self.assertIn('Check the account', str(error))


class TestDetach(Served):
    """An attachment for node11 that a failed migration has left, as an operator has it mended."""

    instance = INSTANCE
    calls, late = 0, 0

    def setUp(self):
        super().setUp()
        made = self.useFixture(cloud.Cloud())
        made.instance(INSTANCE)
        made.attached(instance_uuid=INSTANCE)
        made.attachment('extra', 'node11', cloud.cinder_info(cloud.iscsi(4)),
                        instance_uuid=INSTANCE)
        made.connection.executescript(
            'ALTER TABLE instances ADD locked BOOLEAN; ALTER TABLE instances ADD locked_by TEXT;'
            'CREATE TABLE instance_system_metadata (id INTEGER PRIMARY KEY, key TEXT, value TEXT, '
            'instance_uuid TEXT, created_at DATETIME, deleted INTEGER)')
        made.connection.close()
        self.cloud, self.refuse = made.path, None
        self.said['node13'] = test_repair.facts('node13', {'vol': 7})
        self.said['node13']['disks'][0]['leads'] = [[cloud.iscsi(0)['target_iqn'], '7']]
        self.given = ('--nova-database', self.cloud, '--cinder-database', self.cloud)

    def answer(self, *heard):
        """What Cinder says, by its database."""
        super().answer(*heard)
        with sqlite3.connect(self.cloud) as made:
            there = made.execute(
                "SELECT 1 FROM volume_attachment WHERE id = 'extra' AND deleted = 0").fetchone()
            if there and heard[0] == 'DELETE' and self.refuse is None:
                made.execute("UPDATE volume_attachment SET deleted = 1 WHERE id = 'extra'")
        made.close()
        if heard[0] == 'DELETE' and self.refuse is not None:
            return self.refuse
        return (200, json.dumps({'attachment': {
            'volume_id': 'vol', 'instance': INSTANCE}}).encode()) if there else (404, b'{}')

    def repair(self, *args, code):
        return [(row['Result'], row['Rules'], row['What'])
                for row in self.rows('repair', *self.given, *args, code=code)]

    def test_it_is_only_told_without_an_account(self):
        found = self.repair('--apply', code=3)
        self.assertEqual({'left'}, {result for result, _rules, _what in found})
        self.assertIn('No account was named with which Cinder is asked', str(found))
        self.assertEqual([], self.heard)

    def test_a_plan_deletes_nothing(self):
        self.assertEqual([('planned', 'R3, R10')], [
            one[:2] for one in self.repair('--os-cloud', 't', code=3)])
        self.assertEqual([], self.heard)

    def test_it_goes(self):
        found = self.repair('--os-cloud', 't', '--apply', code=4)
        self.assertEqual([('repaired', 'R3, R10')], [one[:2] for one in found])
        self.assertEqual(['GET', 'DELETE', 'GET'], [one[0] for one in self.heard])
        self.assertEqual([], self.rows('audit', *self.given))

    def test_cinder_refuses(self):
        self.refuse = (409, b'{"conflictingRequest": {"message": "Nova has it in use"}}')
        found = self.repair('--os-cloud', 't', '--apply', code=3)
        self.assertEqual('unverified', found[0][0])
        self.assertIn('It was refused (409): Nova has it in use', found[0][2])

    def test_the_host_finds_a_disk_right_before_it(self):
        """Everything is asked once more under the lock, and once more before the request."""
        for late in (2, 3):
            self.calls, self.late = 0, late
            self.heard.clear()
            found = self.repair('--os-cloud', 't', '--apply', code=3)
            self.assertIn(found[0][0], ('changed', 'unverified'))
            self.assertIn('has changed since it was planned', found[0][2])
            self.assertEqual([], [one for one in self.heard if one[0] == 'DELETE'])

    def facts_of(self, host):
        """From some call on, node11 has a disk."""
        if host == 'node11':
            self.calls += 1
            if self.late and self.calls >= self.late:
                return self.said[host] | {'devices': ['sdq']}
        return self.said[host]
