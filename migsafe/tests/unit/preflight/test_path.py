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
"""The way of a live migration, on loopback, with real sockets and real certificates."""

import contextlib
import datetime
import errno
import ipaddress
import os
import pathlib
import socket
import ssl
import tempfile
import threading
import unittest
import unittest.mock

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from migsafe.preflight import path
from migsafe.preflight.path import Reached

HERE = '127.0.0.1'


@contextlib.contextmanager
def listening():
    """A port of loopback on which somebody listens."""
    with socket.create_server((HERE, 0)) as server:
        yield server.getsockname()[1]


@contextlib.contextmanager
def nobody():
    """A port of loopback that is taken, and on which nobody listens."""
    with socket.socket() as held:
        held.bind((HERE, 0))
        yield held.getsockname()[1]


@contextlib.contextmanager
def deaf():
    """A port of loopback that answers no new connection: what waits there is full."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.socket())
        server.bind((HERE, 0))
        server.listen(0)
        for _ in range(4):
            one = stack.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(server.getsockname())
        yield server.getsockname()[1]


class TestReach(unittest.TestCase):

    def test_each(self):
        for kind, wanted in ((listening, Reached.OPEN), (nobody, Reached.REFUSED),
                             (deaf, Reached.SILENT)):
            with self.subTest(wanted), kind() as port:
                self.assertIs(wanted, path.reach(HERE, port, 0.3))
        with unittest.mock.patch('socket.create_connection',
                                 side_effect=OSError(errno.EHOSTUNREACH, 'x')):
            self.assertIs(Reached.NO_WAY, path.reach(HERE, 1))

    def test_target(self):
        for uri, wanted in (
                ('qemu+tcp://cn86/system', ('tcp', 'cn86', 16509)),
                ('qemu+tls://[fd00::1]/system', ('tls', 'fd00::1', 16514)),
                ('qemu+ssh://nova@cn86:2022/system?keyfile=/x', ('ssh', 'cn86', 2022)),
                ('qemu://cn86/system', ('tls', 'cn86', 16514)),
                ('qemu+ext://cn86/system', ('ext', 'cn86', None))):
            self.assertEqual(wanted, path.target(uri))

    def test_look(self):
        with listening() as libvirt, nobody() as first, deaf() as last:
            found = path.look(f'qemu+tcp://localhost:{libvirt}/system', 1 << 30, (first, last))
        self.assertEqual(['open', 'refused', 'silent'], [one.reached for one in found.ports])
        self.assertEqual(('localhost', '', False, 'lo', None), (
            found.address, found.problem, found.tls_used, found.interface, found.speed))

    def test_a_name_that_nobody_knows(self):
        found = path.look('qemu+tcp://no-such-host.invalid/system', None)
        self.assertTrue(found.problem)
        self.assertEqual((), found.ports)

    def test_speed(self):
        with tempfile.TemporaryDirectory() as top:
            for text, wanted in (('10000\n', 10000), ('-1\n', None), ('', None)):
                os.makedirs(os.path.join(top, 'eth0'), exist_ok=True)
                pathlib.Path(top, 'eth0', 'speed').write_text(text)
                self.assertEqual(wanted, path.speed('eth0', top))
            self.assertIsNone(path.speed('eth1', top))
        self.assertAlmostEqual(8.59, path.seconds(1 << 30, 1000), 2)


class Authority:
    """Makes certificates."""

    def __init__(self, top):
        self.top, self.key = top, ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(
            x509.NameOID.COMMON_NAME, os.path.basename(top))])
        self.file = self.write('ca.pem', self.sign(self.name, self.key, authority=True))

    def sign(self, name, key, days=1, authority=False, host='localhost'):
        now = datetime.datetime.now(datetime.UTC)
        made = x509.CertificateBuilder().subject_name(name).issuer_name(self.name).public_key(
            key.public_key()).serial_number(x509.random_serial_number()).not_valid_before(
            now - datetime.timedelta(days=9)).not_valid_after(
            now + datetime.timedelta(days=days)).add_extension(
            x509.BasicConstraints(authority, None), True).add_extension(
            x509.SubjectAlternativeName([
                x509.DNSName(host), x509.IPAddress(ipaddress.ip_address('127.0.0.9'))]), False)
        return made.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def write(self, name, text):
        found = os.path.join(self.top, name)
        pathlib.Path(found).write_bytes(text)
        return found

    def pair(self, name, **given):
        """(certificate, key), as files."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        return (self.write(f'{name}.pem', self.sign(subject, key, **given)),
                self.write(f'{name}.key', key.private_bytes(
                    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                    serialization.NoEncryption())))


class TestCertificates(unittest.TestCase):

    def setUp(self):
        self.ours, self.others = (Authority(self.enterContext(tempfile.TemporaryDirectory()))
                                  for _ in range(2))
        self.mine = self.ours.pair('client')

    @contextlib.contextmanager
    def libvirtd(self, certificate, authority):
        """Something that wants to see a certificate, as libvirtd does; its port."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        context.load_verify_locations(authority)
        context.verify_mode = ssl.CERT_REQUIRED
        with socket.create_server((HERE, 0)) as server:
            def serve():
                with contextlib.suppress(OSError):
                    plain, _address = server.accept()
                    with context.wrap_socket(plain, server_side=True) as made:
                        made.recv(1)
            thread = threading.Thread(target=serve, daemon=True)
            thread.start()
            yield server.getsockname()[1]
        thread.join(60)

    def said(self, server, accepts):
        with self.libvirtd(server, accepts) as port:
            return path.tls('localhost', HERE, port, (self.ours.file, *self.mine))

    def test_good(self):
        self.assertEqual('', self.said(self.ours.pair('server'), self.ours.file))

    def test_refused(self):
        for server, words in (
                (self.ours.pair('old', days=-1), 'expired'),
                (self.ours.pair('other', host='cn99'), "not valid for 'localhost'"),
                (self.others.pair('foreign'), 'unable to get local issuer')):
            said = self.said(server, self.ours.file)
            self.assertIn('the certificate of localhost is refused', said)
            self.assertIn(words, said)

    def test_the_other_side_refuses(self):
        said = self.said(self.ours.pair('server'), self.others.file)
        self.assertIn('TLS to localhost fails', said)

    def test_files(self):
        gone = (os.path.join(self.ours.top, 'gone.pem'),) * 2
        for pki in ((self.ours.file, *gone), (gone[0], *self.mine)):
            self.assertIn('gone.pem cannot be used', path.tls('localhost', HERE, 1, pki))

    def test_a_key_that_is_not_ours_to_read(self):
        """Then the other side is looked at alone, and that is said."""
        server = self.ours.pair('server')
        with self.libvirtd(server, self.ours.file) as port, unittest.mock.patch.object(
                ssl.SSLContext, 'load_cert_chain', side_effect=PermissionError):
            said = path.tls('localhost', HERE, port, (self.ours.file, *self.mine))
        self.assertIn('only the certificate of localhost was looked at', said)
