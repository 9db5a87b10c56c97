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
"""The probe reach, on real sockets of loopback."""

import errno
import os
import socket
import types
import unittest
from unittest import mock

from migsafe import exceptions
from migsafe.fencing import probes, verdict
from migsafe.fencing.facts import Limits
from migsafe.fencing.probes.base import Site
from migsafe.fencing.signs import Checker, Observation, Sign


def probe(*places, seconds=30.0):
    conf = types.SimpleNamespace(probes=['reach'], reach=list(places), probe_timeout=seconds)
    made, = probes.load(Site(conf, lambda _host: None, lambda *_: None))
    return made


class TestReach(unittest.TestCase):

    def setUp(self):
        self.open = self.enterContext(socket.create_server(('127.0.0.1', 0)))
        self.port = self.open.getsockname()[1]

    def look(self, *places, **named):
        return [one.sign for one in probe(*places, **named).look('127.0.0.1', '')]

    def refuse(self, number):
        """Connections end so."""
        error = TimeoutError() if number is None else OSError(number, os.strerror(number))
        self.enterContext(mock.patch.object(socket.socket, 'connect', side_effect=error))

    def test_port_that_is_open(self):
        seen, = probe(f'{{host}}:{self.port}').look('127.0.0.1', '')
        self.assertEqual(Observation(f'reach {{host}}:{self.port}', Sign.REACHABLE, '127.0.0.1'),
                         seen)

    def test_port_that_is_closed_is_an_answer(self):
        with socket.socket() as bound:
            # bound, and nobody listens
            bound.bind(('127.0.0.1', 0))
            self.assertEqual([Sign.REACHABLE], self.look(f'{{host}}:{bound.getsockname()[1]}'))

    def test_what_an_error_means(self):
        for number, sign in ((None, Sign.SILENT), (errno.EHOSTUNREACH, Sign.SILENT),
                             (errno.ETIMEDOUT, Sign.SILENT), (errno.ENETUNREACH, Sign.NOTHING),
                             (errno.EACCES, Sign.NOTHING), (errno.ECONNRESET, Sign.REACHABLE)):
            with self.subTest(number):
                self.refuse(number)
                self.assertEqual([sign], self.look('{host}:22'))

    def test_name_without_address(self):
        for host in ('no host', 'x' * 70, ''):
            with mock.patch.object(socket, 'getaddrinfo', side_effect=socket.gaierror(-2, 'no')):
                seen, = probe('{host}.invalid:22').look(host, '')
            self.assertEqual(Sign.NOTHING, seen.sign)
        # a label that no resolver is asked for
        self.assertEqual(Sign.NOTHING, probe('{host}.invalid:22').look('x' * 70, '')[0].sign)

    def test_each_network_is_tried_and_all_have_one_time(self):
        waited = []
        self.enterContext(mock.patch.object(
            socket.socket, 'settimeout', lambda _socket, seconds: waited.append(seconds)))
        self.refuse(None)
        self.assertEqual([Sign.SILENT] * 3, self.look('{host}:1', '{host}:2', '{host}:3'))
        self.assertEqual([10.0] * 3, waited)

    def test_one_network_that_answers_speaks_against_the_word(self):
        made = probe(f'{{host}}:{self.port}', '{host}:22')
        with mock.patch('migsafe.fencing.probes.reach._connect',
                        side_effect=[Sign.REACHABLE, Sign.SILENT] * 3):
            seen = [Observation(one.probe, one.sign, sample=sample) for sample in range(3)
                    for one in made.look('127.0.0.1', '')]
        seen += [Observation('nova_service', Sign.DECLARED, sample=sample)
                 for sample in range(3)]
        found = verdict.judge('cn1', seen, Checker(True, 9, 0), Limits())
        self.assertEqual('contradiction-word', found.row.name)

    def test_option_that_cannot_be_used(self):
        for places in ((), ('10.0.0.1:22',), ('{host}',), ('{host}:ssh',), ('{host}:0',),
                       ('{host}:70000',), ('{host}:22', '')):
            with self.assertRaises(exceptions.ConfigError) as caught:
                probe(*places)
            self.assertIn('reach', str(caught.exception))
