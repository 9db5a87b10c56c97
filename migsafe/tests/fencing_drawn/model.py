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
"""What happens to a drawn cloud, in seconds of its own time, and what a checker sees of it.

Hosts to which nothing happens are only counted. Nothing here knows a rule.
"""

from __future__ import annotations

import dataclasses
import random
from typing import Any

from migsafe.fencing.signs import Sign

HOSTS = 1000
LENGTH, STEP = 1200, 60
STALE = 60
LOOKS = 3
#: Ways to a host; a BMC has a network of its own, which few partitions touch.
PLANES = ('in', 'out', 'tenant', 'storage', 'bmc')
PARTITIONS = {
    'none': (), 'full': PLANES, 'all-but-bmc': PLANES[:4], 'one-way-in': ('in',),
    'one-way-out': ('out',), 'management': ('in', 'out'), 'storage': ('storage',),
    'tenant': ('tenant',), 'bmc': ('bmc',), 'management-and-storage': ('in', 'out', 'storage'),
}
#: power: it is off from then on; hang: its kernel stands still, with power; service: nova-compute
#: is stopped and its guests run; reboot: it comes back without them.
FATES = ('fine', 'fine', 'power', 'power', 'hang', 'service', 'reboot')
BMCS = ('true', 'true', 'true', 'dead', 'says-off', 'says-on', 'another-machine')
#: Who forces a host down: nobody; who has fenced it first; a script that believes a heartbeat.
WORDS = ('nobody', 'fencer', 'fencer', 'fencer', 'fencer', 'script')


@dataclasses.dataclass
class Host:
    """One host to which something happens, from ``at`` on."""

    fate: str
    at: int
    bmc: str
    word: str
    partition: tuple[str, ...]
    begins: int
    ends: int
    flaps: int
    loses: float
    back: int
    #: when somebody switches it off, or finds that it is
    fenced: int = LENGTH * 2
    beats: dict[int, int] = dataclasses.field(default_factory=dict)
    seen: dict[int, Any] = dataclasses.field(default_factory=dict)

    def alive(self, now: int) -> bool:
        """Whether its kernel runs."""
        if now >= self.fenced:
            return False
        if self.fate == 'reboot':
            return not self.at <= now < self.back
        return self.fate not in ('power', 'hang') or now < self.at

    def guest_runs(self, now: int) -> bool:
        """Whether a second copy would be one; a host that boots again starts none."""
        return self.alive(now) and not (self.fate == 'reboot' and now >= self.at)

    def serves(self, now: int) -> bool:
        """Whether nova-compute runs."""
        return self.alive(now) and not (self.fate == 'service' and now >= self.at)

    def powered(self, now: int) -> bool:
        """Whether it has power."""
        return now < self.fenced and not (self.fate == 'power' and now >= self.at)

    def up(self, plane: str, now: int) -> bool:
        """Whether a way to it is open."""
        if plane not in self.partition or not self.begins <= now < self.ends:
            return True
        return self.flaps > 0 and (now - self.begins) // self.flaps % 2 == 1


