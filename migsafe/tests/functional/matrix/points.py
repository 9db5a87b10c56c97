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
"""From recorded effects to the faults that are worth trying on them."""

from __future__ import annotations

import collections
import dataclasses
import re
from collections.abc import Iterable, Sequence

from migsafe.replay.lab import errors, faults
from migsafe.tests.functional.matrix import report

#: Effects that change nothing outside; all others may.
_READS = re.compile(r"""
    placement\ GET\ .* | neutron\ (list|show)_.* | event\ .*
    | cinder\ (attachments\.(show|list)|volumes\.get.*)
    | db\ (bdms\.list|pci_requests\.get|compute_node\.get) | libvirt\ jobStats
    | rpc\ migsafe\.(guest_evidence|describe|inspect|made)
    """, re.VERBOSE)

#: What a caller may see although the effect took place: a reply was lost, or came too late.
LOST_REPLIES = frozenset((
    'cinder-500', 'cinder-503', 'connect-failure', 'connect-timeout', 'neutron-500',
    'neutron-503', 'placement-503', 'placement-500', 'timeout', 'db-error', 'libvirt-error',
    'brick-busy', 'brick-timeout', 'vif-timeout', 'os-error'))

#: (action, kind, name) that would be a lie, not a failure, and why nobody has to expect it.
LIES = {
    ('cinder-404', 'cinder', 'attachments.delete'):
        "Cinder's word that the attachment does not exist, which Nova takes for done",
}


@dataclasses.dataclass(frozen=True)
class Point:
    """One effect of one process, to be found again in another run.

    ``volume`` is left out: which volume of a guest comes first is up to the database.
    """

    kind: str
    name: str
    host: str
    nth: int

    def __str__(self) -> str:
        return f'{self.host} {self.kind} {self.name} #{self.nth}'

    @property
    def reads(self) -> bool:
        """Whether the effect changes nothing, so that before and after it are the same."""
        return _READS.fullmatch(f'{self.kind} {self.name}') is not None

    def fault(self, action: str, when: str = 'before', times: int = 1,
              phase: str = 'migrate') -> faults.Fault:
        """Let it go wrong."""
        return faults.Fault(self.kind, self.name, action, self.host, nth=self.nth,
                                times=times, when=when, phase=phase)


def points(trace: Iterable[report.Row], hosts: Sequence[str], since: int = -1) -> list[Point]:
    """The effects of these hosts, in order, each once.

    :param since: only those after this place in the trace
    """
    counts: collections.Counter[report.Row] = collections.Counter()
    found = []
    for place, row in enumerate(trace):
        counts[row] += 1
        host, kind, name = row
        if host in hosts and place > since:
            found.append(Point(kind, name, host, counts[row]))
    return found


def failures(point: Point, number: int) -> list[faults.Fault]:
    """The failures of one effect: a read in one way, chosen by its number, others in all.

    A reply is lost in one way, too, and an outage lasts until recovery.
    """
    suits = [action for action in errors.SUITS[point.kind]
             if (action, point.kind, point.name) not in LIES]
    if point.reads:
        return [point.fault(suits[number % len(suits)])]
    lost = [action for action in suits if action in LOST_REPLIES]
    found = [point.fault(action) for action in suits]
    found += [point.fault(lost[number % len(lost)], 'after')]
    if point.kind in ('cinder', 'neutron', 'placement', 'journal'):
        found.append(point.fault(suits[0], times=faults.FOR_EVER))
    return found


def kills(point: Point, phase: str = 'migrate') -> list[faults.Fault]:
    """A kill before and after an effect; once for a read, where both are the same."""
    whens = ('before',) if point.reads else ('before', 'after')
    return [point.fault('kill', when, phase=phase) for when in whens]


def follows(previous: Sequence[Point], point: Point) -> bool:
    """Whether a kill before a point leaves what a kill after the previous one leaves.

    Nothing took place between the two, and what the process had in memory ends with it. A read
    changes nothing either, so that a kill after one is none of its own.

    :param previous: the point before it, or nothing
    """
    return any(p.host == point.host for p in previous)


def wanted(path: Sequence[Point], number: int, which: str, seed: int
           ) -> tuple[list[faults.Fault], list[faults.Fault]]:
    """The failures and kills at one point of a path.

    :param which: 'all' failures of each effect and all kills, or 'some': one failure, in turn,
        at three of five effects, and no kill that leaves what another one leaves
    """
    point = path[number]
    found, deaths = failures(point, number), kills(point)
    if which != 'all':
        turn = number + seed
        found = [found[turn % len(found)]] if turn % 5 not in (1, 3) else []
        if follows(path[number - 1:number], point):
            deaths = [kill for kill in deaths if kill.when == 'after']
    return found, deaths
