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
"""A connection_info before and after Nova and os-brick have used it, for each driver type.

Nova's own volume driver connects with os-brick's own connector; only what these ask of the host
is made up.
"""

import contextlib
import copy
import dataclasses
import json
import tempfile
import unittest
from collections.abc import Mapping
from typing import Any
from unittest import mock

from nova.virt.libvirt import driver as nova_driver
from os_brick.initiator import linuxfc, linuxscsi
from os_brick.initiator.connectors import fibre_channel, iscsi, lightos, nvmeof, scaleio, storpool
from os_brick.remotefs import remotefs
from oslo_config import fixture as config_fixture
from oslo_utils import importutils

from migsafe.resources import volume_target

PATH = '/dev/disk/by-id/made-up'
UUID, UUID_2 = (f'{number:08x}-5afe-4000-8000-00000000abcd' for number in (1, 2))


@dataclasses.dataclass(frozen=True)
class Kind:
    """One driver type.

    :param data: what Cinder gives for a volume
    :param other: what is different in it for another volume, or for another host's mapping
    :param host: (object, attribute, value) of what is asked of the host
    :param writes: whether something is written into it; else the driver leaves it as it is
    """

    type: str
    data: Mapping[str, Any]
    other: Mapping[str, Any]
    host: tuple[tuple[Any, str, Any], ...] = ()
    writes: bool = True


_ISCSI = {'target_portal': '192.0.2.1:3260', 'target_iqn': 'iqn.2010-10.org.openstack:vol',
          'target_lun': 3, 'target_discovered': False, 'auth_method': 'CHAP',
          'auth_username': 'u', 'auth_password': 'p', 'encrypted': False, 'qos_specs': None,
          'access_mode': 'rw', 'volume_id': 'vol'}
_NO_MULTIPATHD = (linuxscsi.LinuxSCSI, 'is_multipath_running', mock.Mock(return_value=True))
_NO_ISCSI = ((iscsi.ISCSIConnector, '_connect_single_volume', mock.Mock(
    return_value={'type': 'block', 'path': PATH})),)
_FC = {'target_wwn': '50:01:43:80:18:3A:02:00', 'target_lun': 3, 'access_mode': 'rw',
       'initiator_target_map': {'10008C7CFF523B01': ['50014380183A0200']}}
_NO_FC = ((linuxfc.LinuxFibreChannel, 'get_fc_hbas_info', mock.Mock(return_value=[
              {'port_name': '10008C7CFF523B01', 'node_name': '20008C7CFF523B01',
               'host_device': 'host0', 'device_path': '/sys/class/fc_host/host0'}])),
          (fibre_channel.FibreChannelConnector, '_get_possible_volume_paths',
           mock.Mock(return_value=['/dev/null'])),
          (linuxfc.LinuxFibreChannel, 'rescan_hosts', mock.Mock()),
          (fibre_channel.FibreChannelConnector, 'check_valid_device',
           mock.Mock(return_value=True)),
          (linuxscsi.LinuxSCSI, 'get_scsi_wwn', mock.Mock(return_value='3600')),
          (linuxscsi.LinuxSCSI, 'wait_for_rw', mock.Mock()))
_NO_NVME = ((nvmeof.NVMeOFConnector, '_connect_target', mock.Mock(return_value='/dev/nvme0n1')),)
_FILE = {'export': '192.0.2.1:/srv', 'name': 'volume-1', 'options': None, 'format': 'raw'}
_SCALEIO = {'scaleIO_volname': 'aa', 'scaleIO_volume_id': 'v1', 'hostIP': '192.0.2.1',
            'serverIP': '192.0.2.2', 'serverPort': 443, 'serverUsername': 'u',
            'serverPassword': 'p', 'serverToken': None, 'iopsLimit': None,
            'bandwidthLimit': None, 'sdc_guid': 'guid'}

