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
"""migsafe is enabled on one host after the other, and disabled again."""

from __future__ import annotations

from migsafe.tests.cloud import places, servers, side
from migsafe.tests.cloud.story import Story, told

CMP1, CMP2 = places.COMPUTES
#: Which compute hosts have it, in this order; the storage host keeps what it has.
STEPS = (frozenset((CMP1,)), frozenset((CMP2,)), frozenset[str](), frozenset((CMP1, CMP2)))


def upgrade(story: Story) -> None:
    """A migration fails at each step, and one there and back succeeds."""
    for hosts in STEPS:
        if story.side == 'armed':
            side.arm(hosts, *places.COMPUTES)
            story.say(f'migsafe on {", ".join(sorted(hosts)) or "no host"}')
        if servers.host(story.guest) == story.source:
            story.failed()
        left = story.look()
        story.say(f'{len(left)} left' + told(left))
        if servers.show(story.guest)['status'] == 'ERROR':
            servers.act(story.guest, {'os-resetState': {'state': 'active'}})
            story.say('state reset by hand')
        for where in (story.destination, story.source):
            story.move(where)
            story.moved()
