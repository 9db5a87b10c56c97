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
"""One scenario on one side, plain or protected: what was done, and what was found after it."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable

from migsafe.tests.cloud import facts, judge, machines, processes, servers

#: Seconds that all may take to come to rest; what is not gone then is residue.
REST = 300.0


@dataclasses.dataclass
class Story:
    """What a scenario is told to act on, and writes into.

    :param side: "plain" or "armed"
    :param guest: on cmp1 at the beginning
    :param events: (seconds since the beginning, what was seen)
    """

    scenario: str
    side: str
    guest: servers.Guest
    began: float = dataclasses.field(default_factory=time.monotonic)
    events: list[tuple[float, str]] = dataclasses.field(default_factory=list)

    def say(self, what: str) -> None:
        """Write down what was done or seen."""
        self.events.append((round(time.monotonic() - self.began, 1), what))
        processes.say(f'{self.scenario} {self.side}: {what}')

    def move(self, where: str) -> None:
        """Start a live migration."""
        servers.migrate(self.guest, where)
        self.say(f'live migration to {where} asked for')

    def moved(self) -> str:
        """Wait for its end."""
        status = str(servers.moved(self.guest)['status'])
        self.say(f'migration {status}; server {servers.show(self.guest)["status"]}')
        return status

    def until_arriving(self, where: str) -> None:
        """Wait until the destination has a QEMU of the guest, which is when memory goes over."""
        processes.until(lambda: machines.run(where, f'pgrep -f {self.guest.uuid}', check=False),
                        servers.SLOW, f'a QEMU on {where}', pause=0.5)
        self.say(f'QEMU of the guest is on {where}')


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came of it.

    :param seconds: until all was at rest
    :param findings: residue that was still there then
    :param at_first: residue right after the scenario
    :param error: why the scenario could not be brought to its end
    """

    scenario: str
    side: str
    seconds: float
    events: list[tuple[float, str]]
    at_first: list[judge.Finding]
    findings: list[judge.Finding]
    error: str = ''


Act = Callable[[Story], None]


def play(scenario: str, side: str, act: Act, more: int) -> Outcome:
    """Make a guest, do the scenario, judge, and take the guest away.

    :param more: volumes that the guest has besides the first
    """
    guest = servers.boot(f'{scenario}-{side}', 'cmp1', more)
    story = Story(scenario, side, guest)
    first: list[judge.Finding] = []
    error = ''
    try:
        act(story)
        first = look(guest)
        story.say(f'{len(first)} pieces of residue at first')
        left = rest(guest)
    except (processes.Failed, TimeoutError) as caught:
        error, left = str(caught), look(guest)
    seconds = time.monotonic() - story.began
    story.say('; '.join(f'{one.kind} {one.text}' for one in left) or 'no residue')
    return Outcome(scenario, side, round(seconds, 1), story.events, first, left, error)


def look(guest: servers.Guest) -> list[judge.Finding]:
    """Judge once; also whether the guest goes on to write to its disk."""
    found = judge.judge(facts.gather(), guest.uuid, guest.volumes)
    before = servers.written(guest.volumes[0])
    time.sleep(5)
    after = servers.written(guest.volumes[0])
    if not before or not after or after.name != f'{guest.name}-0' or after.count <= before.count:
        found.append(judge.Finding('guest', f'it does not write: {before}, then {after}'))
    return found


def rest(guest: servers.Guest) -> list[judge.Finding]:
    """Judge until there is nothing or it has lasted too long."""
    end = time.monotonic() + REST
    while (left := look(guest)) and time.monotonic() < end:
        time.sleep(5)
    return left

