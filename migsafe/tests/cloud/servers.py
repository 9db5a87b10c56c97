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
"""Servers and volumes of the cloud, and what a scenario does to them."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import functools
import json
from collections.abc import Sequence
from concurrent import futures

from keystoneauth1 import exceptions

from migsafe.tests.cloud import api, configs, facts, machines, processes, sector

SLOW = processes.SLOW
ENDED = ('completed', 'error', 'failed', 'cancelled')
ARRAY = 'array'
SMALL, LARGER = 'small', 'larger'
NETWORK = 'guests'


@dataclasses.dataclass(frozen=True)
class Guest:
    """A server with the volumes that it was made with.

    :param volumes: the first is what it boots from
    """

    uuid: str
    name: str
    volumes: tuple[str, ...]


def kinds() -> None:
    """The size of all guests, the one that some are resized to, and a type of volume a backend."""
    for backend in configs.BACKENDS:
        api.call('cinder', 'POST', '/types', {'volume_type': {
            'name': backend, 'extra_specs': {'volume_backend_name': backend}}})
    for name, memory in ((SMALL, 64), (LARGER, 96)):
        api.call('nova', 'POST', '/flavors', {'flavor': {
            'name': name, 'ram': memory, 'vcpus': 1, 'disk': 0, 'id': name}})


@functools.cache
def network() -> str:
    """The network that each guest has a port in; made if it is not there yet."""
    found = api.call('neutron', 'GET', f'/networks?name={NETWORK}')['networks']
    if not found:
        found = [api.call('neutron', 'POST', '/networks', {'network': {
            'name': NETWORK, 'provider:network_type': 'flat',
            'provider:physical_network': 'one', 'shared': True}})['network']]
        api.call('neutron', 'POST', '/subnets', {'subnet': {
            'network_id': found[0]['id'], 'ip_version': 4, 'cidr': '192.0.2.0/24',
            'enable_dhcp': False, 'gateway_ip': None}})
    return str(found[0]['id'])


def volume(name: str, bootable: bool, kind: str = next(iter(configs.BACKENDS))) -> str:
    """Make a volume that has the name in it, and the guest's program.

    :param kind: the type of volume
    :returns: its id
    """
    made: str = api.call('cinder', 'POST', '/volumes', {'volume': {
        'size': 1, 'name': name, 'volume_type': kind}})['volume']['id']
    api.wait(f'volume {name}', lambda: status(made) in ('available', 'error'), SLOW)
    if status(made) != 'available':
        raise processes.Failed(f'volume {name} is {status(made)}; see log/cinder-scheduler.log')
    if bootable:
        machines.run(ARRAY, f'dd of={path(made)} conv=notrunc', sector.program())
        api.call('cinder', 'POST', f'/volumes/{made}/action',
                 {'os-set_bootable': {'bootable': True}})
    machines.run(ARRAY, f'dd of={path(made)} seek={sector.BLOCK} conv=notrunc,fsync',
                 sector.block(name))
    return made


def path(volume_id: str) -> str:
    """The logical volume in the array."""
    return f'/dev/cinder-volumes/volume-{volume_id}'


def written(volume_id: str) -> sector.Written | None:
    """What stands in its block now."""
    done = machines.run(ARRAY, f'dd if={path(volume_id)} iflag=direct skip={sector.BLOCK} '
                               f'count=1 status=none | base64')
    return sector.read(base64.b64decode(done))


def boot(name: str, host: str, more: int = 0, **body: object) -> Guest:
    """Make a guest on a host, and wait until it writes.

    :param more: further volumes that are attached to it
    :param body: what else is asked for
    :raises processes.Failed: Nova or Cinder could not make it
    """
    guest = asked(name, host, more, **body)
    api.wait(f'{name} to be ACTIVE', lambda: settled(guest) in ('ACTIVE', 'ERROR'), SLOW)
    if (made := show(guest))['status'] != 'ACTIVE':
        raise processes.Failed(f'{name} is {made["status"]}: {made.get("fault")}')
    api.wait(f'{name} to write', lambda: (
        written(guest.volumes[0]) or sector.Written('', 0)).count > 0, SLOW, 1)
    return guest


def boot_all(names: Sequence[str], host: str) -> list[Guest]:
    """Several at once."""
    with futures.ThreadPoolExecutor() as pool:
        return list(pool.map(lambda name: boot(name, host), names))


def asked(name: str, host: str, more: int = 0, **body: object) -> Guest:
    """Ask for a guest, with its volumes."""
    volumes = tuple(volume(f'{name}-{number}', number == 0) for number in range(1 + more))
    mapping = [{'uuid': one, 'source_type': 'volume', 'destination_type': 'volume',
                'boot_index': 0 if number == 0 else None, 'delete_on_termination': False}
               for number, one in enumerate(volumes)]
    made = api.call('nova', 'POST', '/servers', {'server': {
        'name': name, 'flavorRef': SMALL, 'networks': [{'uuid': network()}], 'host': host,
        'block_device_mapping_v2': mapping, **body}})['server']['id']
    return Guest(made, name, volumes)


def with_volume(guest: Guest, volume_id: str) -> Guest:
    """The same with one more volume."""
    return dataclasses.replace(guest, volumes=(*guest.volumes, volume_id))


def show(guest: Guest) -> api.Json:
    """Nova's view of it."""
    found: api.Json = api.call('nova', 'GET', f'/servers/{guest.uuid}')['server']
    return found


