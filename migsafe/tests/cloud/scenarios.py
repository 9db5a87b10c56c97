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
"""The scenarios, by the letter that the documents call them by."""

from __future__ import annotations

import itertools
import random
import signal
import time
from collections.abc import Callable, Mapping

from migsafe.tests.cloud import api, control, machines, network, places, processes, servers
from migsafe.tests.cloud.story import Act, Scenario, Story, told

SOURCE, DESTINATION = places.COMPUTES
#: Who an operator has mapped a volume to.
OPERATOR = 'iqn.1993-08.org.debian:01:operator'


def _there_and_back(story: Story) -> None:
    for where in (DESTINATION, SOURCE):
        story.move(where)
        story.moved()


def _abort(story: Story) -> None:
    story.move(DESTINATION)
    story.until_arriving(DESTINATION)
    found = api.wait('a migration that runs', lambda: next(
        (one for one in servers.migrations(story.guest) if one['status'] == 'running'), None),
        servers.SLOW)
    api.call('nova', 'DELETE', f'/servers/{story.guest.uuid}/migrations/{found["id"]}')
    story.say('abort asked for')
    story.moved()


def _qemu_killed(story: Story) -> None:
    story.move(DESTINATION)
    story.until_arriving(DESTINATION)
    machines.run(DESTINATION, f'pkill -9 -f {story.guest.uuid}', check=False)
    story.say(f'QEMU on {DESTINATION} killed')
    story.moved()


def _compute_killed(*hosts: str, seed: int | None = None) -> Act:
    """Kill and start nova-compute.

    :param seed: of the moment, from the beginning of the migration to a while after its transfer;
        None while memory goes over
    """
    def act(story: Story) -> None:
        story.move(DESTINATION)
        if seed is None:
            story.until_arriving(DESTINATION)
        else:
            time.sleep(random.Random(seed).uniform(0, 60))
        for host in hosts:
            machines.service(host, 'kill')
            story.say(f'nova-compute on {host} killed')
        for host in hosts:
            machines.service(host, 'start')
            story.say(f'nova-compute on {host} started')
        story.moved()
    return act


def _away(what: str, begin: Callable[[], object], end: Callable[[], object]) -> Act:
    """The transfer fails while something that the rollback needs is away."""
    def act(story: Story) -> None:
        story.move(DESTINATION)
        story.until_arriving(DESTINATION)
        begin()
        story.say(f'{what}: gone')
        machines.run(DESTINATION, f'pkill -9 -f {story.guest.uuid}', check=False)
        story.say(f'QEMU on {DESTINATION} killed')
        end()
        story.say(f'{what}: there again')
        story.moved()
    return act


def _portals(story: Story) -> None:
    """Both portals vanish from the destination, and then its guest."""
    story.move(DESTINATION)
    story.until_arriving(DESTINATION)
    for bridge in places.BRIDGES[1:]:
        network.cut(DESTINATION, bridge)
    story.say(f'{DESTINATION} has no portal')
    machines.run(DESTINATION, f'pkill -9 -f {story.guest.uuid}', check=False)
    story.say(f'QEMU on {DESTINATION} killed')
    story.moved()
    for bridge in places.BRIDGES[1:]:
        network.join(DESTINATION, bridge)
    story.say(f'{DESTINATION} has its portals again')


def _power_off(story: Story) -> None:
    _switched_off(story)
    _switched_on(story)


def _switched_off(story: Story) -> None:
    story.move(DESTINATION)
    story.until_arriving(DESTINATION)
    machines.power_off(DESTINATION)
    machines.forget(DESTINATION)
    story.say(f'{DESTINATION} powered off')
    story.moved()


def _switched_on(story: Story) -> None:
    machines.power_on(DESTINATION)
    processes.until(lambda: machines.ready(DESTINATION), processes.SLOW, DESTINATION, 5)
    story.say(f'{DESTINATION} is on again')


def _never_back(story: Story) -> None:
    """An operator says that the destination is dead; it is mended later, with nothing to do."""
    _switched_off(story)
    service, = (one['id'] for one in api.call(
        'nova', 'GET', f'/os-services?binary=nova-compute&host={DESTINATION}')['services'])
    api.call('nova', 'PUT', f'/os-services/{service}', {'forced_down': True})
    story.say(f'{DESTINATION} forced down')
    if story.side == 'armed':
        said = machines.run(SOURCE, 'runuser -u nova -- migsafe settle --yes --wait 600 '
                            f'--instance {story.guest.uuid} --peer-is-dead {DESTINATION} 2>&1',
                            check=False)
        story.say('migsafe settle: ' + ' '.join(said.split()))
    left = story.look()
    story.say(f'{len(left)} left while {DESTINATION} is off' + told(left))
    _switched_on(story)
    api.call('nova', 'PUT', f'/os-services/{service}', {'forced_down': False})


