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
"""Boots the guests of the laboratory."""

from __future__ import annotations

import copy
import dataclasses
import uuid

from migsafe.replay.lab import cinder
from migsafe.replay.lab import parts as lab_parts
from migsafe.replay.lab import stack as lab_stack


@dataclasses.dataclass(frozen=True)
class Server:
    """One guest of the laboratory.

    :param volumes: volume ids, root disk first.
    """

    uuid: str
    volumes: tuple[str, ...]
    port: str


def request(stack: lab_stack.Stack, volumes: int, backends: tuple[str, ...],
            multiattach: bool, encrypted: bool, deleted_with: bool, image: str) -> Server:
    """Ask the API for a guest on the source host; it is up when no work is left.

    :param image: of a root disk on the host itself; else the first volume is the root disk.
    """
    ids = tuple(_volume(stack.parts, n, backends[n % len(backends)], multiattach,
                        encrypted)
                for n in range(volumes))
    port = _port(stack)
    body = {'name': 'guest', 'imageRef': image, 'flavorRef': '1', 'host': stack.parts.hosts[0],
            'networks': [{'port': port}],
            'block_device_mapping_v2': [
                *([{'boot_index': 0, 'uuid': image, 'source_type': 'image',
                    'destination_type': 'local'}] if image else []),
                *({'boot_index': -1 if n or image else 0, 'uuid': volume_id,
                   'source_type': 'volume', 'destination_type': 'volume',
                   'delete_on_termination': deleted_with}
                  for n, volume_id in enumerate(ids))]}
    made = stack.admin_api.post_server({'server': body})
    return Server(made['id'], ids, port)


def _volume(parts: lab_parts.Parts, number: int, backend: str, multiattach: bool,
            encrypted: bool) -> str:
    recorded = parts.incident.volumes
    volume_id = str(uuid.uuid4())
    if number < len(recorded) and recorded[number][0] not in parts.cinder.volumes:
        volume_id = recorded[number][0]
    parts.san.arrays[backend].order[volume_id] = number
    parts.cinder.volumes[volume_id] = cinder.Volume(
        volume_id, backend, multiattach=multiattach, encrypted=encrypted)
    return volume_id


def _port(stack: lab_stack.Stack) -> str:
    port = copy.deepcopy(stack.neutron.default_port)
    port['id'] = str(uuid.uuid4())
    port['mac_address'] = 'fa:16:3e:' + ':'.join(port['id'][n:n + 2] for n in (0, 2, 4))
    # Nova 31 waits for network-vif-plugged in a live migration only on such ports
    port['binding:vif_details'] = {'port_filter': True, 'ovs_hybrid_plug': True}
    stack.neutron._ports[port['id']] = port
    return str(port['id'])
