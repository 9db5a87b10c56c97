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
"""The probe and the fence ipmi with ipmitool, against the simulator of OpenIPMI.

Both are Debian's. What goes over the wire is encrypted, so that an answer that is to be lost is
lost by the relay in between, which the simulated chassis tells when.
"""

import os
import pathlib
import socket
import subprocess
import threading
import time
import types
import unittest
import uuid

import fixtures

from migsafe import exceptions
from migsafe.fencing import programs
from migsafe.fencing.fences import ipmi as fence
from migsafe.fencing.probes import ipmi as probe
from migsafe.fencing.signs import Sign
from migsafe.tests import servers

HOST, USER, PASSWORD = 'node13', 'fencer', 'hush'
MACHINE = uuid.UUID('4c4c4544-0051-3310-8054-b4c04f4d3132')
OTHER = uuid.UUID('4c4c4544-0051-3310-8054-b4c04f4d3133')
LAN = '''\
name "sim"
set_working_mc 0x20
  startlan 1
    addr 127.0.0.1 {port}
    priv_limit admin
    allowed_auths_operator md5
    guid {guid}
  endlan
  chassis_control "{chassis} 0x20"
  user 2 true "{user}" "{password}" operator 10 md5
'''
EMULATOR = '''\
mc_setbmc 0x20
mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr
mc_enable 0x20
'''
#: What the simulator asks for the power. Files beside it make it lie, and lose the answer.
CHASSIS = '''\
#!/bin/sh
cd {base} || exit 1
case "$2 $3" in
"get power") [ -e says-off ] && echo power:0 || echo power:$(cat power) ;;
"set power") echo "$4" >> sets; [ -e lose ] && mv lose losing; [ -e deaf ] || echo "$4" > power ;;
esac
'''


class Relay(threading.Thread):
    """Passes datagrams on, but for the answers while the file ``losing`` is there: one."""

    def __init__(self, base, port):
        super().__init__(daemon=True)
        self.losing, self.target, self.over = base / 'losing', ('127.0.0.1', port), False
        self.lost, self.ways, self.backs = 0, {}, []
        self.near = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.near.bind(('127.0.0.1', 0))
        self.near.settimeout(0.05)
        self.port = self.near.getsockname()[1]

    def run(self):
        while not self.over:
            try:
                data, client = self.near.recvfrom(4096)
            except TimeoutError:
                continue
            if client not in self.ways:
                self.ways[client] = far = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                far.connect(self.target)
                self.backs.append(threading.Thread(
                    target=self.back, args=(far, client), daemon=True))
                self.backs[-1].start()
            self.ways[client].send(data)

    def back(self, far, client):
        far.settimeout(0.05)
        while not self.over:
            try:
                data = far.recv(4096)
            except TimeoutError:
                continue
            if self.losing.exists():
                self.losing.unlink()
                self.lost += 1
            else:
                self.near.sendto(data, client)

    def stop(self):
        self.over = True
        for one in (self, *self.backs):
            one.join()
        for one in (self.near, *self.ways.values()):
            one.close()


