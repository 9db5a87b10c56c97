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

from migsafe.fencing.signs import Sign

HOSTS = 1000
LENGTH, STEP = 1200, 60
STALE = 60
LOOKS = 3
#: [migsafe] fleet_loss_percent.
LOSS = 30
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
#: One that says off or on says so whatever is true, and does nothing.
BMCS = ('true', 'true', 'true', 'dead', 'says-off', 'says-on', 'another-machine')
#: What the storage says of a host: who has its volumes open, and what came of it of late; only
#: the former; the former of a dead host, for long; nothing; the same as at first, and does not
#: cut anything off; that it accepts nothing, whatever is true.
STORAGES = (*('true',) * 6, 'idle', 'idle', 'lingers', 'mute', 'refuses', 'says-cut')
#: Seconds for which it takes a host for one that has volumes open after that has died, and the
#: same of one that lingers.
LINGER, LONG = 30, 900
#: The heartbeat on shared storage: as it is, a copy of before, one that somebody forges.
BEATS = (*('true',) * 8, 'stale', 'forged')
#: Who answers at libvirt's address: the host, or another machine, which does not have the guest.
LIBVIRTS = (*('true',) * 9, 'another-machine')
#: Who forces a host down: nobody; who has fenced it first; a script that believes a heartbeat;
#: somebody long ago, who has not taken it back.
WORDS = ('nobody', 'fencer', 'fencer', 'fencer', 'fencer', 'script', 'stale')
FALSE = ('script', 'stale')
#: What is seen is kept as its place in this, which is quicker to compare than the sign.
SIGNS = tuple(Sign)
(STALE_, HEARD, DECLARED, RUNS, GONE, ANSWERS, SILENT, REACHABLE, OPENED, WORKING, POWERED, OFF,
 CUT, NOTHING) = map(SIGNS.index, (
    Sign.STALE, Sign.HEARD, Sign.DECLARED, Sign.GUEST_RUNS, Sign.GUEST_GONE, Sign.ANSWERS,
    Sign.SILENT, Sign.REACHABLE, Sign.OPENED, Sign.WORKING, Sign.POWERED, Sign.OFF, Sign.CUT,
    Sign.NOTHING))
#: What each probe sees in each look, and whether a heartbeat came in between.
Looks = tuple[tuple[tuple[int, ...], ...], bool]


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
    luck: int
    storage: str
    heartbeat: str
    libvirt: str
    ipmi: bool
    #: when somebody switches it off, or finds that it is; when its storage accepts nothing of it
    #: any more; and when he says so
    fenced: int = LENGTH * 2
    cut: int = LENGTH * 2
    told: int = LENGTH * 2
    beats: list[int] = dataclasses.field(default_factory=list)
    seen: dict[int, Looks] = dataclasses.field(default_factory=dict)
    dice: random.Random | None = None

    def alive(self, now: int) -> bool:
        """Whether its kernel runs."""
        if now >= self.fenced:
            return False
        if self.fate == 'reboot':
            return not self.at <= now < self.back
        return self.fate not in ('power', 'hang') or now < self.at

    def guest_runs(self, now: int) -> bool:
        """Whether it is there; a host that boots again starts none."""
        return self.alive(now) and not (self.fate == 'reboot' and now >= self.at)

    def writes(self, now: int) -> bool:
        """Whether a second copy would be one."""
        return now < self.cut and self.guest_runs(now)

    def serves(self, now: int) -> bool:
        """Whether nova-compute runs."""
        return self.alive(now) and not (self.fate == 'service' and now >= self.at)

    def powered(self, now: int) -> bool:
        """Whether it has power."""
        return now < self.fenced and not (self.fate == 'power' and now >= self.at)

    def lost(self) -> bool:
        """Whether an answer of it does not come in time; the same schedule has the same luck."""
        if self.dice is None:
            self.dice = random.Random(self.luck)
        return self.dice.random() < self.loses

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
    :param crash: which command of a controller ends once its fence has done its work, from 1 on
    :param two: whether a second controller, on another machine, does the same
    """

    hosts: list[Host]
    lost: int
    restart: range
    blind: range
    skew: int
    crash: int
    two: bool
    seen: dict[int, tuple[bool, bool]] = dataclasses.field(default_factory=dict)

    def last_beat(self, host: Host, now: int) -> int:
        """When Nova last heard of it; it reports every ten seconds."""
        if not host.beats:
            last, cut = 0, 'out' in host.partition
            for moment in range(0, LENGTH + STEP, 10):
                if moment not in self.restart and host.serves(moment) \
                        and not (cut and not host.up('out', moment)):
                    last = moment
                host.beats.append(last)
        return host.beats[now // 10]

    def silent_others(self, now: int) -> int:
        """How many other hosts have no heartbeat of late; one that was forced down for that counts
        for longer than any schedule lasts."""
        if len(self.restart) > STALE and self.restart.start + STALE < now < self.restart.stop:
            return HOSTS - 1
        return sum(1 for host in self.hosts if now - self.last_beat(host, now) > STALE
                   ) * max(1, self.lost // len(self.hosts))

    def declared(self, host: Host, now: int) -> bool:
        """Whether it is forced down by now."""
        if host.word == 'script':
            return now - self.last_beat(host, now) > STALE
        return host.word == 'stale' or now >= host.told

    def looks(self, host: Host, now: int) -> Looks:
        """What is seen of it from now on."""
        known = host.seen.get(now)
        if known is None:
            last = now + LOOKS - 1
            first, ends = self._look(host, now), self._look(host, last)
            # Nothing happens to a host twice within these seconds, but for answers that are lost.
            between = (first,) * (LOOKS - 2) if first == ends and not host.loses else tuple(
                self._look(host, now + number) for number in range(1, LOOKS - 1))
            known = host.seen[now] = (
                (first, *between, ends), self.last_beat(host, now) != self.last_beat(host, last))
        return known

    def checker(self, now: int) -> tuple[bool, bool]:
        """Whether whoever looks sees other hosts, and whether too many of them are silent."""
        known = self.seen.get(now)
        if known is None:
            known = self.seen[now] = (
                now not in self.blind, self.silent_others(now) * 100 > LOSS * (HOSTS - 1))
        return known

    def _look(self, host: Host, now: int) -> tuple[int, ...]:
        stale = now - self.last_beat(host, now) - self.skew > STALE
        sees, alive = now not in self.blind, host.alive(now)
        guest = RUNS if host.guest_runs(now) else GONE
        if sees and alive:
            over, tenant, storage = (
                (way not in host.partition or host.up(way, now)) and not (
                    host.loses and host.lost()) for way in ('in', 'tenant', 'storage'))
            over = over and host.up('out', now)
        else:
            over = tenant = storage = False
        bmc = self.bmc(host, now) if sees else NOTHING
        return (
            STALE_ if stale else HEARD, DECLARED if self.declared(host, now) else NOTHING,
            guest if over and host.serves(now) else SILENT,
            self._libvirt(host, guest, over, sees), REACHABLE if tenant else SILENT,
            NOTHING if host.ipmi else bmc, bmc if host.ipmi else NOTHING,
            self._beat(host, now, storage) if sees else NOTHING,
            self.stored(host, now) if sees else NOTHING)

    @staticmethod
    def _libvirt(host: Host, guest: int, over: bool, sees: bool) -> int:
        """It runs on without nova-compute; that a guest is not there says only that one lives."""
        if host.libvirt == 'another-machine' and sees:
            return ANSWERS
        return SILENT if not over else RUNS if guest == RUNS else ANSWERS

    @staticmethod
    def _beat(host: Host, now: int, storage: bool) -> int:
        if host.heartbeat == 'forged':
            return ANSWERS
        return ANSWERS if storage and host.heartbeat == 'true' and host.serves(now) else STALE_

    @staticmethod
    def stored(host: Host, now: int) -> int:
        """What the storage says; who reads that is not on the host's network of it."""
        if now >= host.cut or host.storage == 'says-cut':
            return CUT
        if host.storage == 'mute':
            return NOTHING
        if host.storage != 'idle' and host.guest_runs(now) and host.up('storage', now):
            return WORKING
        before = now - (LONG if host.storage == 'lingers' else LINGER)
        return OPENED if any(host.guest_runs(then) and host.up('storage', then)
                             for then in (before, now)) else NOTHING

    @staticmethod
    def bmc(host: Host, now: int) -> int:
        """One of another machine has another UUID, so that the probe does not believe it."""
        if not host.up('bmc', now):
            return NOTHING
        if host.bmc == 'true':
            return POWERED if host.powered(now) else OFF
        return {'says-off': OFF, 'says-on': POWERED}.get(host.bmc, NOTHING)


