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

import dataclasses
from collections.abc import Mapping

from migsafe.tests.cloud import api, machines, places, processes, servers
from migsafe.tests.cloud.story import Act, Story

SOURCE, DESTINATION = places.COMPUTES


@dataclasses.dataclass(frozen=True)
class Scenario:
    """One of them.

    :param title: what happens
    :param act: does it; the guest is on the source
    :param more: volumes that the guest has besides the first
    """

    title: str
    act: Act
    more: int = 0


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


def _compute_killed(*hosts: str) -> Act:
    def act(story: Story) -> None:
        story.move(DESTINATION)
        story.until_arriving(DESTINATION)
        for host in hosts:
            machines.service(host, 'kill')
            story.say(f'nova-compute on {host} killed')
        for host in hosts:
            machines.service(host, 'start')
            story.say(f'nova-compute on {host} started')
        story.moved()
    return act


def _power_off(story: Story) -> None:
    story.move(DESTINATION)
    story.until_arriving(DESTINATION)
    machines.power_off(DESTINATION)
    machines.forget(DESTINATION)
    story.say(f'{DESTINATION} powered off')
    story.moved()
    machines.power_on(DESTINATION)
    processes.until(lambda: machines.ready(DESTINATION), machines.READY, DESTINATION, 5)
    story.say(f'{DESTINATION} is on again')


def _lvm(story: Story) -> None:
    """The source uses the guest's second volume itself, as LVM does by itself (incident 001)."""
    wwn = machines.run('array', f'python3 -c "import rtslib_fb; print([one.wwn for one in '
                                f'rtslib_fb.RTSRoot().storage_objects if '
                                f'\'{story.guest.volumes[1]}\' in one.udev_path][0])"').strip()
    device = f'/dev/mapper/36001405{wwn.replace("-", "")[:25]}'
    machines.run(SOURCE, f'pvcreate -qq -f -y {device} && vgcreate -qq guest {device} && '
                         'lvcreate -qq -y -W n -L 16M -n data guest')
    story.say(f'{SOURCE} has a logical volume on the second volume')
    story.move(DESTINATION)
    story.moved()
    story.say(f'on {SOURCE}: ' + ' '.join(machines.run(SOURCE, 'dmsetup ls').split()))
    machines.run(SOURCE, 'vgchange -qq -an guest', check=False)
    story.say(f'volume group let go on {SOURCE}')


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
    'h': Scenario('LVM is active on the source', _lvm, 1),
}
