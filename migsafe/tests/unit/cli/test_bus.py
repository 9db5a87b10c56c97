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
"""Commands that ask a service over the message bus, while it or the bus is away."""

import io
import os
import socket
import threading
from unittest import mock

import fixtures
import oslo_messaging
from oslotest import base as oslo_base

from migsafe import exceptions
from migsafe.cli import bus, deadline, export, main
from migsafe.tests.unit.cli import base, process


class TestDeadline(oslo_base.BaseTestCase):
    """What runs for no longer than it may."""

    def test_result_and_error(self):
        self.assertEqual(5, deadline.run(lambda: 5, 60))
        self.assertRaises(ZeroDivisionError, deadline.run, lambda: 1 / 0, 60)

    def test_overdue(self):
        ended = threading.Event()
        self.addCleanup(ended.set)
        self.assertRaises(deadline.Overdue, deadline.run, ended.wait, 0.01)


class TestNoBus(base.CommandTestCase):
    """Real processes, a port where nobody is, and one where somebody never says a word."""

    def configuration(self, name, port):
        path = os.path.join(os.path.dirname(self.state), name)
        with open(path, 'w') as handle:
            handle.write(f'[DEFAULT]\ntransport_url = rabbit://c:{base.NOVA_PASSWORD}@'
                         f'127.0.0.1:{port}/\n[migsafe]\nrpc_timeout = 1\n')
        return path

    def test_every_command_ends_with_the_cause(self):
        hole = socket.create_server(('127.0.0.1', 0))
        self.addCleanup(hole.close)
        closed = socket.socket()
        self.addCleanup(closed.close)
        closed.bind(('127.0.0.1', 0))
        started = {}
        for name, listener in (('dead', closed), ('hole', hole)):
            port = listener.getsockname()[1]
            started[name] = port, process.start(
                'main', '--config-file', self.configuration(name, port), 'export', 'list',
                '--backend', 'node@array')
            self.addCleanup(started[name][1].kill)
        for name, words in (('dead', 'refused'), ('hole', 'timed out')):
            port, command = started[name]
            code, out, err = process.ended(command)
            self.assertEqual((1, ''), (code, out), err)
            for word in (f'127.0.0.1:{port}', 'was not reached within 11 seconds', words,
                         'transport_url', 'cinder-volume node@array'):
                self.assertIn(word, err)
            self.assertEqual(1, err.count('\n'), err)
            self.assertNotIn(base.NOVA_PASSWORD, err)

    def test_a_database_that_never_says_a_word(self):
        hole = socket.create_server(('127.0.0.1', 0))
        self.addCleanup(hole.close)
        self.useFixture(fixtures.MonkeyPatch(
            'migsafe.cli.database.SECONDS', 1))
        for driver in ('mysql+pymysql', 'postgresql+psycopg2'):
            where = f'127.0.0.1:{hole.getsockname()[1]}/m'
            self.write_conf(f'connection = {driver}://m:{base.NOVA_PASSWORD}@{where}')
            code, out, err = self.run_command('residue', 'list')
            self.assertEqual(1, code)
            for word in (where, 'did not answer within 1 seconds', '[migsafe] connection'):
                self.assertIn(word, out + err)

    def test_no_transport(self):
        for line in ('transport_url = nonsense://x/', 'transport_url = rabbit:/', ''):
            with open(self.nova_conf, 'w') as handle:
                handle.write(f'[DEFAULT]\n{line}\n')
            code, _out, err = self.run_command('export', 'list', '--backend', 'node@array')
            self.assertEqual(1, code)
            self.assertIn('[DEFAULT] transport_url is refused', err)
            self.assertIn('--config-file', err)


class TestErrors(base.CommandTestCase):
    """Whatever the bus or the other side raises, an operator reads a sentence."""

    def setUp(self):
        super().setUp()
        with open(self.nova_conf, 'w') as handle:
            handle.write('[DEFAULT]\ntransport_url = fake:/\n')

    def said(self, error, *more):
        client = mock.Mock()
        client.prepare.return_value.call.side_effect = error
        out, err = io.StringIO(), io.StringIO()
        with mock.patch.object(oslo_messaging, 'get_rpc_client', return_value=client):
            code = main.Migsafe(default_config_files=(), stdout=out, stderr=err).run(
                ['--config-file', self.nova_conf, 'export', *(more or ('list',)), '--backend',
                 'node@array'])
        self.assertEqual(1, code)
        self.assertEqual(1, err.getvalue().count('\n'), err.getvalue())
        return err.getvalue()

    def test_a_refusal(self):
        text = 'Backend node@array has no export of volume x; see "migsafe export list".'
        err = self.said(oslo_messaging.RemoteError(
            'NoSuchExport', text, ['Traceback (most recent call last):\n  File "x.py"\n']))
        self.assertIn(f'cinder-volume node@array answered that it cannot: {text}', err)
        for word in ('Traceback', 'x.py', 'Remote error', '--config-file', 'guarded driver'):
            self.assertNotIn(word, err)
        err = self.said(oslo_messaging.RemoteError(
            'KeyError', "auth_password='hush'\x1b[31m", ['Traceback']))
        self.assertIn('KeyError', err)
        for word in ('hush', '\x1b'):
            self.assertNotIn(word, err)

    def test_a_service_without_migsafe(self):
        for error in (oslo_messaging.UnsupportedVersion('1.0'),
                      oslo_messaging.RemoteError('UnsupportedVersion', 'x', [])):
            err = self.said(error)
            self.assertIn('cinder-volume node@array runs without migsafe', err)
            self.assertIn('migsafe.cinder.driver.GuardedDriver', err)
            self.assertIn('older migsafe', self.said(error, 'verify'))

    def test_nobody_answers(self):
        err = self.said(oslo_messaging.MessagingTimeout('x'))
        self.assertIn('cinder-volume node@array did not answer within 15 seconds', err)
        self.assertIn('openstack volume service list', err)

    def test_the_bus_goes_away(self):
        err = self.said(oslo_messaging.MessageDeliveryFailure('no route'))
        self.assertIn('was not reached', err)
        self.assertIn('no route', err)

    def test_no_answer_at_all(self):
        with mock.patch.object(bus.deadline, 'run', return_value=['nonsense']):
            code, _out, err = self.run_command('export', 'list', '--backend', 'node@array')
        self.assertEqual(1, code)
        self.assertIn('not to be understood', err)

    def test_every_error_of_the_bus_is_one_of_ours(self):
        for kind in (bus.Unreachable, bus.Silent, bus.Refused, bus.Unknown, bus.TooOld):
            self.assertTrue(issubclass(kind, bus.NoAnswer))
            self.assertTrue(issubclass(kind, exceptions.MigsafeError))
        self.assertNotIn('oslo_messaging', vars(export))
