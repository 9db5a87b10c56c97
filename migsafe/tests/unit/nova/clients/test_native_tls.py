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

import os
import tempfile
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
        self.make(Authority(self.enterContext(tempfile.TemporaryDirectory())), 'client')
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
