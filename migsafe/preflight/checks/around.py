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
"""Checks of what the hosts find around themselves and the guest."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import ClassVar

from migsafe.lvm.rules import Verdict
from migsafe.preflight.checks.base import Check, Finding, Result
from migsafe.preflight.facts import Facts
from migsafe.preflight.path import Reached
from migsafe.preflight.surroundings import DirtyRate, Way
from migsafe.text import shell

R = Result
GIB = 1 << 30
#: Seconds after which a guest may write quite differently.
OLD = 3600
#: What has a portal always (driver_volume_type, NVMe-oF over TCP); without one, its connection was
#: not understood.
WITH_PORTALS = frozenset(('', 'iscsi', 'iser', 'nvmeof', 'rbd'))
UNNEEDED = Verdict.UNNEEDED.value


class AroundCheck(Check):
    """One that needs what hosts find around themselves.

    :cvar needs: the sides that have to have said it
    """

    needs: ClassVar[tuple[str, ...]] = ('source', 'destination')

    def findings(self, facts: Facts) -> Iterator[Finding]:
        """Unknown where one of them has not."""
        silent = [side for name in self.needs if (side := getattr(facts, name)).report
                  and side.around is None]
        if silent and facts.source.report and facts.destination.report:
            yield self.made(R.UNKNOWN, '; '.join(
                f'{side.name}: {side.around_problem}' for side in silent))
            return
        yield from super().findings(facts)


class Array(AroundCheck):
    """Whether the destination reaches the arrays that the volumes are on."""

    code = 'array'
    needs = ('destination',)

    def look(self, facts: Facts) -> Iterator[Finding]:
        """Each volume by its portals."""
        there = facts.destination.around
        assert there is not None
        if there.ways is None:
            yield self.made(R.UNKNOWN, "Nova's rows of the volumes could not be read")
            return
        ways: dict[str, list[Way]] = defaultdict(list)
        for one in there.ways:
            ways[one.volume].append(one)
        silent: dict[str, int] = defaultdict(int)
        for found in ways.values():
            if not found[0].portal:
                silent[found[0].protocol] += 1
        for protocol, count in sorted(silent.items()):
            if protocol in WITH_PORTALS:
                yield self.made(R.UNKNOWN, f"Nova's rows of {count} volume(s) have " + (
                    f'a connection by {protocol} in which no portal was found' if protocol else
                    'nothing of a connection'))
            else:
                yield self.made(R.NOTE, f'{count} volume(s) are connected by {protocol}, which '
                                'names no TCP portal, so that it was not tried')
        yield from self._portals(facts.destination.name, ways)

    def _portals(self, host: str, ways: dict[str, list[Way]]) -> Iterator[Finding]:
        """What was not reached, once for each portal; worse if a volume has no other."""
        cut: dict[str, tuple[str, list[str]]] = {}
        for volume, found in ways.items():
            # one that was not tried may be open
            alone = not any(one.reached in (Reached.OPEN.value, '') for one in found)
            for one in found:
                if one.portal and one.reached != Reached.OPEN.value:
                    _how, hurt = cut.setdefault(one.portal, (one.reached, []))
                    hurt.extend([volume] if alone else [])
        for portal, (how, hurt) in sorted(cut.items()):
            if not how:
                yield self.made(R.UNKNOWN, f'not tried, as there are too many or {host} could '
                                f'not ask: the portal {portal}')
                continue
            yield self.made(
                R.REFUSED if hurt else R.WARNING,
                f'{host} does not reach the portal {portal} ({how})' + (
                    f', and no other of {len(hurt)} volume(s), such as {hurt[0]}' if hurt else
                    ', so that volumes have fewer paths there'),
                f'nc -zv {" ".join(map(shell, portal.split()))} on {shell(host)}; look at the '
                'interface of the storage network, and at firewalls')

    def fine(self, facts: Facts) -> str:
        """Which were reached."""
        there = facts.destination.around
        found = sorted({one.portal for one in there.ways or ()}) if there else []
        return 'reached: ' + ', '.join(found[:8]) if found else 'there are no volumes'


class NoPath(AroundCheck):
    """Whether writes end at all when all paths of a disk are gone."""

    code = 'no-path-retry'

    def look(self, facts: Facts) -> Iterator[Finding]:
        """For how long multipathd has them wait, against the longest call of a migration."""
        for side in facts.sides:
            if not side.report or not side.around or not side.report.options.multipath:
                continue
            longest, found = side.report.options.long_rpc_timeout, side.around.queueing
            if found is None:
                yield self.made(R.UNKNOWN, f'{side.name}: multipathd does not show its '
                                'configuration', 'multipathd show config local, as root')
            elif found.seconds is not None and found.seconds <= longest:
                continue
            elif found.differ and found.least is not None and found.least <= longest:
                yield self.made(
                    R.NOTE, f'{side.name}: how long reads and writes wait when all paths of a '
                    f'disk are gone depends on the disk, against long_rpc_timeout ({longest}): '
                    f'{found.differ}', 'no_path_retry 12 in overrides of /etc/multipath.conf on '
                    f'{shell(side.name)}, and multipathd reconfigure')
            else:
                how = 'for ever' if found.seconds is None else f'{found.seconds:.0f} seconds'
                yield self.made(
                    R.WARNING, f'{side.name} has reads and writes wait {how} when all paths of a '
                    'disk are gone (no_path_retry), and no call of a migration waits longer than '
                    f'long_rpc_timeout ({longest}): what looks at such a disk hangs, and the '
                    'migration fails elsewhere', 'no_path_retry 12 for these devices in '
                    f'/etc/multipath.conf on {shell(side.name)}, and multipathd reconfigure')

    def fine(self, facts: Facts) -> str:
        """For how long."""
        said = [f'{side.name}: {side.around.queueing.seconds:.0f} seconds'
                for side in facts.sides if side.around and side.around.queueing
                and side.around.queueing.seconds is not None]
        return ', '.join(said) or 'multipath is not used'


class KeptFromLvm(AroundCheck):
    """Whether LVM of both hosts keeps away from what is in guests' disks."""

    code = 'lvm'

    def look(self, facts: Facts) -> Iterator[Finding]:
        """What "migsafe lvm check" says of each."""
        for side in facts.sides:
            found = side.around.lvm if side.around else None
            if found is None or not found.verdict:
                yield self.made(
                    R.UNKNOWN, f'{side.name}: ' + (found.reason if found else 'LVM was not asked'),
                    f'migsafe lvm check on {shell(side.name)}, as root')
            elif found.verdict != UNNEEDED:
                yield self.made(
                    R.WARNING, f'{side.name}: LVM may activate what is in the disks of guests, '
                    f'which keeps devices after a migration ({found.verdict}). {found.reason}',
                    f'migsafe lvm check on {shell(side.name)}, as root')

    def fine(self, facts: Facts) -> str:
        """Why not."""
        return '; '.join(f'{side.name}: {side.around.lvm.reason}' for side in facts.sides
                         if side.around and side.around.lvm)