KINDS = (
    Kind('iscsi', _ISCSI, {'target_lun': 4}, _NO_ISCSI),
    Kind('iscsi', _ISCSI, {'target_iqn': 'iqn.2010-10.org.openstack:other'}, _NO_ISCSI),
    Kind('iscsi', _ISCSI | {'target_portals': ['192.0.2.1:3260', '192.0.2.3:3260'],
                            'target_iqns': ['iqn.a', 'iqn.b'], 'target_luns': [3, 4]},
         {'target_luns': [3, 5]}, _NO_ISCSI),
    Kind('iser', _ISCSI, {'target_lun': 4}, _NO_ISCSI),
    Kind('fibre_channel', _FC, {'target_lun': 4}, _NO_FC),
    Kind('fibre_channel', _FC, {'target_wwn': ['50014380183A0201']}, _NO_FC),
    Kind('fibre_channel', {'target_wwns': ['50014380183A0200', '50014380183A0201'],
                           'target_luns': [3, 4]}, {'target_luns': [3, 5]}, _NO_FC),
    Kind('nvmeof', {'target_nqn': 'nqn.a', 'vol_uuid': UUID, 'ns_id': 1,
                    'portals': [['192.0.2.1', '4420', 'tcp']]}, {'vol_uuid': UUID_2}, _NO_NVME),
    Kind('nvmeof', {'target_nqn': 'nqn.a', 'vol_uuid': UUID, 'ns_id': 1,
                    'portals': [['192.0.2.1', '4420', 'tcp']]}, {'ns_id': 2}, _NO_NVME),
    # as Cinder's old drivers give it
    Kind('nvmeof', {'target_portal': '192.0.2.1', 'target_port': '4420', 'nqn': 'nqn.a',
                    'transport_type': 'tcp', 'ns_id': 1}, {'nqn': 'nqn.b'}, _NO_NVME),
    Kind('lightos', {'uuid': UUID, 'nqn': 'nqn.a', 'subsysnqn': 'nqn.a',
                     'lightos_nodes': {}}, {'uuid': UUID_2},
         ((lightos.LightOSConnector, 'dsc_connect_volume', mock.Mock()),
          (lightos.LightOSConnector, '_get_device_by_uuid', mock.Mock(return_value=PATH)))),
    Kind('storpool', {'client_id': '1', 'volume': 'v-1', 'access_mode': 'rw'},
         {'volume': 'v-2'},
         ((storpool.StorPoolConnector, '__init__', lambda self, *args, **kwargs: vars(
             self).update(_volume_prefix='os', _config={'SP_OURID': '1'}, _sp_api=mock.Mock(
                 volume_get_info=lambda name: {'globalId': name}))),)),
    Kind('scaleio', _SCALEIO, {'scaleIO_volume_id': 'v2'},
         ((scaleio.ScaleIOConnector, '_find_volume_path', mock.Mock(return_value=PATH)),
          (scaleio.ScaleIOConnector, '_get_username_and_password_token',
           mock.Mock(return_value=('u', 'p', None))))),
    Kind('nfs', _FILE, {'export': '192.0.2.2:/srv'}, (('nova.virt.libvirt.volume.mount', 'mount',
                                                     mock.Mock()),)),
    Kind('nfs', _FILE, {'name': 'volume-2'}, (('nova.virt.libvirt.volume.mount', 'mount',
                                             mock.Mock()),)),
    Kind('smbfs', _FILE | {'export': '//192.0.2.1/srv'}, {'name': 'volume-2'},
         (('nova.virt.libvirt.utils', 'is_mounted', mock.Mock(return_value=True)),)),
    Kind('quobyte', _FILE | {'export': 'quobyte://192.0.2.1/srv'}, {'name': 'volume-2'},
         (('nova.virt.libvirt.volume.quobyte', 'validate_volume', mock.Mock()),), writes=False),
    Kind('vzstorage', _FILE | {'export': 'cluster', 'options': '["-u", "cinder"]'},
         {'name': 'volume-2'},
         ((remotefs.VZStorageRemoteFSClient, 'mount', mock.Mock()),)),
    Kind('rbd', {'name': 'volumes/volume-1', 'hosts': ['192.0.2.1'], 'ports': ['6789'],
                 'cluster_name': 'ceph', 'auth_enabled': True, 'auth_username': 'cinder',
                 'secret_uuid': 's', 'secret_type': 'ceph'}, {'name': 'volumes/volume-2'},
         writes=False),
    # their path is where they are
    Kind('local', {'device_path': '/dev/vg/volume-1'}, {'device_path': '/dev/vg/volume-2'},
         writes=False),
    Kind('gpfs', {'name': 'volume-1', 'device_path': '/gpfs/volume-1'},
         {'device_path': '/gpfs/volume-2'}, writes=False),
    Kind('fake', {'name': 'volume-1'}, {'name': 'volume-2'}, writes=False),
)


class SameTest(unittest.TestCase):
    """What is in the row after a connect is compared with what Cinder has."""

    def setUp(self):
        super().setUp()
        # os-brick's locks are files
        config = config_fixture.Config()
        config.setUp()
        self.addCleanup(config.cleanUp)
        config.config(group='oslo_concurrency', lock_path=self.enterContext(
            tempfile.TemporaryDirectory()))

    def used(self, kind: Kind) -> dict[str, Any]:
        """What Nova has in the row after it has connected the volume."""
        info = {'driver_volume_type': kind.type, 'data': copy.deepcopy(dict(kind.data))}
        with contextlib.ExitStack() as stack:
            for where, name, value in (*kind.host, _NO_MULTIPATHD):
                target = importutils.import_module(where) if isinstance(where, str) else where
                stack.enter_context(mock.patch.object(target, name, value))
            cls = importutils.import_class(nova_driver.VOLUME_DRIVERS[kind.type])
            cls(mock.Mock()).connect_volume(info, mock.Mock())
        used: dict[str, Any] = json.loads(json.dumps(info))
        return used

    def test_every_driver_type_of_nova(self):
        self.assertEqual(set(nova_driver.VOLUME_DRIVERS), {kind.type for kind in KINDS})

    def test_what_was_used_is_the_same_and_another_is_not(self):
        for kind in KINDS:
            with self.subTest(kind.type, other=kind.other):
                given = {'driver_volume_type': kind.type, 'data': dict(kind.data)}
                used = self.used(kind)
                self.assertEqual(kind.writes, used != json.loads(json.dumps(given)))
                self.assertTrue(volume_target.same(given, used), used)
                other = copy.deepcopy(given)
                other['data'] |= kind.other
                for one in (given, used):
                    self.assertFalse(volume_target.same(one, other), other)

    def test_another_type_is_another_export(self):
        iscsi_info, iser_info = ({'driver_volume_type': name, 'data': dict(_ISCSI)}
                                 for name in ('iscsi', 'iser'))
        self.assertFalse(volume_target.same(iscsi_info, iser_info))

    def test_the_id_after_a_retype(self):
        """Nova writes the id that the volume keeps into what Cinder has given for another."""
        given = {'driver_volume_type': 'iscsi', 'data': dict(_ISCSI)}
        kept = {'driver_volume_type': 'iscsi', 'data': _ISCSI | {'volume_id': 'the-old-id'}}
        self.assertTrue(volume_target.same(given, kept))
