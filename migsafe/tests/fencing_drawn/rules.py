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
from collections.abc import Callable

from migsafe.cli import host_fence
from migsafe.fencing import verdict
from migsafe.fencing.facts import Limits
from migsafe.fencing.signs import Checker, Observation
from migsafe.fencing.verdict import HostVerdict, Judgement
from migsafe.tests.fencing_drawn import model
from migsafe.tests.fencing_drawn.model import Cloud, Host

#: The probe of each column of a look; forced down is told by the same record as heartbeats.
PROBES = ('nova_service', 'nova_service', 'rpc', 'libvirt', 'network', 'redfish')
#: Which columns a deployment has.
DEFAULT, ALL = (0, 1, 2), (0, 1, 2, 3, 4, 5)
Rule = Callable[[Cloud, Host, int], bool]
#: Kept verdicts; a schedule asks a hundred times, and most of it is the same.
KEPT = 1 << 17


@dataclasses.dataclass(frozen=True)
class Judged:
    """What the project makes of it.

    :param fenced: whether a command would fence the host
    """

    judgement: Judgement
    dead: bool
    fenced: bool


@dataclasses.dataclass(frozen=True)
class Table:
    """The project's own rule, with what a deployment has set up.

    :param columns: which probes it has
    :param believes: [migsafe] believe_forced_down
    :param scripts: whether it meets scripts that force down whatever has no heartbeat. Who
        believes a word has none, or answers for it
    """

    columns: tuple[int, ...] = ALL
    believes: bool = True
    scripts: bool = False

    def __call__(self, cloud: Cloud, host: Host, now: int) -> bool:
        """Whether the verdict is DEAD."""
        if host.word == 'script' and not self.scripts:
            return False
        return self.judge(cloud, host, now).dead

    def judge(self, cloud: Cloud, host: Host, now: int) -> Judged:
        """The verdict from the looks of now."""
        return judged(*cloud.looks(host, now), *cloud.checker(now), self.columns, self.believes)


@functools.lru_cache(maxsize=KEPT)
def judged(seen: tuple[tuple[int, ...], ...], beats: bool, sees: bool, storm: bool,
           columns: tuple[int, ...], believes: bool) -> Judged:
    """What the real table says; the same looks have the same verdict."""
    looks = [Observation(PROBES[column], model.SIGNS[signs[column]],
                         sequence=sample if beats and not column else None, sample=sample)
             for column in columns for sample, signs in enumerate(seen)]
    others = model.HOSTS - 1
    found = verdict.judge('host', looks, Checker(sees, others, others if storm else 0), Limits(
        model.LOOKS, model.LOSS, believes))
    try:
        host_fence.check(found)
    except host_fence.NotFenced:
        return Judged(found, found.verdict is HostVerdict.DEAD, fenced=False)
    return Judged(found, found.verdict is HostVerdict.DEAD, fenced=True)


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
