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
"""Nova's own clients of Cinder, Neutron and Placement, and a server whose connections are cut."""

import collections
import contextlib
import http.server
import inspect
import json
import os
import random
import socket
import struct
import threading
import types

import fixtures
import wrapt
from cinderclient import exceptions as cinder_exception
from keystoneauth1 import session
from nova import context as nova_context
from nova import exception, test
from nova.network import neutron
from nova.scheduler.client import report
from nova.volume import cinder
from oslo_utils import uuidutils

import migsafe.conf
from migsafe.nova.host import attempt as host_attempt
from migsafe.nova.seams import calls, table
from migsafe.tests import api_server

PORT, VOLUME = uuidutils.generate_uuid(), uuidutils.generate_uuid()
#: What happens to a request: whether it is executed, and the answer; None is a reset.
FAULTS = {'idle': (False, None), 'cut': (True, None), '502': (False, 502), '503': (False, 503),
          '504': (True, 504)}
STATUSES = ('502', '503', '504')
#: path -> what is answered
ANSWERS = {'ports': {'port': {'id': PORT}}, 'volumes': {'volume': {
    'id': VOLUME, 'status': 'in-use', 'attachments': [], 'multiattach': False, 'size': 1,
    'availability_zone': '', 'created_at': '', 'name': '', 'description': '',
    'volume_type': '', 'snapshot_id': '', 'bootable': 'true', 'metadata': {}}},
    'attachments': {'attachment': {'id': 'a', 'status': 'reserved', 'instance': 'i',
                                   'volume_id': VOLUME, 'attached_at': None,
                                   'detached_at': None, 'attach_mode': 'rw',
                                   'connection_info': {}}},
    'resource_providers': {'resource_providers': []}}


class Handler(http.server.BaseHTTPRequestHandler):
    """Does what it is told to the next request, and counts what it executes."""

    protocol_version = 'HTTP/1.1'

    def do_GET(self):
        self.rfile.read(int(self.headers.get('Content-Length') or 0))
        faults = self.server.faults
        name = faults.popleft() if faults else ''
        executed, status = FAULTS.get(name, (True, 200))
        if name:
            self.server.fired[name] += 1
        if name == 'hole':
            self.server.released.wait(60)
            self.close_connection = True
            return
        if executed:
            self.server.executed[self.command, self.path] += 1
        if status is None:
            # a reset, as a load balancer sends it for a connection that it has forgotten
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                       struct.pack('ii', 1, 0))
            self.close_connection = True
            self.connection.close()
            return
        text = json.dumps(self.answer() if status == 200 else {}).encode()
        self.send_response(status)
        self.send_header('Content-Type', 'application/json')
        self.send_header('Content-Length', str(len(text)))
        if self.server.later and status != 200:
            self.send_header('Retry-After', self.server.later)
        self.end_headers()
        self.wfile.write(text)

    do_POST = do_PUT = do_DELETE = do_GET

    def answer(self):
        return next((body for word, body in ANSWERS.items() if f'/{word}' in self.path), {})

    def log_message(self, *_args):
        """Say nothing."""

    def finish(self):
        """The socket may be closed already."""
        try:
            super().finish()
        except OSError:
            self.server.cut += 1


