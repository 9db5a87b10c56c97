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
"""A service or a whole machine is killed in the middle of a migration."""

from __future__ import annotations

import random
import time

from migsafe.tests.cloud import api, machines, processes, servers, side
from migsafe.tests.cloud.story import LEFT, Act, Ended, Story, told

#: Seconds of a live migration in which something happens to it at a drawn moment.
LONG = 50.0
#: Hosts, as a story names them.
SOURCE, DESTINATION = 'source', 'destination'


def compute(*roles: str, seed: int | None = None) -> Act:
    """Kill and start nova-compute.

    :param roles: of the hosts
    :param seed: of the moment, from the beginning of the migration to about its end; None while
        memory goes over
    """
    def act(story: Story) -> None:
        moment = random.Random(seed).uniform(0, LONG)
        story.move()
        if seed is None:
            story.arriving()
        else:
            time.sleep(moment)
            story.say(f'{moment:.1f} s later')
        if story.over():
            raise Ended('the migration was over before the kill')
        hosts = [str(getattr(story, role)) for role in roles]
        killed(story, *hosts)
        started(story, *hosts)
        story.moved(LEFT)
    return act


def killed(story: Story, *hosts: str) -> None:
    """Kill nova-compute."""
    for host in hosts:
        machines.service(host, 'kill')
        story.say(f'nova-compute on {host} killed')


def started(story: Story, *hosts: str) -> None:
    """Start it, and wait until it reports."""
    before = side.reports()
    for host in hosts:
        machines.service(host, 'start')
        story.say(f'nova-compute on {host} started')
    api.wait('nova-compute to report', lambda: all(
        side.reports().get(host) not in (None, before.get(host)) for host in hosts), servers.SLOW)


def power_off(story: Story) -> None:
    """The destination loses its power, and has it again."""
    off(story)
    on(story)


def off(story: Story) -> None:
    """It loses its power."""
    story.move()
    story.arriving()
    machines.power_off(story.destination)
    machines.forget(story.destination)
    story.say(f'{story.destination} powered off')
    story.moved(LEFT * 2)


def on(story: Story) -> None:
    """It has it again."""
    machines.power_on(story.destination)
    processes.until(lambda: machines.ready(story.destination), servers.SLOW, story.destination, 2)
    story.say(f'{story.destination} is on again')


def never_back(story: Story) -> None:
    """An operator says that the destination is dead; it is mended later, with nothing to do."""
    off(story)
    with down(story.destination):
        story.say(f'{story.destination} forced down')
        if story.side == 'armed':
            said = machines.run(story.source, (
                'runuser -u nova -- migsafe settle --yes --wait 600 --instance '
                f'{story.guest.uuid} --peer-is-dead {story.destination} 2>&1'), check=False)
            story.say('migsafe settle: ' + ' '.join(said.split()))
        left = story.look()
        story.say(f'{len(left)} left while {story.destination} is off' + told(left))
        on(story)


class down:
    """Nova is told that a compute host is down, for as long as the block runs."""

    def __init__(self, host: str) -> None:
        self._service = next(one['id'] for one in api.call(
            'nova', 'GET', f'/os-services?binary=nova-compute&host={host}')['services'])

    def __enter__(self) -> None:
        self._set(True)

    def __exit__(self, *_: object) -> None:
        self._set(False)

    def _set(self, what: bool) -> None:
        api.call('nova', 'PUT', f'/os-services/{self._service}', {'forced_down': what})


def last_commit(story: Story) -> None:
    """The source stops after the guest has left, and comes back while it is moved again."""
    story.move()
    story.arriving()
    # this command has the uuid in it, too, and does not end before itself
    uuid = f'[{story.guest.uuid[0]}]{story.guest.uuid[1:]}'
    machines.run(story.source, f'qemu=$(pgrep -o -f "{uuid}") || exit 0; '
                               f'timeout {servers.SLOW:.0f} tail -f -s 0.1 --pid $qemu /dev/null')
    killed(story, story.source)
    story.moved(LEFT)
    started(story, story.source)
    try:
        story.move(story.source)
    except api.Refused as error:
        story.say(f'refused: {error}')
        return
    killed(story, story.source)
    started(story, story.source)
    story.moved(LEFT)


def evacuated(story: Story) -> None:
    """A script takes the silence of nova-compute for the death of its guest (incident 004)."""
    machines.service(story.source, 'stop')
    story.say(f'nova-compute on {story.source} stopped; the guest runs on')
    api.wait('Nova to take it for down', lambda: _state(story.source) == 'down', servers.SLOW)
    story.say(f'Nova takes {story.source} for down; evacuation to {story.destination} asked for')
    try:
        servers.act(story.guest, {'evacuate': {'host': story.destination}}, 'compute 2.94')
        api.wait('its end', lambda: servers.settled(story.guest), servers.SLOW)
    except api.Refused as error:
        story.say(f'refused: {error}')
    story.meanwhile()
    story.say(f'server {servers.show(story.guest)["status"]} on {servers.host(story.guest)}')
    started(story, story.source)


def _state(host: str) -> str:
    return next(str(one['state']) for one in api.call(
        'nova', 'GET', f'/os-services?binary=nova-compute&host={host}')['services'])


def five_at_once(story: Story) -> None:
    """Five guests move at once, nova-compute of the destination is killed, and all move again."""
    others = servers.boot_all([f'{story.guest.name[:12]}-{number}' for number in range(2, 6)],
                              story.source)
    story.others += others
    guests = [story.guest, *others]
    for where, harm in ((story.destination, True), (story.source, False)):
        before = {guest: servers.migrate(guest, where) for guest in guests
                  if servers.host(guest) != where}
        story.say(f'{len(before)} live migrations to {where} asked for')
        if harm:
            time.sleep(LONG)
            killed(story, story.destination)
            started(story, story.destination)
        ends = [_ended(guest, count, LEFT * 2 if harm else LEFT * 10)
                for guest, count in before.items()]
        story.say('migrations: ' + ', '.join(ends))
        if story.side == 'armed':
            story.rested()


def _ended(guest: servers.Guest, before: int, patience: float) -> str:
    try:
        return str(servers.moved(guest, before, patience)['status'])
    except TimeoutError:
        return str(next(iter(servers.migrations(guest)), {'status': 'not recorded'})['status'])


def of_seed(seed: int) -> tuple[str, ...]:
    """Where nova-compute is killed in the drawn case of this number."""
    return ((SOURCE,), (DESTINATION,), (SOURCE, DESTINATION))[seed % 3]
