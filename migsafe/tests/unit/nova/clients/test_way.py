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
"""libvirt's qemu.conf: what is read of it, and what is not."""

import os
import pathlib
import tempfile
import unittest
from unittest import mock

from migsafe.brick.root import privileged, qemu_conf
from migsafe.nova.bus import peer
from migsafe.nova.clients import way

TEXT = '''# migration_port_min = 1
migration_port_min = 50000
  migration_port_max=50099  # all of rack 7
default_tls_x509_cert_dir = "/etc/pki/qemu"
spice_password = "hush"
default_tls_x509_secret_uuid = "hush"
cgroup_device_acl = [
    "/dev/null", "/dev/full"
]
'''


class TestQemuConf(unittest.TestCase):

    def setUp(self):
        self.path = os.path.join(self.enterContext(tempfile.TemporaryDirectory()), 'qemu.conf')
        pathlib.Path(self.path).write_text(TEXT)

    def test_settings(self):
        found = qemu_conf.settings(self.path)
        self.assertEqual({'migration_port_min': '50000', 'migration_port_max': '50099',
                          'default_tls_x509_cert_dir': '/etc/pki/qemu'}, found)
        self.assertEqual((50000, 50099), qemu_conf.ports(found))
        self.assertEqual((49152, 49215), qemu_conf.ports({'migration_port_min': 'x'}))
        self.assertEqual((49152, 60000), qemu_conf.ports({'migration_port_max': '60000'}))

    def test_who_reads_it(self):
        """nova-compute itself, else the helper; without either nothing is known."""
        real = qemu_conf.settings
        with mock.patch.object(qemu_conf, 'settings', lambda: real(self.path)):
            self.assertEqual((50000, 50099), way.qemu_ports())
        with mock.patch.object(qemu_conf, 'settings', side_effect=PermissionError), \
                mock.patch.object(privileged, 'qemu_settings', return_value={}) as helper:
            self.assertEqual((49152, 49215), way.qemu_ports())
            helper.side_effect = OSError
            self.assertIsNone(way.qemu_ports())
        with mock.patch.object(qemu_conf, 'settings', side_effect=FileNotFoundError):
            self.assertIsNone(way.qemu_ports())

    def test_what_a_peer_says(self):
        for said, ports in (([1, 65535], (1, 65535)), ([0, 5], None), ([5], None), ('ab', None),
                            ([True, 5], None), (None, None), ([5, 1 << 16], None)):
            asked = peer.Peer(5)
            with mock.patch.object(asked, '_ask', return_value=(
                    {'inbound': '192.0.2.1', 'qemu_ports': said}, '')):
                self.assertEqual(('192.0.2.1', ports), asked.inbound('cn1'))
        with mock.patch.object(asked, '_ask', return_value=({'inbound': 5}, '')):
            self.assertIsNone(asked.inbound('cn1'))

    def test_whose_name_it_is(self):
        """Without an address of the destination's Nova gives QEMU none, whatever the URI has."""
        driver = mock.Mock()
        for address in ('192.0.2.1', ''):
            with mock.patch.object(way.path, 'look', return_value=way.Path('u', 'cn1.x')):
                found = way.find(driver, 'uuid', 'cn1', address)
            self.assertEqual(address, found.inbound)
            driver._live_migration_uri.assert_called_with(address or 'cn1')
