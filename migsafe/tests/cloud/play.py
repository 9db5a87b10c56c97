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
"""One scenario on one side: a guest for it, what is done, and what is found after it."""

from __future__ import annotations

import dataclasses
import time

from keystoneauth1 import exceptions

from migsafe.tests.cloud import (
    bystander,
    facts,
    journals,
    judge,
    logs,
    processes,
    servers,
    watch,
)
from migsafe.tests.cloud.story import Ended, Scenario, Story, told

#: Side -> seconds that all may take to come to rest; what is not gone then is residue. Nothing in
#: plain OpenStack looks for any.
REST = {'plain': 20.0, 'armed': 900.0}
#: Seconds for a guest to go with its volumes where migsafe is. Of plain OpenStack some never do,
#: since an attachment of the host that lost keeps the volume: that is residue which was counted
#: already, and nobody waits for it.
GOES = REST['armed']
#: Seconds in which a guest that is well writes once.
WRITES = 60.0
#: The kind of residue that is a word in Nova's database alone.
STATE = 'R6'


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came of it.

    :param seconds: until all was at rest
    :param at_first: residue right after the scenario
    :param between: what was there for a while that nobody may have at any time
    :param findings: residue that was still there at the end
    :param messages: (machine, line) that operators read
    :param error: why the scenario could not be brought to its end
    """

    scenario: str
    side: str
    seconds: float
    events: list[tuple[float, str]]
    at_first: list[judge.Finding]
    findings: list[judge.Finding]
    between: list[judge.Finding] = dataclasses.field(default_factory=list)
    messages: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    error: str = ''


class Stage:
    """Guests for scenarios; one that has come through one unharmed serves again.

    :param beside: what nobody may touch
    """

    def __init__(self, side: str, beside: bystander.Bystander) -> None:
        self._side, self.beside = side, beside
        self._ready: dict[int, servers.Guest] = {}
        self._made = 0

    def take(self, scenario: Scenario) -> servers.Guest:
        """A guest that writes to its disk.

        :raises processes.Failed: it could not be made
        """
        kept = None if scenario.body else self._ready.get(scenario.more)
        if kept and not (scenario.fixed and servers.host(kept) != bystander.HOST):
            return self._ready.pop(scenario.more)
        self._made += 1
        name = f'{self._side}-{self._made}-{time.strftime("%H%M%S")}'
        return servers.boot(name, bystander.HOST, scenario.more, **dict(scenario.body))

    def give_back(self, guest: servers.Guest, scenario: Scenario, left: set[str]) -> None:
        """Keep it if it is as it was, else take it away.

        :param left: kinds of residue; of a wrong state, an operator resets it by hand
        :raises TimeoutError: it does not go
        """
        if left == {STATE}:
            servers.act(guest, {'os-resetState': {'state': 'active'}})
        if left <= {STATE} and not (scenario.body or scenario.changed or scenario.foreign):
            self._ready[scenario.more], guest = guest, self._ready.get(scenario.more)
            if guest is None:
                return
        for initiator in scenario.foreign:
            bystander.unmap_by_hand(guest.volumes[0], initiator)
        self.take_away(guest)

    def take_away(self, guest: servers.Guest) -> None:
        """Delete it; where migsafe is, it has to go with its volumes.

        :raises TimeoutError: it does not
        """
        if self._side == 'plain':
            servers.let_go(guest)
        else:
            servers.delete(guest, GOES)

    def close(self) -> None:
        """Take all away that are left, and say of which that cannot be done."""
        for guest in self._ready.values():
            try:
                servers.delete(guest, GOES)
            except (TimeoutError, exceptions.ClientException) as error:
                processes.say(f'{self._side}: {guest.name} does not go: {error}')
        self._ready.clear()


def play(name: str, side: str, scenario: Scenario, stage: Stage) -> Outcome:
    """Do it, judge, and tell."""
    try:
        guest = stage.take(scenario)
    except (processes.Failed, TimeoutError, exceptions.ClientException) as error:
        return Outcome(name, side, 0, [], [], [], error=f'no guest: {error}')
    story = Story(name, side, guest, servers.host(guest), stage.beside)
    outcome = _played(story, scenario)
    try:
        if side == 'armed':
            story.say(f'{journals.settled()} transactions not settled')
        for other in story.others:
            stage.take_away(other)
        left = {one.kind for one in (*outcome.findings, *outcome.between)}
        stage.give_back(story.guest, scenario, left | {'error'} if outcome.error else left)
        if 'foreign' in left:
            stage.beside = bystander.another()
    except (processes.Failed, TimeoutError, exceptions.ClientException) as error:
        story.say(f'the guest cannot be taken away: {error}')
    return outcome


def _played(story: Story, scenario: Scenario) -> Outcome:
    before, first, error = logs.marks(), list[judge.Finding](), ''
    left: list[judge.Finding] = []
    with watch.watching(story.guest.uuid, story.say):
        try:
            scenario.act(story)
        except (Ended, processes.Failed, TimeoutError, exceptions.ClientException) as caught:
            error = f'{type(caught).__name__}: {caught}'
            story.say(error)
        try:
            first = left = look(story, scenario)
            story.say(f'{len(first)} pieces of residue at first' + told(first))
            left = first and rest(story, scenario, REST[story.side])
        except processes.Failed as caught:
            error = f'it cannot be judged: {caught}'
            story.say(error)
    seconds = time.monotonic() - story.began
    story.say('no residue' if not left else f'{len(left)} left' + told(left))
    return Outcome(story.scenario, story.side, round(seconds, 1), story.events, first, left,
                   story.between, logs.since(before, story.guest.uuid, *story.guest.volumes),
                   error)


def look(story: Story, scenario: Scenario) -> list[judge.Finding]:
    """Judge once; also whether the guest goes on to write to its disk."""
    seen = facts.gather()
    found = bystander.judged(seen, story.beside)
    for guest in story.guests:
        how = judge.gone if scenario.gone else judge.judge
        found += how(seen, guest.uuid, guest.volumes, scenario.foreign)
        if not scenario.gone:
            found += _writing(guest)
    return found


def _writing(guest: servers.Guest) -> list[judge.Finding]:
    """Whether it goes on to write, and to its own disk."""
    after = before = servers.written(guest.volumes[0])
    end = time.monotonic() + WRITES
    while after == before and time.monotonic() < end:
        time.sleep(1)
        after = servers.written(guest.volumes[0])
    if not before or not after or after.name != f'{guest.name}-0' or after.count <= before.count:
        return [judge.Finding('guest', f'it does not write: {before}, then {after}')]
    return []


def rest(story: Story, scenario: Scenario, seconds: float) -> list[judge.Finding]:
    """Judge until there is nothing or it has lasted too long."""
    end = time.monotonic() + seconds
    while (left := look(story, scenario)) and time.monotonic() < end:
        time.sleep(5)
    return left
