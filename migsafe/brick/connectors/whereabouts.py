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
"""Where a connection leads to on this host, as the connector of its transport can tell.

os-brick's ``get_volume_paths`` takes what its own ``connect_volume`` has made of the connection:
of Fibre Channel with the ``targets`` that it has added, of NVMe-oF as an object. A record has
neither, or those of another time and another host.
"""

from __future__ import annotations

import copy
import glob
import pathlib
from collections.abc import Mapping
from typing import Any

from os_brick.initiator.connectors import fibre_channel, nvmeof

from migsafe.brick import errors

#: What tells namespaces of one subsystem apart; without any of them os-brick guesses by what has
#: come since it was asked (Target.get_device_path_by_initial_devices).
NAMES = ('uuid', 'nguid', 'ns_id')


def paths(connector: Any, data: Mapping[str, Any], host: str) -> list[str]:
    """Block devices that are on this host now.

    :param connector: of os-brick, guarded or not
    :param data: of the connection; it stays as it is
    :param host: this one
    :raises errors.Unsure: nothing tells which device it would be
    """
    given: Any = copy.deepcopy(dict(data))
    if isinstance(connector, fibre_channel.FibreChannelConnector):
        given = connector._add_targets_to_connection_properties(given)
    elif isinstance(connector, nvmeof.NVMeOFConnector):
        given = _nvme(given, host)
    return [str(path) for path in connector.get_volume_paths(given)]


def _nvme(given: dict[str, Any], host: str) -> nvmeof.NVMeOFConnProps:
    """As os-brick looks for it: at the controllers of its portals that this host has.

    :raises errors.Unsure: nothing tells which device it would be; or the host has the subsystem by
        other controllers, which have another hostnqn, for instance, as that file was changed
    """
    # a name of the host on which it was connected, which os-brick would believe
    given.pop('device_path', None)
    for target in given.get('volume_replicas') or [given]:
        if isinstance(target.get('ns_id'), int):
            # os-brick compares it with what is in sysfs
            target['ns_id'] = str(target['ns_id'])
    found = nvmeof.NVMeOFConnProps(given, find_controllers=True)
    for target in found.targets:
        device = f'namespace of {target.nqn}'
        if not any(getattr(target, name) for name in NAMES):
            raise errors.Unsure(device=device, host=host, reason=(
                'the connection has neither a UUID nor a NGUID nor a number of it'))
        if not target.present_portals and (others := _controllers(str(target.nqn))):
            raise errors.Unsure(device=device, host=host, reason=(
                f'{", ".join(others)} of that subsystem are here by other portals or by another '
                'hostnqn than the connection has; "nvme list-subsys" shows both'))
    return found


def _controllers(nqn: str) -> list[str]:
    return sorted(pathlib.Path(path).name for path in glob.glob(
        f'{nvmeof.NVME_CTRL_SYSFS_PATH}nvme*')
        if nvmeof.sysfs_property('subsysnqn', path) == nqn)
