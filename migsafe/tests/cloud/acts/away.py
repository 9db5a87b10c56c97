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
"""Something that a migration needs goes away in the middle of it, and comes back."""

from __future__ import annotations

import time
from collections.abc import Callable

from migsafe.tests.cloud import network, places, proxy, servers
from migsafe.tests.cloud.story import Act, Ended, Story

#: Seconds for which connections are cut, and between two cuts.
CUTS, PAUSE = 60.0, 2.0


def service(what: str, begin: Callable[[], object], end: Callable[[], object]) -> Act:
    """The transfer fails while something that the rollback needs is away."""
    def act(story: Story) -> None:
        story.move()
        story.arriving()
        begin()
        story.say(f'{what}: gone')
        story.qemu_killed()
        end()
        story.say(f'{what}: there again')
        story.moved()
    return act


def portals(story: Story) -> None:
    """Both portals vanish from the destination, and then its guest."""
    story.move()
    story.arriving()
    for bridge in places.BRIDGES[1:]:
        network.cut(story.destination, bridge)
    story.say(f'{story.destination} has no portal')
    story.qemu_killed()
    story.moved()
    for bridge in places.BRIDGES[1:]:
        network.join(story.destination, bridge)
    story.say(f'{story.destination} has its portals again')


def connections(story: Story) -> None:
    """haproxy cuts connections between the services, again and again (incident 003)."""
    story.move()
    story.arriving()
    end, cuts = time.monotonic() + CUTS, 0
    while time.monotonic() < end and servers.migrations(story.guest)[0][
            'status'] not in servers.ENDED:
        proxy.cut()
        cuts += 1
        time.sleep(PAUSE)
    if not cuts:
        raise Ended('no connection was cut')
    story.say(f'all connections cut {cuts} times')
    story.moved()
