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
"""How long a healthy live migration takes, plain and armed, in turns in one cloud.

Memory goes over as fast as it can here: what migsafe adds is not hidden behind that.
"""

from __future__ import annotations

import statistics
import time

from migsafe.tests.cloud import api, bystander, places, processes, servers, side
from migsafe.tests.cloud.play import Stage
from migsafe.tests.cloud.story import Scenario

#: Migrations of a guest before the services are restarted with the other configuration.
TURN = 10
#: The first migrations of a service start its privileged helpers, and are not counted.
WARM = 2
_GUEST = Scenario('', lambda story: None)


def measure(count: int, beside: bystander.Bystander) -> dict[str, list[float]]:
    """Migrate there and back.

    :param count: migrations of each side; each turn has ten
    :returns: side -> seconds of each
    """
    found: dict[str, list[float]] = {one: [] for one in side.SIDES}
    while any(len(times) < count for times in found.values()):
        for one, times in found.items():
            side.take(one, bandwidth=0)
            stage = Stage(one, beside)
            guest = stage.take(_GUEST)
            for number in range(WARM + min(TURN, count - len(times))):
                seconds = _migrate(guest, tuple(places.COMPUTES)[1 - number % 2])
                processes.say(f'{one}: {seconds:.1f} s')
                if number >= WARM:
                    times.append(seconds)
            stage.give_back(guest, _GUEST, {'used'})
    return found


def _migrate(guest: servers.Guest, where: str) -> float:
    before, start = servers.migrate(guest, where), time.monotonic()

    def ended() -> str | None:
        found, *others = servers.migrations(guest) or [{}]
        status = found.get('status') if len(others) == before else None
        return str(status) if status in servers.ENDED else None
    status = api.wait('the migration', ended, servers.SLOW, 0.2)
    if status != 'completed':
        raise processes.Failed(f'a healthy migration is {status}')
    api.wait('its task to end', lambda: servers.settled(guest), servers.SLOW, 0.2)
    return time.monotonic() - start


def told(found: dict[str, list[float]]) -> str:
    """Medians and spread, in words."""
    lines = []
    for one, times in found.items():
        low, median, high = statistics.quantiles(times, n=4)
        lines.append(f'{one}: {len(times)} migrations, median {median:.1f} s, half of them '
                     f'between {low:.1f} and {high:.1f} s, all between {min(times):.1f} and '
                     f'{max(times):.1f} s')
    plain, armed = (statistics.median(found[one]) for one in side.SIDES)
    return '\n'.join([*lines, f'armed to plain: {armed / plain:.2f}'])
