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
"""A real Redfish service on loopback, with machines that are made up (sushy-tools)."""

import importlib
import os
import shutil
import ssl
import subprocess
import threading
import types
import unittest
import uuid

import fixtures
import testtools
from sushy_tools.emulator import main as emulator
from werkzeug import serving

from migsafe import exceptions
from migsafe.fencing import bmc, power
from migsafe.fencing.fences import power as power_fence
from migsafe.fencing.fences import redfish as fence
from migsafe.fencing.probes import redfish as probe
from migsafe.fencing.signs import Sign

HOST = 'node13'
MACHINE = '4c4c4544-0051-3310-8054-b4c04f4d3132'
OTHER = '4c4c4544-0051-3310-8054-b4c04f4d3133'
USER, PASSWORD = 'admin', 'hush'


class Requests:
    """What comes in, and what becomes of it: (method, path) of each; ``lose`` drops answers."""

    def __init__(self, app):
        self.app, self.made, self.lose, self.ignore = app, [], False, False

    def __call__(self, environ, start_response):
        self.made.append((environ['REQUEST_METHOD'], environ['PATH_INFO']))
        if environ['REQUEST_METHOD'] == 'POST' and self.ignore:
            start_response('204 No Content', [])
            return []
        answer = self.app(environ, start_response)
        if environ['REQUEST_METHOD'] == 'POST' and self.lose:
            raise ConnectionAbortedError('the answer is lost')
        return answer

    @property
    def resets(self):
        return [one for one in self.made if one[0] == 'POST']


