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

import testtools
from os_brick.initiator import linuxfc
from os_brick.initiator.connectors import fibre_channel, iscsi, nvmeof

from migsafe.brick import errors
from migsafe.brick.connectors import whereabouts

HBA = {'port_name': 'x', 'node_name': 'y', 'host_device': 'host7', 'device_path': (
    '/sys/devices/pci0000:00/0000:00:02.0/0000:05:00.2/host7/fc_host/host7')}
FC = {'target_wwn': ['50014380186B3F65', '50014380186B3F67'], 'target_lun': 5, 'volume_id': 'v'}
NVME = {'target_nqn': 'nqn.x', 'portals': [['192.0.2.1', 4420, 'tcp']], 'volume_id': 'v',
        'vol_uuid': None, 'device_path': '/dev/nvme0n1'}
OLD_NVME = {'nqn': 'nqn.x', 'target_portal': '192.0.2.1', 'target_port': 4420,
            'transport_type': 'tcp', 'ns_id': 7}


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

    def nvme(self, data):
        self.patch(nvmeof.Target, 'set_portals_controllers',
                   lambda target: self.asked.append(target.nqn))
        self.patch(nvmeof.Target, 'get_devices', lambda *_: ['/dev/nvme3n1'])
        self.asked = []
        return self.paths(nvmeof.NVMeOFConnector('sudo'), data)

    def test_nvme(self):
        """The name that stands in a record is that of another time, or of another host."""
        for data in ({**NVME, 'vol_uuid': '6c1f2c1e-5c4b-4b7c-9d3a-000000000001'}, OLD_NVME,
                     {**NVME, 'volume_nguid': '6c1f2c1e5c4b4b7c9d3a000000000001'}):
            self.assertEqual(['/dev/nvme3n1'], self.nvme(data))
            self.assertEqual(['nqn.x'], self.asked)

    def test_nvme_of_which_nothing_tells_the_namespace(self):
        error = self.assertRaises(errors.Unsure, self.nvme, NVME)
        for word in ('nqn.x', 'cmp1', 'NGUID'):
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
