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
"""An audit over HTTP with an API of Cinder that is slow, or fails between two pages."""

import contextlib
import http.server
import json
import os
import threading
import urllib.parse
from unittest import mock

import fixtures
from keystoneauth1 import exceptions

from migsafe.cli import deadline
from migsafe.tests import api_server
from migsafe.tests.unit.audit import cloud, test_cinder_api
from migsafe.tests.unit.cli import base

ATTACHMENTS = '/attachments/detail'


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        asked = urllib.parse.urlsplit(self.path)
        path = asked.path.removeprefix('/v3')
        case = self.server.case
        body = case.api(path, dict(urllib.parse.parse_qsl(asked.query)))
        how = case.how if (path, case.api.asked.count(path)) == case.at else None
        case.happened.append(how)
        if how == 'silent':
            case.withheld.set()
            case.over.wait()
            return
        status = how if isinstance(how, int) else 404 if body is None else 200
        text = json.dumps(body).encode() if status == 200 else b'{}'
        self.send_response(status)
        self.send_header('Content-Length', str(len(text)))
        self.end_headers()
        if how == 'cut':
            self.wfile.write(text[:len(text) // 2])
            self.wfile.flush()
            self.connection.close()
            return
        step = 7 if how == 'slow' else len(text)
        for begin in range(0, len(text), step):
            self.wfile.write(text[begin:begin + step])
            self.wfile.flush()

    def log_message(self, *_args):
        """Say nothing."""


class TestPaging(base.CommandTestCase):
    """Three instances, one of which has a row that leads elsewhere, and pages of two rows."""

    def setUp(self):
        super().setUp()
        made = self.useFixture(cloud.Cloud())
        for uuid in ('vm', 'vm2', 'vm3'):
            made.instance(uuid)
            made.attached(volume=f'of-{uuid}', attachment=f'att-{uuid}', instance_uuid=uuid)
        made.volume()
        made.row(cloud.nova_info(cloud.iscsi(3), host='node11'), attachment='there')
        made.attachment('there', 'node11', cloud.cinder_info(cloud.iscsi(3)))
        made.connection.close()
        self.database, self.happened = made.path, []
        self.how, self.at = None, (ATTACHMENTS, 2)
        self.withheld, self.over = threading.Event(), threading.Event()
        # NOTE: it is asked in a thread of the server.
        self.api = test_cinder_api.Api(made)
        made.connection = test_cinder_api.sqlite3.connect(made.path, check_same_thread=False)
        self.addCleanup(made.connection.close)
        server = api_server.Server(_Handler)
        server.case = self
        server.start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        self.addCleanup(self.over.set)
        for name in [name for name in os.environ if name.startswith('OS_')]:
            self.useFixture(fixtures.EnvironmentVariable(name))
        endpoint = f'http://127.0.0.1:{server.server_port}/v3'
        path = os.path.join(self.useFixture(fixtures.TempDir()).path, 'clouds.yaml')
        with open(path, 'w') as handle:
            json.dump({'clouds': {'t': {
                'auth_type': 'none', 'block_storage_endpoint_override': endpoint,
                'auth': {'endpoint': endpoint}}}}, handle)
        self.useFixture(fixtures.EnvironmentVariable('OS_CLIENT_CONFIG_FILE', path))

    def look(self, how=None):
        """Rules found, and what is told beside them."""
        self.how = how
        self.api.asked.clear()
        self.happened.clear()
        code, out, err = self.run_command(
            'audit', '--nova-database', self.database, '--cinder-api', 't', '-f', 'json')
        self.assertEqual(3, code, err)
        self.assertEqual(how is not None, how in self.happened and how is not None)
        return sorted(row['Rule'] for row in json.loads(out)), err

    def test_slow(self):
        whole, err = self.look()
        self.assertEqual(['R1', 'R2', 'R3'], whole)
        self.assertIn('attachments 4.', err)
        self.assertEqual(whole, self.look('slow')[0])
        # The last row of the page before has gone meanwhile: it goes on after the one before.
        self.assertEqual(whole, self.look(404)[0])

    def test_it_fails_between_two_pages(self):
        """What Nova's rows tell alone is found, and what is missing is said."""
        for how, words in ((500, 'was answered with 500'), (503, 'was answered with 503'),
                           ('cut', 'Cinder: ')):
            found, err = self.look(how)
            self.assertEqual(['R1'], found, how)
            self.assertIn(words, err, how)
            self.assertIn('after 2 attachments', err, how)
            self.assertIn('attachments 0.', err, how)

    def test_it_stays_silent_between_two_pages(self):
        run = deadline.run

        def patient(work, seconds):
            """The time is up when the server is known to withhold the answer."""
            ended = threading.Event()
            result = {}

            def follow():
                # NOTE: the server lets go of it when the test is over.
                with contextlib.suppress(exceptions.ConnectFailure):
                    result['is'] = run(work, seconds)
                ended.set()
            threading.Thread(target=follow, daemon=True).start()
            while not ended.wait(0.05):
                if self.withheld.is_set():
                    raise deadline.Overdue
            return result['is']
        with mock.patch.object(deadline, 'run', patient):
            found, err = self.look('silent')
        self.assertEqual(['R1'], found)
        self.assertIn('did not come within 120 seconds, after 2 attachments', err)