class CallsTest(test.NoDBTestCase):

    def setUp(self):
        super().setUp()
        migsafe.conf.register_opts(cinder.CONF)
        self.api = api_server.Server(Handler)
        self.api.faults, self.api.cut = collections.deque(), 0
        self.api.later, self.api.released = '', threading.Event()
        self.api.fired, self.api.executed = collections.Counter(), collections.Counter()
        self.api.start()
        self.addCleanup(self.api.server_close)
        self.addCleanup(self.api.shutdown)
        url = f'http://127.0.0.1:{self.api.server_port}'
        self.flags(endpoint_template=f'{url}/v3/%(project_id)s', group='cinder')
        self.flags(endpoint_override=url, group='neutron')
        self.flags(endpoint_override=url, group='placement')
        self.waits = []
        for name, value in (
                ('nova.volume.cinder._check_microversion', lambda *_: '3.44'),
                ('keystoneauth1.session.time', types.SimpleNamespace(sleep=self.waits.append))):
            self.useFixture(fixtures.MonkeyPatch(name, value))
        self.addCleanup(setattr, session.Session, 'request', session.Session.request)
        wrapt.wrap_function_wrapper('keystoneauth1.session', 'Session.request', calls.request)
        self.context = nova_context.RequestContext('u', 'p', auth_token='t', is_admin=True,
                                                   service_catalog=[])
        self.calls = {
            'volume': lambda: cinder.API().get(self.context, VOLUME),
            'port': lambda: neutron.get_client(self.context).show_port(PORT),
            'update': lambda: neutron.get_client(self.context).update_port(
                PORT, {'port': {'binding:host_id': 'node11'}}),
            'binding': lambda: neutron.get_client(self.context).delete_port_binding(
                PORT, 'node11'),
            'placement': self.placement}

    def placement(self):
        client = report.SchedulerReportClient(self._adapter())
        response = client.get('/resource_providers', version='1.38')
        self.assertEqual(200, response.status_code)

    def _adapter(self):
        from keystoneauth1 import adapter, noauth
        made = adapter.Adapter(session.Session(auth=noauth.NoAuth()), service_type='placement',
                               endpoint_override=report.CONF.placement.endpoint_override)
        made.additional_headers = {'accept': 'application/json'}
        return made

    def migrating(self):
        """As within a live migration."""
        return host_attempt.working(host_attempt.Attempt('m-1', 'i-1', None))

    def outcome(self, name, faults):
        """'' or the error of a call whose requests are struck by these faults."""
        self.api.faults = collections.deque(faults)
        try:
            self.calls[name]()
        except Exception as error:
            return type(error).__name__
        finally:
            self.api.faults = collections.deque()
        return ''


