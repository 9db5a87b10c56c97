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
"""The probe and the fence on a sushy that is made up; see migsafe/tests/redfish, too."""

import os
import sys
import tempfile
import types
import unittest
import uuid
from unittest import mock

from migsafe import exceptions
from migsafe.fencing import bmc, fence_log, fences, machines, power, probes
from migsafe.fencing.fences import power as fence
from migsafe.fencing.signs import Sign

HOST, MACHINE = 'node13', '4c4c4544-0051-3310-8054-b4c04f4d3132'
OTHER = '4c4c4544-0051-3310-8054-b4c04f4d3133'
GOOD = {'address': 'https://10.0.0.13', 'username': 'admin', 'password': 'hush', 'uuid': MACHINE,
        'uuid_confirmed': 'yes'}


class Case(unittest.TestCase):
    def setUp(self):
        super().setUp()
        self.states, self.said, self.resets, self.failure = ['On'], MACHINE, [], None
        sushy = types.ModuleType('sushy')
        sushy.RESET_FORCE_OFF = 'ForceOff'
        sushy.auth = types.SimpleNamespace(BasicAuth=lambda user, password: (user, password))
        sushy.Sushy = self.connect
        self.enterContext(mock.patch.dict(sys.modules, sushy=sushy))
        self.enterContext(mock.patch.object(power, 'PAUSE', 0))
        self.directory = self.enterContext(tempfile.TemporaryDirectory())

    def connect(self, address, **how):
        self.how = how
        if isinstance(self.states[0], Exception):
            raise self.states.pop(0) if len(self.states) > 1 else self.states[0]
        return types.SimpleNamespace(get_system=self.system)

    def system(self, identity):
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        return types.SimpleNamespace(
            uuid=self.said.pop(0) if isinstance(self.said, list) else self.said,
            reset_system=self.reset,
            power_state=None if state is None else types.SimpleNamespace(value=state))

    def reset(self, kind):
        self.resets.append(kind)
        if self.failure:
            raise self.failure

    def conf(self, text=None, mode=0o600, **more):
        path = os.path.join(self.directory, 'bmcs')
        with open(path, 'w') as handle:
            handle.write(text if text is not None else f'[{HOST}]\n' + ''.join(
                f'{name} = {value}\n' for name, value in (GOOD | more).items() if value))
        os.chmod(path, mode)
        return types.SimpleNamespace(
            bmc_file=path, probe_timeout=3, fence_timeout=0, probes=['redfish'],
            verdict_samples=3, verdict_interval=0,
            fences=['redfish'], state_path=os.path.join(self.directory, 'state'),
            fence_limit=3, heartbeat_directory='')

    def look(self, host=HOST):
        one, = probes.load(types.SimpleNamespace(conf=self.conf()))
        found, = one.look(host, '')
        return found.sign, found.detail

    def fence(self):
        one, = fences.load(self.conf())
        return one.fence(HOST)


class TestProbe(Case):
    def test_states(self):
        for state, sign in (('On', Sign.POWERED), ('PoweringOn', Sign.POWERED), ('Off', Sign.OFF),
                            ('PoweringOff', Sign.NOTHING), ('Paused', Sign.NOTHING),
                            (None, Sign.NOTHING)):
            self.states = [state]
            self.assertIs(sign, self.look()[0], state)
        self.assertEqual(('admin', 'hush'), self.how['auth'])
        self.assertIs(True, self.how['verify'])

    def test_only_of_this_machine(self):
        """Or of this one with the other byte order."""
        self.states = ['Off']
        for self.said, sign in ((MACHINE.upper(), Sign.OFF), (OTHER, Sign.NOTHING),
                                (str(uuid.UUID(bytes_le=uuid.UUID(MACHINE).bytes)), Sign.OFF),
                                (None, Sign.NOTHING), ('', Sign.NOTHING), ('x', Sign.NOTHING)):
            self.assertIs(sign, self.look()[0], self.said)

    def test_failure_tells_nothing(self):
        self.states = [OSError('password=hush')]
        sign, detail = self.look()
        self.assertIs(Sign.NOTHING, sign)
        self.assertNotIn('hush', detail)
        self.assertIn('has no BMC', self.look('node99')[1])

    def test_without_sushy(self):
        with mock.patch.dict(sys.modules, sushy=None), \
                self.assertRaises(exceptions.ConfigError) as caught:
            self.look()
        self.assertIn('openstack-migsafe[redfish]', str(caught.exception))