@dataclasses.dataclass
class Cloud:
    """One drawn schedule.

    :param lost: hosts that fall silent with the drawn ones, as many as share their fate
    :param restart: when no heartbeat is recorded: controllers restart, or the database is away
    :param blind: when the checker itself is cut off
    :param skew: seconds that the clock of who records heartbeats is ahead
    """

    hosts: list[Host]
    lost: int
    restart: range
    blind: range
    skew: int
    dice: random.Random
    silent: dict[int, int] = dataclasses.field(default_factory=dict)

    def last_beat(self, host: Host, now: int) -> int:
        """When Nova last heard of it; it reports every ten seconds."""
        moment = now - now % 10
        if moment not in host.beats:
            heard = moment not in self.restart and host.serves(moment) and host.up('out', moment)
            host.beats[moment] = moment if heard or moment <= 0 \
                else self.last_beat(host, moment - 10)
        return host.beats[moment]

    def silent_others(self, now: int) -> int:
        """How many other hosts have no heartbeat of late."""
        if now not in self.silent:
            self.silent[now] = self._silent_others(now)
        return self.silent[now]

    def _silent_others(self, now: int) -> int:
        if len(self.restart) > STALE and self.restart.start + STALE < now < self.restart.stop:
            return HOSTS - 1
        return sum(1 for host in self.hosts if now - self.last_beat(host, now) > STALE
                   and not self.declared(host, now)) * max(1, self.lost // len(self.hosts))

    def declared(self, host: Host, now: int) -> bool:
        """Whether it is forced down by now."""
        if host.word == 'fencer':
            return now >= host.fenced + 10
        return host.word == 'script' and now - self.last_beat(host, now) > STALE

    def looks(self, host: Host, now: int) -> tuple[tuple[tuple[Sign, ...], ...], bool]:
        """(what each probe sees in each look, whether a heartbeat came in between)."""
        known = host.seen.get(now)
        if known is None:
            seen = tuple(tuple(self._look(host, now + number)) for number in range(LOOKS))
            known = host.seen[now] = (
                tuple(zip(*seen, strict=True)),
                self.last_beat(host, now) != self.last_beat(host, now + LOOKS - 1))
        return known

    def _look(self, host: Host, now: int) -> list[Sign]:
        age = now - self.last_beat(host, now) - self.skew
        open_ = {plane: now not in self.blind and host.up(plane, now) for plane in PLANES}
        answers = {way: open_[way] and self.dice.random() >= host.loses
                   for way in ('in', 'tenant', 'storage')}
        guest = Sign.GUEST_RUNS if host.guest_runs(now) else Sign.GUEST_GONE
        return [
            Sign.STALE if age > STALE else Sign.NOTHING,
            Sign.DECLARED if self.declared(host, now) else Sign.NOTHING,
            guest if answers['in'] and open_['out'] and host.serves(now) else Sign.SILENT,
            guest if answers['storage'] and host.alive(now) else Sign.SILENT,
            Sign.REACHABLE if answers['tenant'] and host.alive(now) else Sign.SILENT,
            self._bmc(host, now) if open_['bmc'] else Sign.NOTHING]

    @staticmethod
    def _bmc(host: Host, now: int) -> Sign:
        """One of another machine has another UUID, so that the probe does not believe it."""
        return {'says-off': Sign.OFF, 'says-on': Sign.POWERED,
                'true': Sign.POWERED if host.powered(now) else Sign.OFF}.get(
                    host.bmc, Sign.NOTHING)


def draw(seed: int) -> Cloud:
    """A cloud with one to three kinds of hosts that fail, alone or with many that share it."""
    dice = random.Random(seed)
    hosts = [_host(dice) for _number in range(dice.randint(1, 3))]
    restart, blind = dice.randrange(LENGTH), dice.randrange(LENGTH)
    return Cloud(
        hosts, dice.choice((1, 1, 1, 1, 3, 50, 290, 400, 900)),
        range(restart, restart + dice.choice((0, 0, 30, 200))),
        range(blind, blind + dice.choice((0, 0, 90, 400))),
        dice.choice((0, 0, 0, -300, -40, 40, 300)), dice)


def _host(dice: random.Random) -> Host:
    at, begins = dice.randrange(30, 500), dice.randrange(30, 500)
    host = Host(
        dice.choice(FATES), at, dice.choice(BMCS), dice.choice(WORDS),
        PARTITIONS[dice.choice(list(PARTITIONS))], begins, begins + dice.choice((50, 300, 2000)),
        dice.choice((0, 0, 0, 15, 40, 90)), dice.choice((0, 0, 0, .1, .5, .95)),
        at + dice.randrange(60, 400))
    trouble = host.fate != 'fine' or host.partition
    if host.word == 'fencer' and trouble:
        # Over a BMC it takes a minute or two. By hand, where the BMC cannot be trusted: that is
        # seen on the console, and it takes longer.
        soon = host.bmc == 'true' and 'bmc' not in host.partition
        host.fenced = at + (dice.randrange(60, 240) if soon else dice.randrange(300, 900))
    if host.word == 'script' and host.bmc == 'says-off':
        # One witness may be false, and not two of the same host.
        host.bmc = 'true'
    return host
