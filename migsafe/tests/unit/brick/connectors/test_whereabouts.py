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
"""Where a record leads to, asked of os-brick's own connectors."""

from __future__ import annotations

import copy
import os
import pathlib

import fixtures
import testtools
from os_brick import utils
from os_brick.initiator import linuxfc
from os_brick.initiator.connectors import fibre_channel, iscsi, nvmeof

from migsafe.brick import errors
from migsafe.brick.connectors import whereabouts

HBA = {'port_name': 'x', 'node_name': 'y', 'host_device': 'host7', 'device_path': (
    '/sys/devices/pci0000:00/0000:00:02.0/0000:05:00.2/host7/fc_host/host7')}
FC = {'target_wwn': ['50014380186B3F65', '50014380186B3F67'], 'target_lun': 5, 'volume_id': 'v'}
NVME = {'target_nqn': 'nqn.x', 'portals': [['192.0.2.1', 4420, 'tcp']], 'volume_id': 'v',
        'vol_uuid': None, 'device_path': '/dev/nvme0n1'}
UUID = '6c1f2c1e-5c4b-4b7c-9d3a-00000000000%d'
OLD_NVME = {'nqn': 'nqn.x', 'target_portal': '192.0.2.1', 'target_port': 4420,
            'transport_type': 'tcp'}


class PathsTest(testtools.TestCase):

    def paths(self, connector, data):
        before = copy.deepcopy(data)
        try:
            return whereabouts.paths(connector, data, 'cmp1')
        finally:
            self.assertEqual(before, data)

    def test_fibre_channel(self):
        self.patch(linuxfc.LinuxFibreChannel, 'get_fc_hbas_info', lambda _self: [HBA])
        self.patch(os.path, 'exists', lambda path: 'b3f67' in path)
        connector = fibre_channel.FibreChannelConnector('sudo')
        for more in ({}, {'targets': [['50014380186b3f99', 9]]}):
            found = self.paths(connector, {**FC, **more})
            self.assertEqual(
                ['/dev/disk/by-path/pci-0000:05:00.2-fc-0x50014380186b3f67-lun-5'], found)

    def controller(self, hostnqn='nqn.host', namespaces=(1, 2)):
        """One of sysfs, with namespaces by their numbers."""
        self.top = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        for name, value in (('subsysnqn', 'nqn.x'), ('transport', 'tcp'), ('state', 'live'),
                            ('address', 'traddr=192.0.2.1,trsvcid=4420'), ('hostnqn', hostnqn)):
            self.put(f'nvme3/{name}', value)
        for number in namespaces:
            self.put(f'nvme3/nvme3n{number}/uuid', UUID % number)
            self.put(f'nvme3/nvme3n{number}/nguid', UUID % number)
            self.put(f'nvme3/nvme3n{number}/nsid', str(number))

    def put(self, path, text):
        (self.top / path).parent.mkdir(parents=True, exist_ok=True)
        (self.top / path).write_text(f'{text}\n')

    def nvme(self, data):
        self.patch(nvmeof, 'NVME_CTRL_SYSFS_PATH', f'{self.top}/')
        self.patch(utils, 'get_host_nqn', lambda *_: 'nqn.host')
        self.patch(nvmeof.NVMeOFConnector, 'native_multipath_supported', False)
        self.patch(os.path, 'exists', lambda _path: True)
        return self.paths(nvmeof.NVMeOFConnector('sudo'), data)

    def test_nvme(self):
        """The name that stands in a record is that of another time, or of another host."""
        self.controller()
        for data in ({**NVME, 'vol_uuid': UUID % 2}, {**NVME, 'volume_nguid': UUID % 2},
                     {**OLD_NVME, 'ns_id': '2'}, {**OLD_NVME, 'ns_id': 2}):
            self.assertEqual(['/dev/nvme3n2'], self.nvme(data), data)
        self.assertEqual([], self.nvme({**NVME, 'vol_uuid': UUID % 7}))

    def test_nvme_on_a_host_that_has_nothing_of_the_array(self):
        self.top = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.assertEqual([], self.nvme({**NVME, 'vol_uuid': UUID % 2}))

    def test_nvme_of_which_nothing_tells_the_namespace(self):
        self.controller()
        error = self.assertRaises(errors.Unsure, self.nvme, NVME)
        for word in ('nqn.x', 'cmp1', 'NGUID'):
            self.assertIn(word, str(error))

    def test_nvme_by_another_hostnqn_than_before(self):
        """os-brick finds no controller then, and the namespace is there all the same."""
        self.controller('nqn.of-before')
        error = self.assertRaises(errors.Unsure, self.nvme, {**NVME, 'vol_uuid': UUID % 2})
        for word in ('nvme3', 'nqn.x', 'cmp1', 'nvme list-subsys'):
            self.assertIn(word, str(error))

    def test_what_os_brick_itself_says_of_a_record(self):
        """Control: it cannot be asked with one, or believes it."""
        self.patch(linuxfc.LinuxFibreChannel, 'get_fc_hbas_info', lambda _self: [HBA])
        self.assertRaises(KeyError,
                          fibre_channel.FibreChannelConnector('sudo').get_volume_paths, dict(FC))
        connector = nvmeof.NVMeOFConnector('sudo')
        self.assertRaises(AttributeError, connector.get_volume_paths, dict(NVME))
        self.assertEqual(['/dev/nvme0n1'],
                         connector.get_volume_paths(nvmeof.NVMeOFConnProps(dict(NVME))))

    def test_iscsi(self):
        data = {'target_iqn': 'iqn.x', 'target_portal': '192.0.2.1:3260', 'target_lun': 3}
        self.patch(iscsi.ISCSIConnector, 'get_volume_paths', lambda _self, given: [given])
        self.assertEqual([str(data)], self.paths(iscsi.ISCSIConnector('sudo'), data))