class Simulator(fixtures.Fixture):
    """A BMC with a machine behind it; ``port`` is where it is reached."""

    def _setUp(self):
        binary = servers.find('ipmi_sim', 'openipmi')
        self.base = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        (self.base / 'state').mkdir()
        (self.base / 'power').write_text('1')
        (self.base / 'sim.emu').write_text(EMULATOR)
        chassis = self.base / 'chassis'
        chassis.write_text(CHASSIS.format(base=self.base))
        chassis.chmod(0o700)
        port = servers.free_port()
        (self.base / 'lan.conf').write_text(LAN.format(
            port=port, guid=MACHINE.bytes_le.hex(), chassis=chassis, user=USER,
            password=PASSWORD))
        with open(self.base / 'log', 'wb') as log:
            self.process = subprocess.Popen(
                [binary, '-n', '-c', 'lan.conf', '-f', 'sim.emu', '-s', 'state'], cwd=self.base,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.addCleanup(self.process.wait)
        self.addCleanup(self.process.kill)
        self.relay = Relay(self.base, port)
        self.relay.start()
        self.addCleanup(self.relay.stop)
        self.port = self.relay.port

    @property
    def sets(self):
        """Each command that the machine was given."""
        path = self.base / 'sets'
        return path.read_text().split() if path.exists() else []


class Case(unittest.TestCase):

    def setUp(self):
        super().setUp()
        servers.find('ipmitool', 'ipmitool')
        self.sim = Simulator()
        self.sim.setUp()
        self.addCleanup(self.sim.cleanUp)
        self.base = self.sim.base
        deadline = time.monotonic() + 120
        while self.looks().sign is not Sign.POWERED:
            self.assertLess(time.monotonic(), deadline, (self.base / 'log').read_text())

    def conf(self, **more):
        values = {'address': f'ipmi://127.0.0.1:{self.sim.port}', 'username': USER,
                  'password': PASSWORD, 'uuid': MACHINE, 'cipher_suite': 3,
                  'uuid_confirmed': 'yes', **more}
        path = self.base / 'bmcs'
        path.write_text(f'[{HOST}]\n' + ''.join(f'{k} = {v}\n' for k, v in values.items()))
        path.chmod(0o600)
        return types.SimpleNamespace(
            bmc_file=str(path), probe_timeout=20.0, fence_timeout=60, fence_limit=3,
            heartbeat_directory='', verdict_samples=3, verdict_interval=0.1,
            state_path=str(self.base / 'migsafe'))

    def looks(self, **more):
        site = types.SimpleNamespace(conf=self.conf(**more))
        found, = probe.Ipmi(site, 'ipmi').look(HOST, '')
        self.assertNotIn(PASSWORD, found.detail)
        return found

    def fence(self, seconds=60, **more):
        conf = self.conf(**more)
        conf.fence_timeout = seconds
        return fence.Ipmi(conf, 'ipmi').fence(HOST)

    def refused(self, *words, **more):
        with self.assertRaises(exceptions.MigsafeError) as caught:
            self.fence(**more)
        for word in (HOST, *words):
            self.assertIn(word, str(caught.exception))
        self.assertNotIn(PASSWORD, str(caught.exception))


class TestIpmi(Case):

    def test_switched_off_once_and_seen_off(self):
        for _turn in range(2):
            self.assertIn(str(MACHINE), self.fence())
            self.assertIs(Sign.OFF, self.looks().sign)
        self.assertEqual(['0'], self.sim.sets)

    def test_another_machine(self):
        self.assertIs(Sign.NOTHING, (found := self.looks(uuid=OTHER)).sign)
        self.assertIn(f'is of machine {MACHINE}', found.detail)
        self.refused(str(MACHINE), str(OTHER), 'bmc_file', uuid=OTHER)
        self.assertEqual([], self.sim.sets)

    def test_wrong_password(self):
        self.assertIs(Sign.NOTHING, (found := self.looks(password='wrong')).sign)
        self.assertIn('Unable to establish IPMI v2 / RMCP+ session', found.detail)
        self.refused('RMCP+', 'user, password', password='wrong')
        self.assertEqual([], self.sim.sets)

    def test_one_that_says_off_and_is_on(self):
        (self.base / 'says-off').touch()
        self.assertIs(Sign.OFF, self.looks().sign)
        self.refused('nothing was switched', 'set --down')
        self.assertEqual([], self.sim.sets)

    def test_one_that_says_yes_and_does_nothing(self):
        (self.base / 'deaf').touch()
        self.refused('it says On', 'by hand', seconds=1)
        self.assertEqual(['0'], self.sim.sets)

    def test_answer_that_is_lost(self):
        (self.base / 'lose').touch()
        self.assertIn(str(MACHINE), self.fence())
        self.assertEqual((['0'], 1), (self.sim.sets, self.sim.relay.lost))

    def test_password_is_on_no_command_line(self):
        seen = []
        run = programs.run

        def watched(arguments, *more):
            seen.append(arguments)
            return run(arguments, *more)
        with fixtures.MonkeyPatch('migsafe.fencing.programs.run', watched):
            self.looks()
        self.assertEqual(2, len(seen))
        self.assertNotIn(PASSWORD, str(seen))
        self.assertEqual(0o600, os.stat(self.base / 'bmcs').st_mode & 0o777)


if __name__ == '__main__':
    unittest.main()
