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
"""Where everything of a cloud is: directories, addresses, ports.

The addresses are in a network namespace of the cloud's own, and so are the ports.
"""

from __future__ import annotations

import os
import pathlib
import sys

#: The control plane: every API, the databases and the message bus.
CONTROL = '10.77.0.1'
#: Machine -> last byte of its addresses.
COMPUTES = {'cmp1': 11, 'cmp2': 12}
STORAGE = {'array': 21}
MACHINES = COMPUTES | STORAGE
#: The bridges: one for the services, two for the portals of the target.
BRIDGES = ('mgmt', 'sana', 'sanb')
#: Service -> port.
#: They are haproxy's; what it asks listens on a port so much higher.
BEHIND = 10000
PORTS = {'keystone': 5000, 'nova': 8774, 'cinder': 8776, 'placement': 8778, 'neutron': 9696}
#: Where a volume-only cloud says that its image service is; nothing listens there.
NO_GLANCE = f'http://{CONTROL}:9292'
PASSWORD = 'cloud-only'
BIN = pathlib.Path(sys.executable).parent
ETC = pathlib.Path(sys.prefix) / 'etc'


def address(machine: str, bridge: str = 'mgmt') -> str:
    """The address of a machine on one of the bridges."""
    return f'10.77.{BRIDGES.index(bridge)}.{MACHINES[machine]}'


def mac(machine: str, bridge: str) -> str:
    """The hardware address of the same."""
    return f'52:54:00:77:{BRIDGES.index(bridge):02x}:{MACHINES[machine]:02x}'


def url(service: str) -> str:
    """Where a service of the control plane answers."""
    return f'http://{CONTROL}:{PORTS[service]}'


def behind(service: str) -> str:
    """The same without haproxy, for what is to go on while that cuts connections."""
    return f'http://{CONTROL}:{PORTS[service] + BEHIND}'


def home() -> pathlib.Path:
    """The directory of the cloud: logs, configuration, disks, reports."""
    default = pathlib.Path.home() / '.cache' / 'migsafe' / 'cloud'
    return pathlib.Path(os.environ.get('MIGSAFE_CLOUD') or default)


def part(name: str) -> pathlib.Path:
    """A directory below it, made if need be."""
    found = home() / name
    found.mkdir(parents=True, exist_ok=True)
    return found
