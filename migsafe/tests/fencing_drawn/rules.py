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
"""The rules that are compared: each says of one host, at one time, whether to evacuate it."""

from __future__ import annotations

import dataclasses
import functools
import operator
from collections.abc import Callable

from migsafe.cli import host_fence
from migsafe.fencing import verdict
from migsafe.fencing.facts import Limits
from migsafe.fencing.signs import Checker, Observation
from migsafe.fencing.verdict import HostVerdict, Judgement
from migsafe.tests.fencing_drawn import model
from migsafe.tests.fencing_drawn.model import Cloud, Host

#: The probe of each column of a look; forced down is told by the same record as heartbeats.
PROBES = ('nova_service', 'nova_service', 'rpc', 'libvirt', 'network', 'redfish', 'ipmi',
          'heartbeat', 'storage')
#: Which columns a deployment has.
DEFAULT, ALL = (0, 1, 2), tuple(range(len(PROBES)))
Rule = Callable[[Cloud, Host, int], bool]
#: Kept verdicts; a schedule asks a hundred times, and most of it is the same.
KEPT = 1 << 17


@dataclasses.dataclass(frozen=True)
class Judged:
    """What the project makes of it.

    :param fenced: whether a command would fence the host
    :param sceptical: the same, if [migsafe] believe_forced_down is false
    """

    judgement: Judgement
    dead: bool
    fenced: bool
    sceptical: Judged | None = None


@dataclasses.dataclass(frozen=True)
class Table:
    """The project's own rule, with what a deployment has set up.

    :param columns: which probes it has
    :param believes: [migsafe] believe_forced_down. Whoever believes a false word starts guests
        twice, which is counted by itself
    :param looks: how many of the looks it takes
    """

    columns: tuple[int, ...] = ALL
    believes: bool = True
    looks: int = model.LOOKS

    def __call__(self, cloud: Cloud, host: Host, now: int) -> bool:
        """Whether the verdict is DEAD."""
        return self.judge(cloud, host, now).dead

    def judge(self, cloud: Cloud, host: Host, now: int) -> Judged:
        """The verdict from the looks of now."""
        seen, beats = cloud.looks(host, now)
        if self.looks < model.LOOKS:
            seen, beats = seen[:self.looks], False
        if self.columns is not ALL:
            # What it does not look at must not make another case of it.
            pick = operator.itemgetter(*self.columns)
            seen = tuple(map(pick, seen))
        found = judged(seen, beats, *cloud.checker(now), self.columns)
        return found if self.believes or found.sceptical is None else found.sceptical


@functools.lru_cache(maxsize=KEPT)
def judged(seen: tuple[tuple[int, ...], ...], beats: bool, sees: bool, storm: bool,
           columns: tuple[int, ...]) -> Judged:
    """What the real table says; the same looks have the same verdict."""
    looks = [Observation(PROBES[column], model.SIGNS[sign],
                         sequence=sample if beats and not column else None, sample=sample)
             for sample, signs in enumerate(seen)
             for column, sign in zip(columns, signs, strict=True)]
    others = model.HOSTS - 1
    found = verdict.judge('host', looks, Checker(sees, others, others if storm else 0), Limits(
        len(seen), model.LOSS))
    # The option is one column, and takes no second look.
    facts = dataclasses.replace(found.found, believed=False)
    return _judged(found, _judged(
        dataclasses.replace(found, found=facts, row=verdict.decide(facts))))


def _judged(found: Judgement, sceptical: Judged | None = None) -> Judged:
    try:
        host_fence.check(found)
    except host_fence.NotFenced:
        return Judged(found, found.verdict is HostVerdict.DEAD, False, sceptical)
    return Judged(found, found.verdict is HostVerdict.DEAD, True, sceptical)


def heartbeat(cloud: Cloud, host: Host, now: int) -> bool:
    """What Nova's API asks before it evacuates: [DEFAULT] service_down_time without a report."""
    return abs(now - cloud.last_beat(host, now) - cloud.skew) > model.STALE


def matrix(cloud: Cloud, host: Host, now: int) -> bool:
    """The sample matrix of masakari-monitors for three networks, management, tenant, storage.

    In it a host is evacuated if, and only if, it is not seen over the storage network, whatever
    the other two say; here over a minute.
    """
    return all(not (host.alive(moment) and host.up('storage', moment))
               or moment in cloud.blind for moment in range(now - model.STALE, now + 1, 15))
