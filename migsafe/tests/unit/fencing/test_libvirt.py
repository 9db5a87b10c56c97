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
"""The probe libvirt, with a child that is made up."""

import subprocess
import sys
import tempfile
import textwrap
import types
import unittest
from unittest import mock

from migsafe import exceptions
from migsafe.fencing import probes, programs
from migsafe.fencing.probes import libvirt
from migsafe.fencing.signs import Sign

GUEST = '6695eb01-f6a4-8304-79aa-97f2502e193f'
FAKE = '''\
import time
VIR_ERR_NO_DOMAIN = 42
class libvirtError(Exception):
    def get_error_code(self):
        return 42 if 'no domain' in str(self) else 1
def registerErrorHandler(function, more):
    pass
class Connection:
    def __init__(self, uri):
        self.uri = uri
    def getHostname(self):
        return 'there'
    def lookupByUUIDString(self, guest):
        if 'gone' in self.uri:
            raise libvirtError('no domain with this uuid')
        return self
    def isActive(self):
        return 'stopped' not in self.uri
def openReadOnly(uri):
    for word in 'Connection refused', 'No route to host', 'certificate':
        if word.split()[0] in uri:
            raise libvirtError(word)
    while 'hangs' in uri:
        time.sleep(9)
    return Connection(uri)
'''


class Case(unittest.TestCase):
    def setUp(self):
        super().setUp()
        self.site = types.SimpleNamespace(conf=types.SimpleNamespace(
            probes=['libvirt'], libvirt_uri='x://{host}/system', probe_timeout=60.0))
        self.enterContext(mock.patch.object(libvirt, 'PYTHON', self.python()))

    def python(self):
        """One that has a libvirt which is made up."""
        directory = self.enterContext(tempfile.TemporaryDirectory())
        with open(f'{directory}/libvirt.py', 'w') as handle:
            handle.write(FAKE)
        with open(f'{directory}/python', 'w') as handle:
            handle.write(textwrap.dedent(f'''\
                #!/bin/sh
                shift
                PYTHONPATH={directory} exec {sys.executable} -S "$@"
                '''))
        subprocess.run(['chmod', '755', f'{directory}/python'], check=True)
        return f'{directory}/python'

    def look(self, host, guest=GUEST):
        one, = probes.load(self.site)
        found, = one.look(host, guest)
        return found.sign


class TestLibvirt(Case):
    def test_what_it_says(self):
        for host, guest, sign in (
                ('cn1', GUEST, Sign.GUEST_RUNS), ('gone', GUEST, Sign.ANSWERS),
                ('stopped', GUEST, Sign.ANSWERS), ('cn1', '', Sign.ANSWERS),
                ('Connection', GUEST, Sign.REACHABLE), ('No', GUEST, Sign.SILENT),
                ('certificate', GUEST, Sign.NOTHING), ('-oProxyCommand=x', GUEST, Sign.NOTHING)):
            self.assertIs(sign, self.look(host, guest), host)

    def test_one_that_hangs_is_ended(self):
        ended, run = [], programs.run

        def watched(*args):
            ended.append(run(*args))
            return ended[-1]
        with mock.patch.object(programs, 'run', watched):
            # one that is slow may not have got to ask by then
            for self.site.conf.probe_timeout in (1.0, 10.0, 100.0):
                if self.look('hangs') is Sign.SILENT:
                    break
            else:
                self.fail('it is not seen that it was asked')
        self.assertEqual({None}, {one.code for one in ended})

    def test_child_that_did_not_begin(self):
        with mock.patch.object(libvirt, 'PYTHON', '/bin/false'):
            self.assertIs(Sign.NOTHING, self.look('cn1'))

    def test_host_is_quoted(self):
        with mock.patch.object(programs, 'run', return_value=programs.Ended(0, '', '')) as run:
            self.look('a/b?command=x&y')
        self.assertIn('x://a%2Fb%3Fcommand%3Dx%26y/system', run.call_args.args[0])

    def test_options(self):
        self.site.conf.libvirt_uri = 'qemu+tls://cn1/system'
        with self.assertRaises(exceptions.ConfigError) as caught:
            self.look('cn1')
        self.assertIn('libvirt_uri', str(caught.exception))

    def test_without_the_binding(self):
        with mock.patch.object(libvirt, 'PYTHON', sys.executable), \
                mock.patch('importlib.util.find_spec', return_value=None), \
                self.assertRaises(exceptions.ConfigError) as caught:
            self.look('cn1')
        self.assertIn('pip install libvirt-python', str(caught.exception))


if __name__ == '__main__':
    unittest.main()