class TestFence(Case):
    def test_switched_off_and_seen_off(self):
        self.states = ['On', 'On', 'Off']
        self.assertIn(MACHINE, self.fence())
        self.assertEqual(['ForceOff'], self.resets)

    def test_one_that_says_off_and_nothing_else(self):
        """It may be wrong, and the host on."""
        self.states = ['Off']
        with self.assertRaises(fence.NeverCut) as caught:
            self.fence()
        for word in (HOST, 'nothing was switched', 'set --down node13 nova-compute'):
            self.assertIn(word, str(caught.exception))
        self.assertEqual([], self.resets)

    def test_again_after_the_answer_was_lost(self):
        self.states = ['On', 'On', OSError('away')]
        self.assertRaises(power.StillOn, self.fence)
        self.states = ['Off']
        self.assertIn(MACHINE, self.fence())
        self.assertEqual(['ForceOff'], self.resets)
        with mock.patch.object(fence_log, 'CYCLE', 0):
            self.assertRaises(fence.NeverCut, self.fence)

    def test_bmc_that_does_nothing_and_says_off_while_it_restarts(self):
        self.states = ['On']
        self.assertRaises(power.StillOn, self.fence)
        self.states = ['Off']
        self.assertRaises(fence.NeverCut, self.fence)
        self.assertEqual(['ForceOff'], self.resets)
        self.states = ['On', 'On', 'Off']
        self.fence()

    def test_one_off_is_none(self):
        self.states = ['On', 'On', 'Off', 'Off', 'On']
        with self.assertRaises(power.StillOn) as caught:
            self.fence()
        self.assertIn('3 times in a row', str(caught.exception))
        self.states = ['Off']
        self.assertRaises(fence.NeverCut, self.fence)

    def test_interrupt_once_it_was_told(self):
        self.states, self.failure = ['On', 'On', 'Off'], KeyboardInterrupt()
        self.assertRaises(KeyboardInterrupt, self.fence)
        self.failure = None
        self.assertIn(MACHINE, self.fence())
        self.assertEqual(['ForceOff'], self.resets)

    def test_state_in_between_is_no_sight_of_its_power(self):
        for state, proof in (('PoweringOn', True), ('PoweringOff', False), (None, False)):
            self.directory = self.enterContext(tempfile.TemporaryDirectory())
            self.states = [state, state, 'Off']
            if proof:
                self.fence()
            else:
                with self.assertRaises(fence.NeverCut) as caught:
                    self.fence()
                self.assertIn('was told to switch it off when', str(caught.exception))
                self.assertEqual('ForceOff', self.resets[-1])

    def test_another_machine(self):
        """Also if it becomes another one in the middle."""
        self.said = OTHER
        self.assertRaises(power.WrongMachine, self.fence)
        self.said = [MACHINE, OTHER]
        self.assertRaises(power.WrongMachine, self.fence)
        self.assertEqual([], self.resets)

    def test_machine_that_the_host_has_said(self):
        """Or an operator; a file that was filled from the BMCs says the same as they do."""
        self.states = ['On', 'On', 'Off']
        conf = self.conf(uuid_confirmed='')
        with mock.patch.object(self, 'conf', lambda: conf):
            with self.assertRaises(fence.NotConfirmed) as caught:
                self.fence()
            for word in (HOST, MACHINE, 'uuid_confirmed = yes', 'migsafe host list'):
                self.assertIn(word, str(caught.exception))
            known = machines.Machines(conf.state_path)
            known.learn({HOST: OTHER, 'node14': MACHINE})
            with self.assertRaises(fence.OtherMachine) as caught:
                self.fence()
            for word in (HOST, MACHINE, OTHER, 'machines.json'):
                self.assertIn(word, str(caught.exception))
            self.assertEqual([], self.resets)
            known.learn({HOST: MACHINE, 'node14': OTHER})
            self.fence()

    def test_machine_that_is_another_host_by_now(self):
        """Its name was given to new hardware, and the file of BMCs was not changed."""
        self.states = ['On', 'On', 'Off']
        for said in (MACHINE, str(bmc.swapped(uuid.UUID(MACHINE)))):
            for confirmed, heard in (('yes', {}), ('', {HOST: MACHINE})):
                conf = self.conf(uuid_confirmed=confirmed)
                known = machines.Machines(conf.state_path)
                known.learn({'node14': said, **heard})
                with mock.patch.object(self, 'conf', lambda conf=conf: conf), \
                        self.assertRaises(fence.OtherHost) as caught:
                    self.fence()
                for word in (HOST, MACHINE, 'node14', 'machines.json', 'bmc_file'):
                    self.assertIn(word, str(caught.exception))
        self.assertEqual([], self.resets)
        # the control: the other name is one of before
        known.learn({HOST: MACHINE})
        self.assertEqual([HOST], list(known.heard()))
        self.fence()

    def test_lost_answer(self):
        self.failure, self.states = TimeoutError('no answer'), ['On', 'On', 'Off']
        self.fence()
        self.assertEqual(['ForceOff'], self.resets)

    def test_not_off(self):
        for self.states, said in ((['On'], 'says On'), (['On', 'On', OSError('away')], 'away')):
            with self.assertRaises(power.StillOn) as caught:
                self.fence()
            for word in (HOST, said, 'by hand'):
                self.assertIn(word, str(caught.exception))

    def test_unreachable(self):
        self.states = [OSError('password=hush')]
        with self.assertRaises(fence.NotSwitched) as caught:
            self.fence()
        self.assertNotIn('hush', str(caught.exception))
        self.assertIn('bmc_file', str(caught.exception))

    def test_names(self):
        for names in ([], ['no_such']):
            conf = self.conf()
            conf.fences = names
            with self.assertRaises(exceptions.ConfigError) as caught:
                fences.load(conf)
            self.assertIn('It may name ipmi, redfish', str(caught.exception))


