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
"""Migrations in which nothing is killed but the guest's arriving copy."""

from __future__ import annotations

from migsafe.tests.cloud import api, bystander, servers
from migsafe.tests.cloud.story import Ended, Story


def there_and_back(story: Story) -> None:
    """Nothing goes wrong."""
    for where in (story.destination, story.source):
        story.move(where)
        story.moved()


def abort(story: Story) -> None:
    """Somebody asks for the end of it."""
    story.move()
    story.arriving()
    found = api.wait('a migration that runs', lambda: next(
        (one for one in servers.migrations(story.guest) if one['status'] == 'running'), None),
        servers.SLOW, 0.5)
    api.call('nova', 'DELETE', f'/servers/{story.guest.uuid}/migrations/{found["id"]}')
    story.say('abort asked for')
    story.moved()


def by_hand(story: Story) -> None:
    """An operator has mapped the guest's own volume to a third initiator."""
    bystander.map_by_hand(story.guest.volumes[0])
    story.say(f'mapped to {bystander.OPERATOR} by hand')
    try:
        story.failed()
    except Ended as ended:
        # migsafe's guard does not map it to one more host then
        if story.side == 'plain':
            raise
        story.say(str(ended))