def draw(seed: int) -> Cloud:
    """A cloud with one to three kinds of hosts that fail, alone or with many that share it."""
    dice = random.Random(seed)
    hosts = [_host(dice) for _number in range(dice.randint(1, 3))]
    restart, blind = dice.randrange(LENGTH), dice.randrange(LENGTH)
    return Cloud(
        hosts, dice.choice((1, 1, 1, 1, 3, 50, 290, 400, 900)),
        range(restart, restart + dice.choice((0, 0, 30, 200))),
        range(blind, blind + dice.choice((0, 0, 90, 400))),
        dice.choice((0, 0, 0, -300, -40, 40, 300)), dice.choice((0, 0, 1, 2)),
        dice.random() < .3)


def _host(dice: random.Random) -> Host:
    at, begins = dice.randrange(30, 500), dice.randrange(30, 500)
    host = Host(
        dice.choice(FATES), at, dice.choice(BMCS), dice.choice(WORDS),
        PARTITIONS[dice.choice(list(PARTITIONS))], begins, begins + dice.choice((50, 300, 2000)),
        dice.choice((0, 0, 0, 15, 40, 90)), dice.choice((0, 0, 0, .1, .5, .95)),
        at + dice.randrange(60, 400), dice.getrandbits(32), dice.choice(STORAGES),
        dice.choice(BEATS), dice.choice(LIBVIRTS), dice.random() < .3)
    _one_is_wrong(host)
    trouble = host.fate != 'fine' or host.partition
    if host.word == 'fencer' and trouble:
        # Over a BMC it takes a minute or two. By hand, where the BMC cannot be trusted: that is
        # seen on the console, and it takes longer.
        soon = host.bmc == 'true' and 'bmc' not in host.partition
        done = at + (dice.randrange(60, 240) if soon else dice.randrange(300, 900))
        host.told = done + 10
        if not soon and host.storage != 'says-cut' and dice.random() < .5:
            host.cut = done
        else:
            host.fenced = done
    return host


def _one_is_wrong(host: Host) -> None:
    """One witness of its death may be false, and not two of the same host."""
    if host.word in FALSE and host.bmc == 'says-off':
        host.bmc = 'true'
    if host.storage == 'says-cut' and (host.word in FALSE or host.bmc == 'says-off'):
        host.storage = 'true'