class TestFile(Case):
    def refused(self, *args, **more):
        with self.assertRaises(exceptions.ConfigError) as caught:
            bmc.read(self.conf(*args, **more).bmc_file)
        self.assertNotIn('hush', str(caught.exception))
        self.assertIn('[migsafe] bmc_file', str(caught.exception))
        return str(caught.exception)

    def test_whole(self):
        found = bmc.read(self.conf(system='/redfish/v1/Systems/1', ca_file='/ca').bmc_file)[HOST]
        self.assertEqual((uuid.UUID(MACHINE), '/redfish/v1/Systems/1', '/ca'), (
            found.uuid, found.system, found.ca_file))
        self.assertNotIn('hush', repr(found))
        self.assertEqual({}, bmc.read(''))

    def test_refused(self):
        for mode in (0o640, 0o604, 0o660):
            self.assertIn('chmod 600', self.refused(mode=mode))
        for name in bmc.NEEDED:
            self.assertIn(f'has no {name}', self.refused(**{name: ''}))
        self.assertIn('has colour', self.refused(colour='blue'))
        self.assertIn('uuid', self.refused(uuid='4711'))
        for address in ('http://10.0.0.13', '10.0.0.13', 'ftp://x', 'https://', 'https://a:b@x',
                        'ipmi://', 'ipmi://-x', 'ipmi://x:0', 'ipmi://x:y', 'ipmi://x/1',
                        'ipmi://x?y=1', 'ipmi://a@x', 'https://[x'):
            self.assertIn('https://HOST', self.refused(address=address))
        self.assertIn('cipher_suite', self.refused(cipher_suite='-x'))
        for text in ('hush', f'[{HOST}]\nhush', f'[{HOST}]\n[{HOST}]\n'):
            self.assertIn('cannot be read', self.refused(text))
        with self.assertRaises(exceptions.ConfigError):
            bmc.read('/nonexistent/bmcs')

    def test_uuid_that_many_have(self):
        for machine in ('00000000-0000-0000-0000-000000000000',
                        'ffffffff-ffff-ffff-ffff-ffffffffffff',
                        'FEFEFEFE-FEFE-FEFE-FEFE-FEFEFEFEFEFE',
                        '03000200-0400-0500-0006-000700080009',
                        '00020003-0004-0005-0006-000700080009'):
            self.assertIn(f'[{HOST}] is a placeholder', self.refused(uuid=machine))
        self.assertIn('must be yes or no', self.refused(uuid_confirmed='maybe'))

    def test_two_hosts_that_are_one(self):
        """By their UUID in either order of the bytes, or by where their BMC is."""
        swapped = str(uuid.UUID(bytes_le=uuid.UUID(MACHINE).bytes))
        for more, what in (({'address': 'https://10.0.0.14'}, 'uuid'),
                           ({'address': 'https://10.0.0.14', 'uuid': swapped}, 'uuid'),
                           ({'uuid': OTHER}, 'address'),
                           ({'uuid': OTHER, 'address': 'https://10.0.0.13:443/'}, 'address'),
                           ({'uuid': OTHER, 'system': '/1'}, ''),
                           ({'uuid': OTHER, 'address': 'https://10.0.0.13:444'}, ''),
                           ({'uuid': OTHER, 'address': 'https://10.0.0.14'}, '')):
            text = ''.join(f'[{host}]\n' + ''.join(
                f'{name} = {value}\n' for name, value in section.items())
                for host, section in ((HOST, GOOD), ('node14', GOOD | more)))
            if what:
                self.assertIn(f'[{HOST}] and [node14] have the same {what}', self.refused(text))
            else:
                self.assertEqual({HOST, 'node14'}, set(bmc.read(self.conf(text).bmc_file)))

    def test_clear_text_is_for_simulators(self):
        found = bmc.read(self.conf(address='http://127.0.0.1:8000').bmc_file)
        self.assertEqual('http://127.0.0.1:8000', found[HOST].address)


if __name__ == '__main__':
    unittest.main()
