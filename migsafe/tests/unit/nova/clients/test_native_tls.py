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
"""The certificates of QEMU's own TLS: real ones, in a directory."""

import datetime
import os
import pathlib
import tempfile
import types
import unittest
from unittest import mock

from migsafe.nova.clients import native_tls, way
from migsafe.preflight.surroundings import NativeTls
from migsafe.tests.unit.preflight.test_path import Authority


class TestCertificates(unittest.TestCase):

    def setUp(self):
        self.top = self.enterContext(tempfile.TemporaryDirectory())
        self.authority = Authority(self.top)
        os.rename(self.authority.file, self.path('ca-cert.pem'))
        for name in ('server', 'client'):
            self.make(self.authority, name)

    def path(self, name):
        return os.path.join(self.top, name)

    def make(self, authority, name, **given):
        for made, place in zip(authority.pair(name, **given), ('cert', 'key'), strict=True):
            os.replace(made, self.path(f'{name}-{place}.pem'))

    def problems(self):
        return {one.file: one.problem for one in native_tls.certificates(self.top)[1]
                if one.problem}

    def test_good(self):
        mark, found = native_tls.certificates(self.top)
        self.assertEqual(64, len(mark))
        self.assertEqual({}, self.problems())
        self.assertEqual(('localhost', '127.0.0.9'), found[1].names)

    def test_wrong(self):
        self.make(self.authority, 'server', days=-1)
        self.make(self.another(), 'client')
        found = self.problems()
        self.assertIn('it expired on', found['server-cert.pem'])
        self.assertIn('not signed by the ca-cert.pem', found['client-cert.pem'])
        os.unlink(self.path('client-key.pem'))
        self.assertEqual('client-key.pem is not there', self.problems()['client-cert.pem'])
        for name, words in (('client-cert.pem', 'not there'), ('ca-cert.pem', 'not there')):
            os.unlink(self.path(name))
            self.assertIn(words, self.problems()[name])
        with open(self.path('ca-cert.pem'), 'w') as handle:
            handle.write('nonsense')
        self.assertIn('no certificate', self.problems()['ca-cert.pem'])
        self.assertEqual('', native_tls.certificates(self.top)[0])

    def another(self):
        return Authority(self.enterContext(tempfile.TemporaryDirectory()))

    def append(self, name, *texts):
        """Blocks of PEM, after what is there."""
        pathlib.Path(self.path(name)).write_bytes(b''.join(
            (pathlib.Path(self.path(name)).read_bytes(), *texts)))

    def bundle(self, *texts):
        pathlib.Path(self.path('ca-cert.pem')).write_bytes(b''.join(texts))
        return native_tls.certificates(self.top)[0]

    def test_a_bundle_of_authorities(self):
        """As while an authority gives way to a new one: in any order it is the same."""
        ours, other = (pathlib.Path(one).read_bytes() for one in (
            self.path('ca-cert.pem'), self.another().file))
        alone, mark = native_tls.certificates(self.top)[0], self.bundle(other, ours)
        self.assertEqual({}, self.problems())
        self.assertEqual(mark, self.bundle(ours, other, ours))
        self.assertNotEqual(alone, mark)
        self.bundle(other)
        self.assertEqual(['server-cert.pem', 'client-cert.pem'], list(self.problems()))

    def test_a_bundle_with_one_that_expired(self):
        """It is of no use only if all have; what only that one has signed is not in order."""
        made = self.authority
        ours = pathlib.Path(self.path('ca-cert.pem')).read_bytes()
        old, older = (made.sign(made.name, made.key, days=-days, authority=True)
                      for days in (1, 2))
        for texts in ((old, ours), (ours, old)):
            self.bundle(*texts)
            self.assertEqual({}, self.problems())
        self.assertEqual('', self.bundle(old, older))
        self.assertIn('it expired on', self.problems()['ca-cert.pem'])
        self.bundle(old, pathlib.Path(self.another().file).read_bytes())
        self.assertEqual(['server-cert.pem', 'client-cert.pem'], list(self.problems()))

    def test_intermediates(self):
        """They may stand in either file; one that is missing or expired breaks the chain."""
        middle, last = self.another(), self.another()
        first, second = (self.authority.sign(middle.name, middle.key, authority=True),
                         middle.sign(last.name, last.key, authority=True))
        expired = self.authority.sign(middle.name, middle.key, -1, True)
        for texts, broken in (((), True), ((second,), True), ((first,), True),
                              ((expired, second), True), ((first, second), False),
                              ((second, first), False), ((expired, second, first), False)):
            self.make(last, 'server')
            self.append('server-cert.pem', *texts)
            self.assertEqual(['server-cert.pem'] if broken else [], list(self.problems()), texts)
        self.make(last, 'server')
        self.append('server-cert.pem', second)
        self.append('ca-cert.pem', first)
        self.assertEqual({}, self.problems())
        self.assertEqual(('localhost', '127.0.0.9'),
                         native_tls.certificates(self.top)[1][1].names)

    def test_dates_of_an_older_cryptography(self):
        """Before 42 they have no zone."""
        now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
        day = datetime.timedelta(days=1)
        for first, last, wanted in (
                (-1, 1, ''), (-2, -1, f'it expired on {now - day:%Y-%m-%d}'),
                (1, 2, f'it is valid from {now + day:%Y-%m-%d} on')):
            self.assertEqual(wanted, native_tls._dated(types.SimpleNamespace(
                not_valid_before=now + first * day, not_valid_after=now + last * day)))

    def test_what_is_not_ours_to_read(self):
        with mock.patch.object(native_tls.pathlib.Path, 'read_bytes',
                               side_effect=PermissionError):
            self.assertEqual([True] * 3, [
                one.unread for one in native_tls.certificates(self.top)[1]])

    def test_where(self):
        self.assertEqual('/x', native_tls.directory({'migrate_tls_x509_cert_dir': '/x',
                                                     'default_tls_x509_cert_dir': '/y'}))
        with mock.patch.object(native_tls, 'DIRECTORIES', (self.path('no'), '/etc/pki/qemu')):
            self.assertEqual('/y', native_tls.directory({'default_tls_x509_cert_dir': '/y'}))
            self.assertEqual('/etc/pki/qemu', native_tls.directory({}))
        with mock.patch.object(native_tls, 'DIRECTORIES', (self.top, '/etc/pki/qemu')):
            self.assertEqual(self.top, native_tls.directory({'default_tls_x509_cert_dir': '/y'}))

    def test_only_where_it_is_used(self):
        conf = native_tls.CONF
        with mock.patch.object(way, 'qemu_settings', return_value={
                'migrate_tls_x509_cert_dir': self.top}) as settings:
            self.assertEqual(NativeTls(False), native_tls.look())
            self.assertFalse(settings.called)
            conf.set_override('live_migration_with_native_tls', True, 'libvirt')
            self.addCleanup(conf.clear_override, 'live_migration_with_native_tls', 'libvirt')
            found = native_tls.look()
        self.assertEqual((True, self.top, True, 3), (
            found.used, found.directory, found.known, len(found.certificates)))