def _lvm(story: Story) -> None:
    """The source uses the guest's second volume itself, as LVM does by itself (incident 001)."""
    device = f'/dev/mapper/{story.wwid(1)}'
    machines.run(SOURCE, f'pvcreate -qq -f -y {device} && vgcreate -qq guest {device} && '
                         'lvcreate -qq -y -W n -L 16M -n data guest')
    story.say(f'{SOURCE} has a logical volume on the second volume')
    story.move(DESTINATION)
    story.moved()
    story.say(f'on {SOURCE}: ' + ' '.join(machines.run(SOURCE, 'dmsetup ls').split()))
    machines.run(SOURCE, 'vgchange -qq -an guest', check=False)
    story.say(f'volume group let go on {SOURCE}')


def _deleted(story: Story) -> None:
    _qemu_killed(story)
    api.call('nova', 'DELETE', f'/servers/{story.guest.uuid}')
    story.say('deletion asked for')
    api.wait('the guest to go', lambda: servers.gone(story.guest), servers.SLOW)
    story.say('deleted')


def _rebooted(story: Story) -> None:
    _qemu_killed(story)
    servers.act(story.guest, {'reboot': {'type': 'HARD'}})
    story.say('hard reboot asked for')
    story.say(f'server {api.wait("its end", lambda: servers.settled(story.guest), servers.SLOW)}')


def _detached(story: Story) -> None:
    _qemu_killed(story)
    volume = story.guest.volumes[1]
    api.call('nova', 'DELETE', f'/servers/{story.guest.uuid}/os-volume_attachments/{volume}')
    story.say('detaching the second volume asked for')
    api.wait('its end', lambda: servers.status(volume) in ('available', 'in-use', 'error'),
             servers.SLOW)
    story.say(f'volume {servers.status(volume)}')


def _by_hand(story: Story) -> None:
    """An operator has mapped the volume to a third initiator."""
    machines.python(servers.ARRAY, 'import rtslib_fb\n'
                    'for target in rtslib_fb.RTSRoot().targets:\n'
                    f' if "{story.guest.volumes[0]}" in target.wwn:\n'
                    f'  acl = rtslib_fb.NodeACL(next(target.tpgs), "{OPERATOR}", mode="create")\n'
                    '  rtslib_fb.MappedLUN(acl, 0, tpg_lun=0)')
    story.say(f'mapped to {OPERATOR} by hand')
    _qemu_killed(story)


SCENARIOS: Mapping[str, Scenario] = {
    'a': Scenario('live migration there and back', _there_and_back),
    'b': Scenario('abort through the API', _abort),
    'c': Scenario("the destination's QEMU is killed", _qemu_killed),
    'd-source': Scenario('nova-compute of the source is killed', _compute_killed(SOURCE)),
    'd-destination': Scenario('nova-compute of the destination is killed',
                              _compute_killed(DESTINATION)),
    'd-both': Scenario('nova-compute of both hosts is killed',
                       _compute_killed(SOURCE, DESTINATION)),
    'e': Scenario('the destination is powered off, and comes back', _power_off),
    'e-dead': Scenario('the destination is powered off, and an operator says that it is dead',
                       _never_back),
    'f-volume': Scenario('cinder-volume is killed, and started again', _away(
        'cinder-volume', lambda: machines.service(servers.ARRAY, 'kill'),
        lambda: machines.service(servers.ARRAY, 'start'))),
    'f-api': Scenario('cinder-api is killed, and started again', _away(
        'cinder-api', lambda: processes.end('cinder', signal.SIGKILL),
        lambda: control.start_services('cinder'))),
    'f-bus': Scenario('RabbitMQ is restarted', _away(
        'RabbitMQ', lambda: processes.end('rabbitmq'), control.rabbit)),
    'f-database': Scenario('MariaDB is restarted', _away(
        'MariaDB', lambda: processes.end('mariadb'), control.database)),
    'g': Scenario('both portals vanish from the destination', _portals),
    'h': Scenario('LVM is active on the source', _lvm, 1),
    'n-delete': Scenario('deleted right after a failed migration', _deleted, gone=True),
    'n-detach': Scenario('a volume is detached right after a failed migration', _detached, 1),
    'n-reboot': Scenario('hard reboot right after a failed migration', _rebooted),
    'q': Scenario('the volume is mapped to a third initiator by hand', _by_hand,
                  foreign=frozenset((OPERATOR,))),
    **{f'd{seed}': Scenario(
        f'nova-compute of {" and ".join(hosts)} is killed at a drawn moment',
        _compute_killed(*hosts, seed=seed))
       for seed, hosts in enumerate(itertools.islice(itertools.cycle((
           (SOURCE,), (DESTINATION,), (SOURCE, DESTINATION))), 10), 1)},
}
