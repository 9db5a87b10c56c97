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
"""Ports for the servers under test."""

import socket
from unittest import mock

import testtools

from migsafe.tests import servers


class TestFreePort(testtools.TestCase):

    def listen(self):
        # NOTE: kept, since eventlet closes a socket that only its own close() refers to.
        self.listener = socket.socket()
        self.addCleanup(self.listener.close)
        self.listener.bind(('127.0.0.1', servers.free_port()))
        self.listener.listen()
        return self.listener.getsockname()[1]

    def test_not_one_that_the_kernel_gives_to_others(self):
        first, last = map(int, servers.EPHEMERAL.read_text().split())
        ports = [servers.free_port() for _ in range(200)]
        self.assertEqual([], [port for port in ports if first <= port <= last])
        self.assertEqual(200, len(set(ports)))

    def test_not_one_in_use(self):
        taken = self.listen()
        free = servers.free_port()
        with mock.patch('random.sample', return_value=[taken, free]):
            self.assertEqual(free, servers.free_port())

    def test_none_left(self):
        taken = self.listen()
        with mock.patch('random.sample', return_value=[taken]):
            error = self.assertRaises(AssertionError, servers.free_port)
        self.assertIn(str(servers.EPHEMERAL), str(error))
