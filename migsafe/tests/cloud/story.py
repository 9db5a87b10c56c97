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

from keystoneauth1 import exceptions

from migsafe.tests.cloud import facts, judge, machines, processes, servers

#: Side -> seconds that all may take to come to rest; what is not gone then is residue. Nothing in
#: plain OpenStack looks for any.
REST = {'plain': 60.0, 'armed': 900.0}
#: Seconds after which a migration that has not come to its end is left to whoever finds it.
MOVED = 900.0
#: Seconds in which a guest that is well writes once.
WRITES = 120.0


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
    #: how many migrations the guest had had when the last one was asked for
    before: int = 0

    def say(self, what: str) -> None:
        """Write down what was done or seen."""
        self.events.append((round(time.monotonic() - self.began, 1), what))
        processes.say(f'{self.scenario} {self.side}: {what}')

    def move(self, where: str) -> None:
        """Start a live migration."""
        self.before = servers.migrate(self.guest, where)
        self.say(f'live migration to {where} asked for')

    def moved(self) -> str:
        """Wait for its end, or for so long that there will be none."""
        try:
            status = str(servers.moved(self.guest, self.before, MOVED)['status'])
        except TimeoutError:
            found = servers.migrations(self.guest)
            status = str(found[0]['status']) if found else 'not recorded'
        self.say(f'migration {status}; server {servers.show(self.guest)["status"]}')
        return status

    def look(self) -> list[judge.Finding]:
        """Judge in the middle of it."""
        return judge.judge(facts.gather(), self.guest.uuid, self.guest.volumes)

    def wwid(self, number: int) -> str:
        """Of one of its volumes."""
        seen = facts.gather()
        return judge.Case(seen, self.guest.uuid, self.guest.volumes, '').wwid(
            self.guest.volumes[number])

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


@dataclasses.dataclass(frozen=True)
class Scenario:
    """One of them.

    :param title: what happens
    :param act: does it; the guest is on the source
    :param more: volumes that the guest has besides the first
    :param gone: whether it deletes the guest
    :param foreign: initiators of an operator, who has mapped a volume by hand
    """

    title: str
    act: Act
    more: int = 0
    gone: bool = False
    foreign: frozenset[str] = frozenset()


def play(name: str, side: str, scenario: Scenario) -> Outcome:
    """Make a guest, do the scenario, judge, and take the guest away."""
    guest = servers.boot(f'{name}-{side}', 'cmp1', scenario.more)
    story = Story(name, side, guest)
    first: list[judge.Finding] = []
    error = ''
    try:
        scenario.act(story)
        first = look(guest, scenario)
        story.say(f'{len(first)} pieces of residue at first' + told(first))
        left = rest(guest, scenario, REST[side])
    except (processes.Failed, TimeoutError, exceptions.ClientException) as caught:
        error, left = str(caught), look(guest, scenario)
    seconds = time.monotonic() - story.began
    story.say('no residue' if not left else f'{len(left)} left' + told(left))
    outcome = Outcome(name, side, round(seconds, 1), story.events, first, left, error)
    try:
        servers.delete(guest, REST['armed'])
    except (TimeoutError, exceptions.ClientException) as caught:
        story.say(f'the guest cannot be taken away: {caught}')
    return outcome


def look(guest: servers.Guest, scenario: Scenario) -> list[judge.Finding]:
    """Judge once; also whether the guest goes on to write to its disk."""
    seen = facts.gather()
    if scenario.gone:
        return judge.gone(seen, guest.uuid, guest.volumes, scenario.foreign)
    found = judge.judge(seen, guest.uuid, guest.volumes, scenario.foreign)
    before = servers.written(guest.volumes[0])
    end = time.monotonic() + WRITES
    after = before
    while after == before and time.monotonic() < end:
        time.sleep(3)
        after = servers.written(guest.volumes[0])
    if not before or not after or after.name != f'{guest.name}-0' or after.count <= before.count:
        found.append(judge.Finding('guest', f'it does not write: {before}, then {after}'))
    return found


def rest(guest: servers.Guest, scenario: Scenario, seconds: float) -> list[judge.Finding]:
    """Judge until there is nothing or it has lasted too long."""
    end = time.monotonic() + seconds
    while (left := look(guest, scenario)) and time.monotonic() < end:
        time.sleep(5)
    return left


def told(found: list[judge.Finding]) -> str:
    """The same in words."""
    return ''.join(f'; {one.kind} {one.text}' for one in found)
