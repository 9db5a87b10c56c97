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
"""migsafe host fence, with a fence that does as it is told."""

import dataclasses
import json
import os
from unittest import mock

import tooz

from migsafe import exceptions
from migsafe.cli import checker
from migsafe.fencing import fence_log, fences, turns
from migsafe.tests.unit.cli import test_host_verdict
from migsafe.tests.unit.cli.test_host_verdict import silent


class Fence:
    name = 'bmc'

    def __init__(self, done):
        self.done = done

    def fence(self, host):
        answer = self.done()
        if isinstance(answer, BaseException):
            raise answer
        return answer


class TestFence(test_host_verdict.HostTestCase):

    def setUp(self):
        super().setUp()
        self.configure(f'[migsafe]\nstate_path = {self.state}\nfence_limit = 2')
        for name in ('cn1', 'cn2', 'cn5', 'cn6', 'cn7', 'cn8'):
            self.host(name)
        self.host('cn3', silent(), ago=900)
        self.fenced, self.answer = [], 'its power is off'
        self.enterContext(mock.patch.object(fences, 'load', lambda _conf: [Fence(self.act)]))

    def act(self):
        self.fenced.append('cn3')
        return self.answer

    def fence(self, host='cn3', *args, typed=''):
        return self.run_command('host', 'fence', host, *args, '-f', 'json', typed=typed)

    def lines(self):
        with open(os.path.join(self.state, fence_log.NAME)) as handle:
            return [json.loads(line) for line in handle]

    def test_silent_host(self):
        code, out, err = self.fence(typed='cn3\n')
        self.assertEqual(4, code, err)
        self.assertEqual('bmc: its power is off', json.loads(out)['Fences'])
        self.assertEqual(['intent', 'done'], [line['what'] for line in self.lines()])
        # what is left to be said, in one place
        self.assertIn('service set --down cn3 nova-compute', err)

    def test_name_has_to_be_typed(self):
        for typed in ('', 'yes\n', 'cn4\n'):
            self.assertEqual(1, self.fence(typed=typed)[0])
        self.assertEqual([], self.fenced)
        self.assertEqual(4, self.fence('cn3', '--yes')[0])

    def test_host_that_lives(self):
        for host, answer in (('cn1', 'absent'), ('cn1', 'here')):
            self.answers[host] = answer
            code, _out, err = self.fence(host, '--yes')
            self.assertEqual(1, code)
            self.assertIn('cn1 is not fenced: the host shows that it lives', err)
        self.assertEqual([], self.fenced)

    def test_host_that_comes_back_while_the_name_is_typed(self):
        def confirm(_command, _warning, _host):
            self.answers['cn3'] = 'here'
        with mock.patch('migsafe.cli.base.Common.confirm', confirm):
            self.assertEqual(1, self.fence()[0])
        self.assertEqual([], self.fenced)

    def test_checker_that_is_cut_off_and_a_storm(self):
        for answer, ago, word in ((silent(), 5, 'sees no other host'),
                                  ('absent', 900, 'too many')):
            for name in ('cn1', 'cn2', 'cn5', 'cn6', 'cn7', 'cn8'):
                self.answers[name] = answer
            self.heard(ago)
            code, _out, err = self.fence('cn3', '--yes')
            self.assertEqual(1, code)
            self.assertIn(word, err)
        self.assertEqual([], self.fenced)

    def test_host_that_nova_has_heard_of_late(self):
        """Its nova-compute may be restarted at this moment."""
        self.host('cn9', silent(), ago=5)
        code, _out, err = self.fence('cn9', '--yes')
        self.assertEqual((1, []), (code, self.fenced))
        for word in ('a heartbeat of it of late', 'service_down_time'):
            self.assertIn(word, err)
        # the control: somebody says that it is fenced
        self.host('cn10', silent(), ago=5, forced_down=True)
        self.assertEqual(4, self.fence('cn10', '--yes')[0])

    def test_too_few_looks(self):
        looked = checker.Checker.explain

        def once(looks, host):
            found = looked(looks, host)
            return dataclasses.replace(found, found=dataclasses.replace(
                found.found, enough=False))
        with mock.patch.object(checker.Checker, 'explain', once):
            code, _out, err = self.fence('cn3', '--yes')
        self.assertEqual((1, []), (code, self.fenced))
        self.assertIn('not every probe has looked often enough', err)

    def test_address_of_the_host_as_a_client(self):
        made = Fence(self.act)
        with mock.patch.object(fences, 'load', lambda _conf: [made]):
            self.assertEqual(4, self.fence('cn3', '--yes', '--client-address', '10.0.0.9',
                                           '--client-address', 'FD00:0::9')[0])
            self.assertEqual(['10.0.0.9', 'fd00::9'], made.addresses)
            self.assertEqual(2, self.fence('cn3', '--yes', '--client-address', 'cn3')[0])

    def test_fence_that_fails(self):
        self.answer = exceptions.MigsafeError('it says On')
        code, out, _err = self.fence('cn3', '--yes')
        self.assertEqual(1, code)
        self.assertIn('FAILED: it says On', json.loads(out)['Fences'])
        self.assertEqual(['intent', 'failed'], [line['what'] for line in self.lines()])

    def test_dead_bmc_has_a_second_way(self):
        """One fence that has seen it is enough, and each is tried."""
        ways = [Fence(lambda: exceptions.MigsafeError('no answer')), Fence(lambda: 'cut off')]
        ways[1].name = 'storage'
        for made in (ways, ways[::-1]):
            with mock.patch.object(fences, 'load', lambda _conf, made=made: made):
                code, out, _err = self.fence('cn3', '--yes')
            self.assertEqual(4, code)
            for word in ('bmc: FAILED: no answer', 'storage: cut off'):
                self.assertIn(word, json.loads(out)['Fences'])
        self.assertEqual({'intent', 'failed', 'done'}, {line['what'] for line in self.lines()})

    def test_interrupt(self):
        self.answer = KeyboardInterrupt()
        code, _out, err = self.fence('cn3', '--yes')
        self.assertEqual(1, code)
        for word in ('was interrupted', 'may be fenced or not', 'migsafe host explain cn3'):
            self.assertIn(word, err)
        self.assertEqual(['intent', 'interrupted'], [line['what'] for line in self.lines()])
        self.answer = 'its power is off'
        self.assertEqual(4, self.fence('cn3', '--yes')[0])

    def test_two_at_once(self):
        """On two machines, with a lock that both have; their logs are their own."""
        lock = f'file://{self.state}/lock'
        self.configure(f'[migsafe]\nstate_path = {self.state}/here\nevacuation_lock = {lock}')
        with turns.Turns(lock, '/nowhere') as other, other.at('cn3'):
            code, _out, err = self.fence('cn3', '--yes')
            self.assertEqual((1, []), (code, self.fenced))
            self.assertIn('cn3 is not fenced: another command is fencing it now', err)
        self.assertEqual(4, self.fence('cn3', '--yes')[0])

    def test_host_that_comes_back_while_the_lock_is_waited_for(self):
        take = turns.Turns.at

        def at(held, host):
            self.answers['cn3'] = 'here'
            return take(held, host)
        with mock.patch.object(turns.Turns, 'at', at):
            code, _out, err = self.fence('cn3', '--yes')
        self.assertEqual((1, []), (code, self.fenced))
        self.assertIn('cn3 is not fenced: the host shows that it lives', err)
        self.assertEqual(['intent', 'left'], [line['what'] for line in self.lines()])

    def test_host_that_comes_back_between_two_fences(self):
        def first():
            self.answers['cn3'] = 'here'
            return 'its power is off'
        ways = [Fence(first), Fence(self.act)]
        ways[1].name = 'storage'
        with mock.patch.object(fences, 'load', lambda _conf: ways):
            code, out, _err = self.fence('cn3', '--yes')
        self.assertEqual((4, []), (code, self.fenced))
        for word in ('bmc: its power is off', 'storage: FAILED', 'shows that it lives'):
            self.assertIn(word, json.loads(out)['Fences'])

    def test_lock_that_is_lost(self):
        with mock.patch('tooz.drivers.file.FileLock.is_still_owner', lambda _lock: False):
            code, _out, err = self.fence('cn3', '--yes')
        self.assertEqual((1, []), (code, self.fenced))
        for word in ('was lost', 'evacuation_lock'):
            self.assertIn(word, err)

    def test_whether_a_lock_is_held(self):
        """As the drivers of tooz tell, or do not."""
        def raises(error):
            def fail():
                raise error
            return fail
        silent_about_it = raises(tooz.NotImplemented())
        for owner, beat, lease, held in (
                (lambda: True, None, None, True), (lambda: False, None, None, False),
                (raises(OSError()), None, None, False),
                (silent_about_it, lambda: None, None, True),
                (silent_about_it, raises(OSError()), None, False),
                (silent_about_it, lambda: None, mock.Mock(refresh=lambda: 30), True),
                (silent_about_it, lambda: None, mock.Mock(refresh=lambda: -1), False)):
            taken = turns.Turns('', self.state)
            taken._coordinator = mock.Mock(heartbeat=beat)
            self.assertIs(held, taken._holds(
                mock.Mock(is_still_owner=owner, acquired=True, _lease=lease)))

    def test_limit(self):
        self.host('cn9', silent(), ago=900)
        self.host('cn10', silent(), ago=900, forced_down=True)
        self.assertEqual([4, 4], [self.fence(host, '--yes')[0] for host in ('cn3', 'cn10')])
        code, _out, err = self.fence('cn9', '--yes')
        self.assertEqual(1, code)
        self.assertIn('fence_limit', err)
        self.assertEqual(2, len(self.fenced))
