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
"""The probe nfs, on files as the kernel has them of its clients."""

import pathlib
import socket
import tempfile
import types
import unittest
from unittest import mock

from migsafe.fencing import facts, probes
from migsafe.fencing.facts import Life, Limits
from migsafe.fencing.probes import nfs
from migsafe.fencing.probes.base import Site
from migsafe.fencing.signs import Checker, Sign

#: As a kernel 6.12 has it.
INFO = '''\
clientid: 0x6d077c99675df2b3
address: "{address}"
status: confirmed
seconds from last renew: {age}
name: "Linux NFSv4.2 betelgeuse.example.org"
minor version: 2
Implementation domain: "kernel.org"
Implementation name: "Linux 6.1.0-41-amd64 #1 SMP PREEMPT_DYNAMIC Debian x86_64"
Implementation time: [0, 0]
callback state: UP
callback address: 10.87.29.32:0
admin-revoked states: 0
'''
NAMES = {'cn3': '192.0.2.3', 'cn3.storage': '10.87.29.32', 'six': '2001:db8::3'}


class TestNfs(unittest.TestCase):

    def setUp(self):
        self.base = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.enterContext(mock.patch.object(nfs, 'CLIENTS', str(self.base)))
        self.enterContext(mock.patch.object(socket, 'getaddrinfo', self.named))
        conf = types.SimpleNamespace(probes=['nfs'], reach=['{host}.storage:2049'])
        self.probe, = probes.load(Site(conf, lambda _host: None, lambda *_: None))

    def named(self, name, port, **_more):
        if name not in NAMES:
            raise socket.gaierror(-2, 'not known')
        return [(None, None, None, '', (NAMES[name], port))]

    def client(self, address, age, name='7', text=INFO):
        (self.base / name).mkdir(exist_ok=True)
        (self.base / name / 'info').write_text(text.format(address=address, age=age))

    def look(self, host='cn3'):
        found, = self.probe.look(host, '')
        return found

    def test_a_client_of_any_of_its_names(self):
        for host, address in (('cn3', '192.0.2.3:1023'), ('cn3', '10.87.29.32:864'),
                              ('six', '[2001:db8::3]:864'), ('cn3', '[::ffff:192.0.2.3]:864')):
            self.client(address, 4)
            self.assertEqual(Sign.WORKING, self.look(host).sign)
            self.assertIn('heard 4 seconds ago', self.look(host).detail)

    def test_the_last_one_counts(self):
        """Clients of earlier boots stay, as "courtesy"."""
        self.client('192.0.2.3:1023', 2288446, '1')
        self.client('10.87.29.32:864', 3, '2')
        self.assertIn('heard 3 seconds ago', self.look().detail)

    def test_how_long_it_is_a_sign_of_life(self):
        for age, life in ((0, Life.HINTED), (59, Life.HINTED), (61, Life.NONE),
                          (10 ** 30, Life.NONE)):
            self.client('192.0.2.3:1023', age)
            found = facts.gather([self.look()], Checker(), Limits())
            self.assertEqual((life, False), (found.life, found.silent), age)

    def test_nothing(self):
        self.assertEqual(Sign.NOTHING, self.look().sign)
        self.client('192.0.2.4:1023', 1)
        self.assertEqual(Sign.NOTHING, self.look().sign)
        self.assertIn('no address', self.look('nobody').detail)

    def test_what_is_none(self):
        for number, text in enumerate((
                '', 'x' * 10000, '\0\n\xff', 'address: "192.0.2.3:1"\n',
                INFO.replace('{age}', 'x'), 'seconds from last renew: 1\n',
                INFO.replace('"{address}"', 'nowhere'),
                # what a client says of itself comes later
                INFO.replace('{age}', '9999') + 'seconds from last renew: 1\n')):
            self.client('192.0.2.3:1023', 1, str(number), text)
        (self.base / 'dangling').symlink_to('nowhere')
        self.client('10.87.29.32:864', 5, 'good')
        self.assertIn('heard 5 seconds ago', self.look().detail)