class EmulatorTest(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.directory = self.useFixture(fixtures.TempDir()).path
        users = os.path.join(self.directory, 'users')
        with open(users, 'w') as handle:
            # of PASSWORD, by htpasswd -B
            handle.write(f'{USER}:{self.hashed()}\n')
        config = os.path.join(self.directory, 'emulator.conf')
        with open(config, 'w') as handle:
            handle.write(
                'SUSHY_EMULATOR_FAKE_DRIVER = True\n'
                f'SUSHY_EMULATOR_STATE_DIR = {self.directory!r}\n'
                f'SUSHY_EMULATOR_AUTH_FILE = {users!r}\n'
                f'SUSHY_EMULATOR_FAKE_SYSTEMS = [{self.machine(MACHINE)!r}]\n')
        # It keeps all that it has in its module.
        app = importlib.reload(emulator).app
        app.configure(config_file=config)
        self.requests = Requests(app.wsgi_app)
        context = self.secure()
        self.server = serving.make_server('127.0.0.1', 0, self.requests, threaded=True,
                                          ssl_context=context)
        thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(self.server.shutdown)
        self.useFixture(fixtures.MonkeyPatch('migsafe.fencing.power.PAUSE', 0.05))

    def secure(self):
        """Not at all."""

    @staticmethod
    def hashed():
        import bcrypt
        return bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()

    @staticmethod
    def machine(number):
        return {'uuid': number, 'name': number, 'power_state': 'On', 'external_notifier': False,
                'nics': []}

    def conf(self, **more):
        values = {'address': f'http://127.0.0.1:{self.server.port}', 'username': USER,
                  'password': PASSWORD, 'uuid': MACHINE, 'uuid_confirmed': 'yes', **more}
        path = os.path.join(self.directory, 'bmcs')
        with open(path, 'w') as handle:
            handle.write(f'[{HOST}]\n' + ''.join(f'{k} = {v}\n' for k, v in values.items()))
        os.chmod(path, 0o600)
        return types.SimpleNamespace(
            bmc_file=path, probe_timeout=30.0, fence_timeout=30, fence_limit=3,
            heartbeat_directory='', verdict_samples=3, verdict_interval=0.1,
            state_path=os.path.join(self.directory, 'state'))

    def looks(self, host=HOST, **more):
        site = types.SimpleNamespace(conf=self.conf(**more))
        found, = probe.Redfish(site, 'redfish').look(host, '')
        return found

    def fence(self, host=HOST, **more):
        return fence.Redfish(self.conf(**more), 'redfish').fence(host)


class TestProbe(EmulatorTest):

    def test_power(self):
        self.assertIs(Sign.POWERED, self.looks().sign)
        self.fence()
        self.assertIs(Sign.OFF, self.looks().sign)
        self.assertEqual(1, len(self.requests.resets))

    def test_what_tells_nothing(self):
        for host, more, words in (
                ('node99', {}, 'has no BMC'),
                (HOST, {'uuid': OTHER}, f'is of machine {MACHINE}'),
                (HOST, {'password': 'wrong'}, 'AccessError'),
                (HOST, {'system': '/redfish/v1/Systems/none'}, 'ResourceNotFound'),
                (HOST, {'address': 'http://127.0.0.1:1'}, 'ConnectionError')):
            found = self.looks(host, **more)
            self.assertIs(Sign.NOTHING, found.sign, more)
            self.assertIn(words, found.detail)
            self.assertNotIn(PASSWORD, found.detail)

    def test_firmware_with_the_other_byte_order(self):
        swapped = uuid.UUID(bytes_le=uuid.UUID(MACHINE).bytes)
        self.assertNotEqual(MACHINE, str(swapped))
        self.assertIs(Sign.POWERED, self.looks(uuid=swapped).sign)


class TestFence(EmulatorTest):

    def test_again_is_harmless(self):
        for _turn in range(2):
            self.assertIn(MACHINE, self.fence())
        self.assertEqual(1, len(self.requests.resets))

    def test_one_that_says_off_and_nothing_else(self):
        """It is off, as far as anybody can tell; the log that has seen it on is another's."""
        self.fence()
        shutil.rmtree(os.path.join(self.directory, 'state'))
        error = self.assertRaises(power_fence.NeverCut, self.fence)
        self.assertIn('nothing was switched', str(error))
        self.assertEqual(1, len(self.requests.resets))

    def test_another_machine_is_not_switched_off(self):
        error = self.assertRaises(power.WrongMachine, self.fence, uuid=OTHER)
        for word in (HOST, MACHINE, OTHER, 'bmc_file'):
            self.assertIn(word, str(error))
        self.assertEqual([], self.requests.resets)
        self.assertIs(Sign.POWERED, self.looks().sign)

    def test_lost_answer(self):
        self.requests.lose = True
        self.fence()
        self.assertEqual(1, len(self.requests.resets))
        self.assertIs(Sign.OFF, self.looks().sign)

    def test_bmc_that_says_yes_and_does_nothing(self):
        self.requests.ignore = True
        conf = self.conf()
        conf.fence_timeout = 1
        error = self.assertRaises(power.StillOn, fence.Redfish(conf, 'redfish').fence, HOST)
        self.assertIn('it says On', str(error))
        self.assertEqual(1, len(self.requests.resets))

    def test_what_cannot_be_switched(self):
        for host, more, words in (('node99', {}, 'by hand'),
                                  (HOST, {'password': 'wrong'}, 'AccessError')):
            error = self.assertRaises(exceptions.MigsafeError, self.fence, host, **more)
            for word in (host, words):
                self.assertIn(word, str(error))
            self.assertNotIn(PASSWORD, str(error))
        self.assertEqual([], self.requests.resets)


class TestCertificate(EmulatorTest):
    """Of an authority that only its own file knows."""

    def secure(self):
        """The certificate of the service, and who vouches for it."""
        key, self.authority = (os.path.join(self.directory, name) for name in ('key', 'pem'))
        subprocess.run(
            ['openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj',
             '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', key, '-out',
             self.authority], check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.authority, key)
        return context

    def test_certificate(self):
        good = f'https://127.0.0.1:{self.server.port}'
        found = self.looks(address=good)
        self.assertEqual(Sign.NOTHING, found.sign)
        self.assertIn('CERTIFICATE_VERIFY_FAILED', found.detail)
        error = self.assertRaises(exceptions.MigsafeError, self.fence, address=good)
        for word in (HOST, 'CERTIFICATE_VERIFY_FAILED', 'ca_file'):
            self.assertIn(word, str(error))
        self.assertEqual([], self.requests.made)
        # the control: all else is as it should be
        self.assertIs(Sign.POWERED, self.looks(address=good, ca_file=self.authority).sign)
        # a name that the certificate is not for
        found = self.looks(address=f'https://localhost:{self.server.port}', ca_file=self.authority)
        self.assertIs(Sign.NOTHING, found.sign)


class TestFile(EmulatorTest):

    def test_password_is_not_shown(self):
        self.assertNotIn(PASSWORD, repr(bmc.read(self.conf().bmc_file)))


if __name__ == '__main__':
    unittest.main()
