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
"""IPMI on an ipmitool that is made up; functional/test_fence_ipmi has a real one."""

import os
import types
import unittest
import uuid
from unittest import mock

from migsafe import exceptions
from migsafe.fencing import bmc, fences, ipmi, power, probes, programs
from migsafe.fencing.fences import power as fence
from migsafe.fencing.signs import Sign
from migsafe.tests.unit.fencing import test_redfish
from migsafe.tests.unit.fencing.test_redfish import HOST, MACHINE, OTHER

WANTED = uuid.UUID(MACHINE)
ON, OFF = '01 00 00', '00 00 00'


class Case(test_redfish.Case):
    def setUp(self):
        super().setUp()
        self.guid, self.states, self.failure = WANTED.bytes_le, [ON], None
        self.made = []
        self.enterContext(mock.patch.object(programs, 'run', self.run_it))
        self.enterContext(mock.patch('shutil.which', lambda _name: '/usr/bin/ipmitool'))

    def run_it(self, arguments, env, timeout):
        command = tuple(arguments[arguments.index('raw') + 1:])
        self.made.append((arguments, env, timeout))
        if self.failure and self.failure[0] == command:
            return programs.Ended(self.failure[1], '', '')
        said = {ipmi.GUID: lambda: self.guid.hex(' '), ipmi.POWER_DOWN: lambda: '',
                ipmi.STATUS: lambda: self.states.pop(0) if len(self.states) > 1
                else self.states[0]}[command]()
        return programs.Ended(1 if said == 'no' else 0, f' {said}\n',
                              'Error: Unable to establish\nIPMI v2 / RMCP+ session\n')

    def conf(self, text=None, mode=0o600, **more):
        made = super().conf(text, mode, **{'address': 'ipmi://10.0.0.13:6230'} | more)
        made.probes = made.fences = ['ipmi']
        return made

    @property
    def downs(self):
        return [one for one, *_ in self.made if one[-3:] == [*ipmi.POWER_DOWN]]


class TestProbe(Case):
    def test_states(self):
        for state, sign in ((ON, Sign.POWERED), (OFF, Sign.OFF), ('20 00 00', Sign.OFF),
                            ('21 00', Sign.POWERED), ('', Sign.NOTHING), ('xx', Sign.NOTHING),
                            ('no', Sign.NOTHING)):
            self.states = [state]
            self.assertIs(sign, self.look()[0], state)

    def test_what_is_run(self):
        self.look()
        arguments, env, timeout = self.made[0]
        self.assertEqual(
            '/usr/bin/ipmitool -I lanplus -H 10.0.0.13 -p 6230 -U admin -E -L OPERATOR -N 1 -R 1 '
            'raw 0x06 0x37', ' '.join(arguments))
        self.assertEqual(('hush', 1.5), (env['IPMI_PASSWORD'], timeout))
        known = bmc.read(self.conf(cipher_suite='3', address='ipmi://[fd00::13]').bmc_file)[HOST]
        ipmi.Machine(known, 9.5).power()
        self.assertIn('-H fd00::13 -p 623 -U admin -E -L OPERATOR -N 9 -R 1 -C 3 raw',
                      ' '.join(self.made[-1][0]))

    def test_only_of_this_machine(self):
        """In each order of the bytes that firmware is known to send."""
        self.states = [OFF]
        other = uuid.UUID(OTHER)
        for self.guid, sign in (
                (WANTED.bytes, Sign.OFF), (WANTED.bytes_le, Sign.OFF),
                (WANTED.bytes[::-1], Sign.OFF), (other.bytes, Sign.NOTHING),
                (other.bytes_le, Sign.NOTHING), (WANTED.bytes[:15], Sign.NOTHING),
                (b'', Sign.NOTHING), (bytes(16), Sign.NOTHING)):
            self.assertIs(sign, self.look()[0], self.guid)

    def test_that_hangs(self):
        self.failure = ipmi.STATUS, None
        self.assertEqual((Sign.NOTHING, 'NoIpmi: no answer within 1.5 seconds'), self.look())

    def test_what_it_says_of_an_error(self):
        self.states = ['no']
        self.assertIn('Error: Unable to establish IPMI v2 / RMCP+ session', self.look()[1])

    def test_host_with_a_bmc_of_the_other_kind(self):
        site = types.SimpleNamespace(conf=self.conf(address='https://10.0.0.13'))
        found, = probes.load(site)[0].look(HOST, '')
        self.assertEqual((Sign.NOTHING, []), (found.sign, self.made))
        self.assertIn('speaks ipmi', found.detail)
        one, = fences.load(site.conf)
        self.assertRaises(fence.NoBmc, one.fence, HOST)

    def test_without_ipmitool(self):
        with mock.patch('shutil.which', lambda _name: None), \
                self.assertRaises(exceptions.ConfigError) as caught:
            self.look()
        self.assertIn('install the package ipmitool', str(caught.exception))


class TestFence(Case):
    def test_switched_off_and_seen_off(self):
        self.states = [ON, OFF]
        self.assertIn(MACHINE, self.fence())
        self.assertEqual(1, len(self.downs))

    def test_lost_answer(self):
        self.states = [ON, OFF]
        self.failure = ipmi.POWER_DOWN, None
        self.fence()
        self.assertEqual(1, len(self.downs))

    def test_another_machine(self):
        self.guid = uuid.UUID(OTHER).bytes_le
        error = self.refused(power.WrongMachine, self.fence)
        self.assertIn(OTHER, str(error))
        self.assertEqual([], self.downs)

    def test_one_that_says_off_and_nothing_else(self):
        self.states = [OFF]
        self.assertRaises(fence.NeverCut, self.fence)
        self.assertEqual([], self.downs)

    def test_not_off(self):
        error = self.refused(power.StillOn, self.fence)
        self.assertIn('it says On', str(error))
        self.assertEqual(1, len(self.downs))

    def refused(self, kind, function, *args):
        with self.assertRaises(kind) as caught:
            function(*args)
        self.assertNotIn('hush', str(caught.exception))
        return caught.exception

    def test_refused_before_anything_is_done(self):
        self.states = ['no']
        error = self.refused(fence.NotSwitched, self.fence)
        for word in (HOST, 'RMCP+', 'bmc_file'):
            self.assertIn(word, str(error))
        self.assertEqual([], self.downs)
        self.assertFalse(os.path.exists(os.path.join(self.directory, 'state')))


if __name__ == '__main__':
    unittest.main()
