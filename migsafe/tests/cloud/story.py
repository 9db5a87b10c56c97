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
"""A scenario while it goes on: what it acts on, and what is written down of it."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable

from migsafe.tests.cloud import bystander, facts, judge, machines, places, processes, servers

#: Seconds after which a migration that has not come to its end is left to whoever finds it.
MOVED = 900.0
#: The same where what would end it was killed and has come back.
LEFT = 60.0


class Ended(Exception):
    """The migration was over before what was to go wrong in it: nothing was shown."""


@dataclasses.dataclass
class Story:
    """What a scenario is told to act on, and writes into.

    :param side: "plain" or "armed"
    :param source: where the guest is at the beginning
    :param beside: what nobody may touch
    :param events: (seconds since the beginning, what was done or seen)
    :param between: residue that was there for a while, and that nobody may have at any time
    """

    scenario: str
    side: str
    guest: servers.Guest
    source: str
    beside: bystander.Bystander
    began: float = dataclasses.field(default_factory=time.monotonic)
    events: list[tuple[float, str]] = dataclasses.field(default_factory=list)
    between: list[judge.Finding] = dataclasses.field(default_factory=list)
    #: how many migrations the guest had had when the last one was asked for
    before: int = 0
    #: more of them, that are judged, too
    others: list[servers.Guest] = dataclasses.field(default_factory=list)

    @property
    def guests(self) -> list[servers.Guest]:
        """All of them."""
        return [self.guest, *self.others]

    def say(self, what: str) -> None:
        """Write down what was done or seen."""
        self.events.append((round(time.monotonic() - self.began, 1), what))
        processes.say(f'{self.scenario} {self.side}: {what}')

    @property
    def destination(self) -> str:
        """The other compute host."""
        return next(host for host in places.COMPUTES if host != self.source)

    def move(self, where: str = '') -> None:
        """Start a live migration, to the destination if no host is named."""
        where = where or self.destination
        self.before = servers.migrate(self.guest, where)
        self.say(f'live migration to {where} asked for')

    def moved(self, patience: float = MOVED) -> str:
        """Wait for its end, or for so many seconds that there will be none."""
        try:
            status = str(servers.moved(self.guest, self.before, patience)['status'])
        except TimeoutError:
            found = servers.migrations(self.guest)
            status = str(found[0]['status']) if found else 'not recorded'
        self.say(f'migration {status}; server {servers.show(self.guest)["status"]}')
        return status

    def over(self) -> bool:
        """Whether the migration that was asked for has ended."""
        found = servers.migrations(self.guest)
        return len(found) > self.before and found[0]['status'] in servers.ENDED

    def arriving(self) -> None:
        """Wait until the destination has a QEMU of the guest, which is when memory goes over.

        :raises Ended: it never had one
        """
        where, end = self.destination, time.monotonic() + servers.SLOW
        while not self._there(where):
            time.sleep(0.5)
            if self.over():
                raise Ended(f'the migration was over before the guest came to {where}')
            if time.monotonic() > end:
                raise TimeoutError(f'waited {servers.SLOW:.0f} s for a QEMU on {where}')
        self.say(f'QEMU of the guest is on {where}')

    def _there(self, where: str) -> bool:
        """The machine is asked only when it may be so: to be asked slows it down by a third."""
        found = servers.migrations(self.guest)
        return len(found) > self.before and found[0]['status'] == 'running' and bool(
            machines.run(where, f'pgrep -f {self.guest.uuid}', check=False))

    def qemu_killed(self) -> None:
        """Kill the guest's QEMU there."""
        where = self.destination
        if not machines.run(where, f'pkill -9 -e -f {self.guest.uuid}', check=False):
            raise Ended(f'there was no QEMU on {where} to kill')
        self.say(f'QEMU on {where} killed')

    def failed(self) -> None:
        """A live migration that fails, as most of them do in what follows."""
        self.move()
        self.arriving()
        self.qemu_killed()
        self.moved()

    def meanwhile(self) -> None:
        """Note what is there now of what nobody may have, not even for a while."""
        seen = facts.gather()
        running = judge.running(seen, self.guest.uuid)
        found = bystander.judged(seen, self.beside)
        if len(running) > 1:
            found.append(judge.Finding('guest', f'it runs on {" and ".join(running)}'))
        self.between += found
        self.say(f'meanwhile: it runs on {" and ".join(running) or "no host"}' + told(found))

    def wrong(self, kind: str, text: str) -> None:
        """Note something else that may not be."""
        self.between.append(judge.Finding(kind, text))
        self.say(f'wrong: {text}')

    def look(self) -> list[judge.Finding]:
        """Judge all of its guests in the middle of it."""
        seen = facts.gather()
        return [found for guest in self.guests
                for found in judge.judge(seen, guest.uuid, guest.volumes)]

    def rested(self) -> None:
        """Wait until there is no residue, if it does not take too long."""
        end = time.monotonic() + MOVED
        while (left := self.look()) and time.monotonic() < end:
            time.sleep(5)
        self.say(f'{len(left)} left' + told(left))

    def wwid(self, number: int) -> str:
        """Of one of the guest's volumes."""
        return judge.wwid(facts.gather(), self.guest.volumes[number])

    def settled(self) -> str:
        """Wait until no task is left; its status."""
        def seen() -> str | None:
            return servers.settled(self.guest)
        status = str(servers.api.wait('its task to end', seen, servers.SLOW))
        self.say(f'server {status}')
        return status


def told(found: list[judge.Finding]) -> str:
    """The same in words."""
    return ''.join(f'; {one.kind} {one.text}' for one in found)


Act = Callable[[Story], None]


@dataclasses.dataclass(frozen=True)
class Scenario:
    """One of them.

    :param title: what happens
    :param act: does it
    :param more: volumes that the guest has besides the first
    :param gone: whether it deletes the guest
    :param foreign: initiators of an operator, who has mapped a volume of the guest by hand
    :param body: what else the guest is asked for with
    :param fixed: whether it has to be on cmp1
    :param changed: whether it is another guest after that, which does not serve again
    """

    title: str
    act: Act
    more: int = 0
    gone: bool = False
    foreign: frozenset[str] = frozenset()
    body: tuple[tuple[str, object], ...] = ()
    fixed: bool = False
    changed: bool = False
