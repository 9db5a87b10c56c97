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
"""The probe libvirt on a real libvirt, Debian's, with its driver test and the guest of that."""

import types
import unittest
from unittest import mock

from migsafe.fencing.probes import libvirt
from migsafe.fencing.signs import Sign

#: Debian's, which has the package python3-libvirt.
PYTHON = '/usr/bin/python3'
GUEST, NONE = '6695eb01-f6a4-8304-79aa-97f2502e193f', '6695eb01-f6a4-8304-79aa-97f2502e1930'


class TestLibvirt(unittest.TestCase):

    def look(self, guest, uri='test://{host}/default', host=''):
        conf = types.SimpleNamespace(libvirt_uri=uri, probe_timeout=60.0)
        with mock.patch.object(libvirt, 'PYTHON', PYTHON):
            found, = libvirt.Libvirt(types.SimpleNamespace(conf=conf), 'libvirt').look(host, guest)
        return found.sign, found.detail

    def test_guest(self):
        self.assertIs(Sign.GUEST_RUNS, (found := self.look(GUEST))[0], found)
        for guest in (NONE, ''):
            self.assertIs(Sign.ANSWERS, (found := self.look(guest))[0], found)

    def test_nobody_listens(self):
        sign, detail = self.look(GUEST, 'qemu+tcp://{host}:1/system', '127.0.0.1')
        self.assertIs(Sign.REACHABLE, sign, detail)
        self.assertIn('Connection refused', detail)

    def test_what_is_no_place(self):
        self.assertIs(Sign.NOTHING, (found := self.look(GUEST, 'nosuch://{host}'))[0], found)


if __name__ == '__main__':
    unittest.main()
