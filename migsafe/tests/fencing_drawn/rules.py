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

from migsafe.fencing import verdict
from migsafe.fencing.facts import Limits
from migsafe.fencing.signs import Checker, Observation, Sign
from migsafe.fencing.verdict import HostVerdict
from migsafe.tests.fencing_drawn import model
from migsafe.tests.fencing_drawn.model import Cloud, Host

#: The probe of each column of a look; forced down is told by the same record as heartbeats.
PROBES = ('nova_service', 'nova_service', 'rpc', 'libvirt', 'network', 'redfish')
#: Which columns a deployment has.
DEFAULT, ALL = (0, 1, 2), (0, 1, 2, 3, 4, 5)
Rule = Callable[[Cloud, Host, int], bool]
Look = tuple[tuple[Sign, ...], ...]


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
        seen, beats = cloud.looks(host, now)
        return judged(
            tuple(seen[number] for number in self.columns), self.columns, beats,
            now not in cloud.blind, cloud.silent_others(now) * 100 > 30 * (model.HOSTS - 1),
            self.believes)


@functools.cache
def judged(seen: Look, columns: tuple[int, ...], beats: bool, sees: bool, storm: bool,
           believes: bool) -> bool:
    """What the real table says; the same looks have the same verdict."""
    looks = [Observation(PROBES[column], sign, sequence=sample if beats and not column else None,
                         sample=sample)
             for column, signs in zip(columns, seen, strict=True)
             for sample, sign in enumerate(signs)]
    others = model.HOSTS - 1
    return verdict.judge('host', looks, Checker(sees, others, others if storm else 0), Limits(
        model.LOOKS, 30, believes)).verdict is HostVerdict.DEAD


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