class SameCpu(AroundCheck):
    """Whether Nova finds the guest's CPU on the destination."""

    code = 'cpu'
    needs = ('destination',)

    def look(self, facts: Facts) -> Iterator[Finding]:
        """Nova's own comparison, asked of the destination."""
        name, there = facts.destination.name, facts.destination.around
        assert there is not None
        if there.cpu is None:
            yield self.made(R.UNKNOWN, f'{name} could not compare its CPU with that of the guest')
            return
        if there.cpu.problem:
            yield self.made(
                R.REFUSED, f'Nova would refuse it (MigrationPreCheckError): {there.cpu.problem}',
                'another --host; for guests that are built from now on, [libvirt] cpu_mode = '
                'custom with a cpu_models that all hosts have')
        if there.cpu.numa:
            yield self.made(
                R.NOTE, 'the guest has a NUMA topology, pinned CPUs or huge pages; whether '
                f'{name} has room for that is known only when Nova claims it')

    def fine(self, facts: Facts) -> str:
        """Whether it was compared."""
        there = facts.destination.around
        return ('Nova accepts it' if there and there.cpu and there.cpu.compared else
                'Nova does not compare it: [workarounds] skip_cpu_compare_on_dest, or no KVM')


class DirtyMemory(AroundCheck):
    """Whether the network is faster than the guest writes."""

    code = 'dirty-rate'
    needs = ('source',)

    def look(self, facts: Facts) -> Iterator[Finding]:
        """What was measured, against the speed of the interface."""
        here, way = facts.source.around, facts.path
        assert here is not None
        assert facts.source.report is not None
        if here.written is None:
            yield self.made(R.UNKNOWN, f'libvirt on {facts.source.name} does not say how fast the '
                            'guest writes to its memory')
        elif here.written.rate is None or here.written.age > OLD:
            yield self.made(
                R.NOTE, 'how fast the guest writes to its memory was not measured within the '
                'last hour, so that it is not known whether the migration gets to an end',
                f'virsh domdirtyrate-calc {shell(facts.server.uuid)} --seconds 10 on '
                f'{shell(facts.source.name)}, and this again; it looks at samples of the memory')
        elif way is None or not way.speed or not way.memory:
            yield self.made(R.UNKNOWN, f'{_rate(here.written)}, and how fast the way there is, or '
                            'how large the guest, is not known')
        else:
            yield from self._judged(
                here.written, way.speed * 125_000, way.memory,
                facts.source.report.options.completion_timeout * max(2, way.memory / GIB))

    def _judged(self, found: DirtyRate, speed: int, memory: int,
                allowed: float) -> Iterator[Finding]:
        """:param speed: bytes a second

        :param allowed: seconds; 0 for ever
        """
        rate = found.rate or 0
        if rate >= speed:
            helped = [name for name, given in (
                ('live_migration_permit_post_copy', found.post_copy),
                ('live_migration_permit_auto_converge', found.auto_converge)) if given]
            yield self.made(
                R.NOTE if helped else R.WARNING,
                f'{_rate(found)}, and the network takes {speed / 1e6:.0f} MB/s: the migration '
                'does not get to an end by itself' + (
                    f', but Nova helps it by {" and ".join(helped)}' if helped else ''),
                'migrate it when it writes less' + ('' if helped else (
                    ', or let Nova help: [libvirt] live_migration_permit_auto_converge or '
                    'live_migration_permit_post_copy')))
        elif 0 < allowed < memory / (speed - rate):
            yield self.made(
                R.WARNING, f'{_rate(found)}, so that {memory / GIB:.1f} GiB take about '
                f'{memory / (speed - rate):.0f} seconds, and [libvirt] '
                f'live_migration_completion_timeout ends it after {allowed:.0f}',
                'a faster network, or a longer live_migration_completion_timeout')

    def fine(self, facts: Facts) -> str:
        """How long it takes."""
        here, way = facts.source.around, facts.path
        if not (here and here.written and way and way.speed and way.memory):
            return ''
        left = way.speed * 125_000 - (here.written.rate or 0)
        return f'{_rate(here.written)}: about {way.memory / left:.0f} seconds'


def _rate(found: DirtyRate) -> str:
    return (f'the guest wrote {(found.rate or 0) / 1e6:.0f} MB/s to its memory '
            f'{found.age:.0f} seconds ago')