class TestWithin(CallsTest):

    def test_the_seam_is_in_the_table(self):
        seam, = [one for one in table.SEAMS if one.wrapper is calls.request]
        self.assertEqual('keystoneauth1.session.Session.request', str(seam))

    def test_each_call_survives_each_fault(self):
        for name in self.calls:
            for fault in FAULTS:
                with self.subTest(name=name, fault=fault), self.migrating():
                    self.assertEqual('', self.outcome(name, [fault] * 3))
        self.assertEqual(dict.fromkeys(FAULTS, 15), dict(self.api.fired))
        self.assertEqual({0.5, 1.0, 2.0}, set(self.waits))

    def test_nobody_is_waited_for_for_ever(self):
        self.flags(call_timeout=1, group='migsafe')
        with self.migrating():
            self.assertEqual('', self.outcome('port', ['hole']))
        with host_attempt.protected():
            self.assertEqual('', self.outcome('port', ['hole', '503']))
        self.assertEqual((2, 1), (self.api.fired['hole'], self.api.fired['503']))
        self.api.released.set()

    def test_a_time_out_of_nova_counts(self):
        """And a call that is none of a migration's has none but that."""
        seen = []

        def asked(*args, **kwargs):
            seen.append(kwargs.get('timeout'))
        for own, within, wanted in ((None, True, 600), (7.0, True, None), (None, False, None)):
            with contextlib.ExitStack() as stack:
                if within:
                    stack.enter_context(self.migrating())
                calls.request(asked, types.SimpleNamespace(timeout=own), ('http://n/x', 'GET'), {})
            self.assertEqual(wanted, seen.pop())

    def test_it_is_bounded(self):
        with self.migrating():
            self.assertEqual('ConnectFailure', self.outcome('port', ['idle'] * 4))

    def test_nobody_makes_it_wait_for_long(self):
        # NOTE: that of Nova 31 and 33 does not look at it.
        heard = 'Retry-After' in inspect.getsource(session)
        for later, waited in (('3600', 0.5), ('2', 2 if heard else 0.5), ('soon', 0.5),
                              ('-1', 0.5), ('5', 5 if heard else 0.5)):
            self.api.later = later
            self.waits.clear()
            with self.migrating():
                self.assertEqual('', self.outcome('port', ['503']))
            self.assertEqual([waited], self.waits, later)

    def test_outside_of_a_migration_nothing_is_changed(self):
        """The control: Nova's own tries, which stop at an answer, and at Placement."""
        lost = {(name, fault) for name in self.calls for fault in FAULTS
                if self.outcome(name, [fault])}
        self.assertEqual({(name, status) for name in self.calls
                          for status in STATUSES}
                         | {('placement', 'idle'), ('placement', 'cut')}, lost)

    def test_switched_off(self):
        self.flags(call_retries=0, group='migsafe')
        with self.migrating():
            self.assertNotEqual('', self.outcome('port', ['503']))

    def test_switched_off_for_one_service(self):
        self.flags(neutron_call_retries=0, group='migsafe')
        with self.migrating():
            self.assertEqual(['', 'ServiceUnavailable'], [
                self.outcome('volume', ['503']), self.outcome('port', ['503'])])
        self.flags(call_retries=0, neutron_call_retries=1, group='migsafe')
        with self.migrating():
            self.assertEqual('', self.outcome('port', ['503']))
            self.assertNotEqual('', self.outcome('volume', ['503']))

    def test_what_is_no_step_of_a_migration_belongs_to_it(self):
        self.assertFalse(host_attempt.at_work())
        with host_attempt.working(None):
            self.assertFalse(host_attempt.at_work())
        with self.migrating(), host_attempt.working(None):
            self.assertIsNone(host_attempt.current())
            self.assertEqual('', self.outcome('port', ['503']))

    def attach(self, fault):
        """How often Cinder makes an attachment if the first request is struck by a fault."""
        self.api.executed.clear()
        self.api.faults = collections.deque([fault])
        try:
            cinder.API().attachment_create(self.context, VOLUME, 'i')
        except (cinder_exception.ClientException, exception.CinderConnectionFailed) as error:
            return sum(self.api.executed.values()), type(error).__name__
        return sum(self.api.executed.values()), ''

    def test_an_attachment_is_made_once(self):
        failed = {'idle': (0, 'CinderConnectionFailed'), 'cut': (1, 'CinderConnectionFailed')}
        failed |= {status: (int(FAULTS[status][0]), 'ClientException') for status in STATUSES}
        with self.migrating():
            self.assertEqual(failed, {fault: self.attach(fault) for fault in FAULTS})
        # the control: Nova makes two of them, and knows of the second
        self.assertEqual((2, ''), self.attach('cut'))

    def test_which_may_be_repeated(self):
        binding = f'http://n/v2.0/ports/{PORT}/bindings/node11'
        for url, method, service, wanted in (
                ('/volumes/x', 'GET', 'volumev3', True), ('/x', 'HEAD', '', True),
                (f'/v2.0/ports/{PORT}', 'PUT', 'network', True),
                (f'/v2.0/ports/{PORT}.json?a=b', 'put', 'network', True),
                (f'/v2.0/ports/{PORT}', 'PUT', 'volumev3', False),
                (f'/v2.0/ports/{PORT}', 'POST', 'network', False),
                (binding, 'DELETE', 'network', True), (f'{binding}/activate', 'PUT',
                                                       'network', False),
                (f'/allocations/{PORT}', 'PUT', 'placement', False),
                (f'/v3/p/attachments/{PORT}', 'DELETE', 'volumev3', False),
                ('/v3/p/attachments', 'POST', 'volumev3', False)):
            self.assertIs(wanted, calls.repeatable(url, method, service), (url, method))


class TestDrawn(CallsTest):
    """MIGSAFE_CUTS rounds, each with all calls in any order and a cut anywhere."""

    def test_rounds(self):
        seed, count = (os.environ.get(f'MIGSAFE_{name}', usual)
                       for name, usual in (('SEED', '15'), ('CUTS', '10')))
        lost = collections.Counter()
        for number in range(int(count)):
            chosen = random.Random(f'{seed}/{number}')
            drawn = [(name, chosen.choices(list(FAULTS), k=chosen.randrange(4)))
                     for name in chosen.sample(list(self.calls), len(self.calls))]
            for name, faults in drawn:
                with self.migrating():
                    self.assertEqual('', self.outcome(name, faults), (number, name, faults))
                lost['plain'] += bool(self.outcome(name, faults))
        self.assertLess(int(count), lost['plain'])
        self.assertLess(int(count), sum(self.api.fired.values()))