def settled(guest: Guest) -> str | None:
    """Its status once no task is left; None before."""
    found = show(guest)
    return None if found['OS-EXT-STS:task_state'] else str(found['status'])


def host(guest: Guest) -> str:
    """Where Nova says that it is."""
    return str(show(guest)['OS-EXT-SRV-ATTR:host'])


def migrate(guest: Guest, where: str) -> int:
    """Ask for a live migration.

    :returns: how many it had before; the new one is recorded somewhat later
    """
    before = len(migrations(guest))
    act(guest, {'os-migrateLive': {'host': where, 'block_migration': 'auto'}})
    return before


def act(guest: Guest, action: api.Json, version: str = '') -> None:
    """Ask for something.

    :param version: the microversion, if another one is wanted
    """
    api.call('nova', 'POST', f'/servers/{guest.uuid}/action', action, version=version)


def migrations(guest: Guest) -> Sequence[api.Json]:
    """Its migrations, newest first."""
    found: list[api.Json] = api.call(
        'nova', 'GET', f'/os-migrations?instance_uuid={guest.uuid}')['migrations']
    return found


def moved(guest: Guest, before: int, timeout: float = SLOW) -> api.Json:
    """Wait until its newest migration has ended.

    :param before: as migrate() returned it
    :returns: that migration
    """
    def ended() -> api.Json | None:
        found, *others = migrations(guest) or [{}]
        return found if len(others) == before and found.get('status') in ENDED else None
    found: api.Json = api.wait(f'the migration of {guest.name}', ended, timeout)
    return found


def delete(guest: Guest, seconds: float = SLOW) -> None:
    """Delete it with its volumes.

    :param seconds: how long each may take
    """
    let_go(guest)
    api.wait(f'{guest.name} to go', lambda: gone(guest), seconds)
    delete_volumes(*guest.volumes, seconds=seconds)


def let_go(guest: Guest) -> None:
    """Ask for its deletion, and wait for nothing."""
    with contextlib.suppress(exceptions.NotFound):
        api.call('nova', 'DELETE', f'/servers/{guest.uuid}')


def delete_volumes(*volumes: str, seconds: float = SLOW) -> None:
    """Delete volumes that nobody has any more."""
    for one in volumes:
        with contextlib.suppress(exceptions.NotFound, exceptions.BadRequest):
            api.call('cinder', 'DELETE', f'/volumes/{one}')
    for one in volumes:
        api.wait(f'volume {one} to go', lambda one=one: _gone('cinder', f'/volumes/{one}'),
                 seconds)


def connection(volume_id: str) -> api.Json:
    """What Nova's database has of how a volume is reached."""
    row, = facts.rows('nova_cell1', 'SELECT connection_info FROM block_device_mapping WHERE '
                                    f"deleted = 0 AND volume_id = '{volume_id}'")
    found: api.Json = json.loads(row['connection_info'])
    return found


def write_connection(volume_id: str, info: api.Json) -> None:
    """Change that by hand; what the record is of stays as it is."""
    told = {**info, 'serial': volume_id, 'data': {
        **info['data'], 'volume_id': volume_id}}
    facts.change('nova_cell1', 'UPDATE block_device_mapping SET connection_info = %s WHERE '
                               'deleted = 0 AND volume_id = %s', json.dumps(told), volume_id)


def gone(guest: Guest) -> bool:
    """Whether Nova knows it no more."""
    return _gone('nova', f'/servers/{guest.uuid}')


def status(volume_id: str) -> str:
    """Of a volume."""
    return str(api.call('cinder', 'GET', f'/volumes/{volume_id}')['volume']['status'])


def _gone(service: str, path: str) -> bool:
    try:
        api.call(service, 'GET', path)
    except exceptions.NotFound:
        return True
    return False
