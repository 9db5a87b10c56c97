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
"""The portals of connections as Cinder's drivers give them, and real sockets of loopback."""

import threading
import unittest
import unittest.mock

from migsafe.brick.kernel import bounded
from migsafe.preflight import path, portals
from migsafe.preflight.surroundings import Way
from migsafe.tests.unit.preflight.test_path import HERE, deaf, listening, nobody


def info(kind, **data):
    return {'driver_volume_type': kind, 'data': data}


class TestNamed(unittest.TestCase):

    def test_each_kind(self):
        for given, wanted in (
                (info('iscsi', target_portal='192.0.2.1:3260'), [('192.0.2.1', 3260)]),
                (info('iser', target_portal='x:1', target_portals=['[2001:db8::1]:3260', 'x:2']),
                 [('2001:db8::1', 3260), ('x', 2)]),
                (info('nvmeof', portals=[['192.0.2.1', '4420', 'tcp'], ['x', 4420, 'RDMA']]),
                 [('192.0.2.1', 4420)]),
                (info('nvmeof', target_portal='192.0.2.1', target_port=4420,
                      transport_type='tcp'), [('192.0.2.1', 4420)]),
                (info('rbd', hosts=['192.0.2.1', '[2001:db8::1]'], ports=['6789', '3300']),
                 [('192.0.2.1', 6789), ('2001:db8::1', 3300)]),
                (info('fibre_channel', target_wwn=['500a']), []), ({}, [])):
            self.assertEqual(wanted, portals.named(given), given)


class TestLook(unittest.TestCase):

    def test_what_is_reached(self):
        with listening() as one, nobody() as other, deaf() as third:
            found = portals.look([
                ('v', info('iscsi', target_portals=[f'{HERE}:{one}', f'{HERE}:{other}'])),
                ('w', info('iscsi', target_portal=f'{HERE}:{third}')),
                ('x', info('fibre_channel'))])
        self.assertEqual((
            Way('v', 'iscsi', f'{HERE} {one}', 'open'),
            Way('v', 'iscsi', f'{HERE} {other}', 'refused'),
            Way('w', 'iscsi', f'{HERE} {third}', 'silent'), Way('x', 'fibre_channel')), found)

    def test_each_portal_once_and_bounded(self):
        with listening() as port:
            given = [(str(number), info('iscsi', target_portal=f'{HERE}:{port}'))
                     for number in range(300)]
            found, fits = portals.look(given), portals.look(given[:256])
        self.assertEqual((256, {'open'}), (len(fits), {one.reached for one in fits}))
        self.assertEqual((256, {'open'}, Way('255', 'iscsi', 'of 45 more volumes')),
                         (len(found), {one.reached for one in found[:-1]}, found[-1]))
        with unittest.mock.patch.object(portals, 'MOST', 0):
            self.assertEqual('', portals.look([('v', info(
                'iscsi', target_portal='192.0.2.1:1'))])[0].reached)

    def test_a_volume_is_told_whole_or_not(self):
        """Its silent portal alone would have it refused."""
        ways = [Way(str(number // 2), 'iscsi', str(number), 'open' if number % 2 else 'silent')
                for number in range(300)]
        found = portals._fitting(ways)
        self.assertEqual((255, ways[:254]), (len(found), list(found[:-1])))
        self.assertEqual(Way('127', 'iscsi', 'of 23 more volumes'), found[-1])

    def test_only_time_makes_it_silent(self):
        given = [('v', info('iscsi', target_portal='192.0.2.1:1'))]
        for answer, wanted in ((bounded.Silent(), 'silent'), (RuntimeError('thread'), ''),
                               (OverflowError(), ''), (path.Reached.NO_WAY, 'no way there')):
            with unittest.mock.patch.object(
                    bounded, 'ask', lambda questions, _s, told=answer: dict.fromkeys(
                        questions, told)):
                self.assertEqual(wanted, portals.look(given)[0].reached, answer)

    def test_two_at_once(self):
        """The second asks the same portal while the first has no answer."""
        ended = threading.Event()
        self.addCleanup(ended.set)
        given = [('v', info('iscsi', target_portal='192.0.2.1:1'))]
        with unittest.mock.patch.object(path, 'reach', lambda *_: ended.wait(60)):
            self.assertEqual('silent', portals.look(given, 0.01)[0].reached)
        with unittest.mock.patch.object(path, 'reach', return_value=path.Reached.OPEN):
            self.assertEqual('open', portals.look(given, 60)[0].reached)

    def test_without_tcp(self):
        for data, wanted in (
                ({'portals': [['x', 1, 'RDMA'], ['y', 1, 'fc']]}, 'nvmeof over RDMA and fc'),
                ({'target_portal': 'x', 'target_port': 1, 'transport_type': 'rdma'},
                 'nvmeof over rdma'),
                ({'target_portal': 'x', 'target_port': 1}, 'nvmeof'), ({}, 'nvmeof'),
                ({'portals': [['x', 'one', 'tcp']]}, 'nvmeof'), ({'portals': 7}, 'nvmeof')):
            self.assertEqual((Way('v', wanted),), portals.look([('v', info('nvmeof', **data))]))
        self.assertEqual((Way('v', 'scaleio'), Way('w', '')), portals.look(
            [('v', info('scaleio')), ('w', {})]))

    def test_nonsense(self):
        for data in ({}, {'target_portal': 5}, {'target_portal': 'x'}, {'target_portals': 7}, 9):
            given = {'driver_volume_type': 'iscsi', 'data': data}
            self.assertEqual((Way('v', 'iscsi'),), portals.look([('v', given)]))
