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
import os

import testtools

from migsafe.brick.kernel import address
from migsafe.tests.unit.brick import trees


class AddressTest(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.tree = self.useFixture(trees.Tree())

    def path(self, name, below, place):
        """A disk at a place below a session or a port."""
        real = self.tree.root / 'devices' / 'host2' / below / place
        real.mkdir(parents=True)
        self.tree.disk(name)
        os.symlink(real, self.tree.top / name / 'device')
        return name

    def session(self, name, lun, target):
        session = f'session{ord(name[-1])}'
        directory = self.tree.root / 'class' / 'iscsi_session' / session
        directory.mkdir(parents=True)
        (directory / 'targetname').write_text(f'{target}\n')
        return self.path(name, session, f'2:0:0:{lun}')

    def port(self, name, lun, port, node):
        rport = f'rport-2:0-{name}'
        directory = self.tree.root / 'class' / 'fc_remote_ports' / rport
        directory.mkdir(parents=True)
        (directory / 'port_name').write_text(f'0x{port}\n')
        (directory / 'node_name').write_text(f'0x{node}\n')
        return self.path(name, rport, f'2:0:0:{lun}')

    def strangers(self, names, *leads):
        return {name: str(where) for name, where in address.strangers(
            self.tree.sysfs, names, leads).items()}

    def test_iscsi(self):
        names = [self.session('sda', 3, 'iqn.x'), self.session('sdb', 4, 'iqn.x'),
                 self.session('sdc', 3, 'iqn.y')]
        self.assertEqual({'sdb': 'LUN 4 of iqn.x', 'sdc': 'LUN 3 of iqn.y'},
                         self.strangers(names, ('iqn.x', 3)))
        self.assertEqual({'sdb': 'LUN 4 of iqn.x'}, self.strangers(names, ('', 3)))
        self.assertEqual({}, self.strangers(names, ('iqn.x', 3), ('iqn.x', 4), ('iqn.y', 3)))

    def test_fibre_channel(self):
        names = [self.port('sda', 3, '500140', '500100'), self.port('sdb', 3, '500141', '500100'),
                 self.port('sdc', 3, '500149', '500109'), self.port('sdd', 4, '500141', '500100')]
        # sdb is another port of the array's than Cinder has told of
        self.assertEqual(['sdc', 'sdd'], sorted(self.strangers(names, ('500140', 3))))

    def test_where_the_target_is_not_told_the_lun_is_what_there_is(self):
        names = [self.path('sda', 'x', '2:0:0:3'), self.path('sdb', 'x', '2:0:0:4')]
        self.assertEqual(['sdb'], sorted(self.strangers(names, ('500140', 3))))

    def test_names_of_two_transports_are_not_compared(self):
        names = [self.session('sda', 3, 'iqn.x'), self.session('sdb', 4, 'iqn.x')]
        self.assertEqual({'sdb': 'LUN 4 of iqn.x'},
                         self.strangers(names, ('5001405000000002', 3)))

    def test_the_flat_space_of_numbers(self):
        self.session('sda', 0x4000 | 300, 'iqn.x')
        self.assertEqual({}, self.strangers(['sda'], ('iqn.x', 300)))
        self.assertEqual({}, self.strangers(['sda'], ('iqn.x', 0x4000 | 300)))

    def test_what_leads_there_or_may(self):
        self.session('sda', 3, 'iqn.x')
        self.session('sdb', 0x4000 | 3, 'iqn.y')
        self.port('sdc', 3, '500140', '500100')
        self.path('sdd', 'x', '2:0:0:3')
        self.path('sde', 'session77', '2:0:0:3')
        self.tree.disk('nvme0n1')
        for leads, found in (([('IQN.x', 3)], ['sda', 'sde']), ([('iqn.y', 3)], ['sdb', 'sde']),
                             # Another port may be one of the same array.
                             ([('500149', 3)], ['sdc', 'sde']), ([('iqn.x', 4)], []),
                             ([('iqn.x', 3), ('iqn.y', 0x4003)], ['sda', 'sdb', 'sde'])):
            self.assertEqual(found, address.leading_to(self.tree.sysfs, leads), leads)

    def test_what_is_no_scsi_disk_or_gone(self):
        self.tree.disk('nvme0n1')
        self.assertEqual({}, self.strangers(['nvme0n1', 'sdz'], ('iqn.x', 3)))
