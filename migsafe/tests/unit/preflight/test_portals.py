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

import unittest
import unittest.mock

from migsafe.preflight import portals
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
            found = portals.look([(str(number), info('iscsi', target_portal=f'{HERE}:{port}'))
                                  for number in range(300)])
        self.assertEqual((256, {'open'}), (len(found), {one.reached for one in found}))
        with unittest.mock.patch.object(portals, 'MOST', 0):
            self.assertEqual('', portals.look([('v', info(
                'iscsi', target_portal='192.0.2.1:1'))])[0].reached)

    def test_nonsense(self):
        for data in ({}, {'target_portal': 5}, {'target_portal': 'x'}, {'target_portals': 7}, 9):
            given = {'driver_volume_type': 'iscsi', 'data': data}
            self.assertEqual((Way('v', 'iscsi'),), portals.look([('v', given)]))
