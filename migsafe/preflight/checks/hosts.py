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
"""Checks of the instance and of the two hosts."""

from __future__ import annotations

from collections.abc import Iterator

from migsafe.preflight import report
from migsafe.preflight.checks.base import Check, Finding, Result, unheard
from migsafe.preflight.facts import Facts, Plugin, Side
from migsafe.text import shell

#: What Nova migrates live (nova.compute.api.API.live_migrate), in the words of its API.
MOVABLE = ('ACTIVE', 'PAUSED')
#: Seconds by which two clocks may differ.
SKEW = 2.0
R = Result


class ServerState(Check):
    """Whether Nova would take the request at all."""

    code = 'server-state'
    sides = ()

    def look(self, facts: Facts) -> Iterator[Finding]:
        """Its status and task."""
        server = facts.server
        if server.status not in MOVABLE:
            yield self.made(R.REFUSED, f'the server is {server.status}, and Nova migrates '
                            f'{" and ".join(MOVABLE)} ones', 'openstack server show '
                            f'{shell(server.uuid)}')
        if server.task:
            yield self.made(R.REFUSED, f'Nova is at work on it: {server.task}', 'wait for its '
                            'end; migsafe settle --instance '
                            f'{shell(server.uuid)} on {shell(server.host)} if there is none')

    def fine(self, facts: Facts) -> str:
        """Where it is."""
        return f'{facts.server.status} on {facts.server.host}'


class DestinationService(Check):
    """Whether Nova would take the destination."""

    code = 'destination-service'
    sides = ()

    def look(self, facts: Facts) -> Iterator[Finding]:
        """The service as Nova's API shows it."""
        side, service = facts.destination, facts.destination.service
        if not side.name:
            yield self.made(R.UNKNOWN, unheard(side))
        elif side.name == facts.source.name:
            yield self.made(R.REFUSED, f'{side.name} is where the server is',
                            'name another --host')
        elif side.service_problem:
            yield self.made(R.UNKNOWN, side.service_problem)
        elif service is None:
            yield self.made(R.REFUSED, f'Nova has no nova-compute on {side.name}',
                            'openstack compute service list --service nova-compute shows those '
                            'that it has')
        else:
            if not service.enabled:
                yield self.made(
                    R.REFUSED, f'nova-compute on {side.name} is disabled'
                    + (f' ({service.reason})' if service.reason else ''),
                    f'openstack compute service set --enable {shell(side.name)} nova-compute')
            if service.forced_down or not service.up:
                yield self.made(
                    R.REFUSED, f'nova-compute on {side.name} is '
                    + ('forced down' if service.forced_down else 'down'),
                    f'start it; if it was forced down and lives, openstack compute service set '
                    f'--up {shell(side.name)} nova-compute')

    def fine(self, facts: Facts) -> str:
        """Its state."""
        return f'nova-compute on {facts.destination.name} is enabled and up'


class Armed(Check):
    """Whether both hosts are protected."""

    code = 'plugin'
    sides = ()

    def look(self, facts: Facts) -> Iterator[Finding]:
        """What each host has said."""
        for side in (facts.source, facts.destination):
            if side.plugin is Plugin.UNARMED:
                yield self.made(R.REFUSED, f'{side.name}: {side.problem}')
            elif side.report is None:
                yield self.made(R.UNKNOWN, unheard(side))

    def fine(self, facts: Facts) -> str:
        """Their versions."""
        return ', '.join(f'{side.name}: migsafe {side.report.version}, Nova {side.report.nova}'
                         for side in facts.sides if side.report)


class SameVersion(Check):
    """Whether the plugins understand one another."""

    code = 'plugin-version'

    def look(self, facts: Facts) -> Iterator[Finding]:
        """The first number of their versions."""
        versions = {side.name: side.report.version for side in facts.sides if side.report}
        if len({version.partition('.')[0] for version in versions.values()}) > 1:
            said = ' and '.join(f'{version} on {name}' for name, version in versions.items())
            yield self.made(R.REFUSED, f'migsafe is {said}, and only versions with the same '
                            'first number settle with one another', 'upgrade the older one')


class Residue(Check):
    """Whether an earlier migration of this instance is settled."""

    code = 'residue'

    def look(self, facts: Facts) -> Iterator[Finding]:
        """What each journal has of the instance."""
        for side in facts.sides:
            if side.report and side.report.residue:
                yield self.made(
                    R.REFUSED, f'{side.name} has not settled: {"; ".join(side.report.residue)}',
                    f'migsafe settle --instance {shell(facts.server.uuid)} on {shell(side.name)}')


class Guest(Check):
    """Whether the guest is where Nova says."""

    code = 'guest'

    def look(self, facts: Facts) -> Iterator[Finding]:
        """What each libvirt has of it."""
        here, there = facts.source, facts.destination
        if here.report and here.report.guest is None:
            yield self.made(R.UNKNOWN, f'{here.name}: {here.report.guest_problem}',
                            f'virsh list --all on {shell(here.name)}')
        if there.report and there.report.guest is not None:
            yield self.made(R.REFUSED, f'libvirt on {there.name} has a guest of this server',
                            f'virsh list --all on {shell(there.name)}; a guest that runs there '
                            'as well writes to the same disks')


class LeftDirectory(Check):
    """Whether the destination has a directory of the instance, at which Nova gives up."""

    code = 'destination-directory'

    def look(self, facts: Facts) -> Iterator[Finding]:
        """One that is not that of the source."""
        here, there = facts.source.report, facts.destination.report
        if here and there and there.directory.there and \
                report.shared_path(here.directory, there.directory) is False:
            path = f'{there.storage.instances_path}/{facts.server.uuid}'
            yield self.made(
                R.REFUSED, f'{facts.destination.name} has {path}, and the hosts do not share it: '
                'Nova fails with DestinationDiskExists', 'look what it is; if it was left by an '
                f'earlier migration, move it away: mv {shell(path)} {shell(path)}.old')


class Clocks(Check):
    """Whether the clocks of the two hosts agree."""

    code = 'clocks'

    def look(self, facts: Facts) -> Iterator[Finding]:
        """By how much they differ at the least."""
        apart = _apart(facts.source, facts.destination)
        if apart > SKEW:
            yield self.made(R.WARNING, f'the clocks of the two hosts differ by {apart:.0f} '
                            'seconds at the least, and Nova compares their times',
                            'chronyc tracking on both')


def _apart(one: Side, other: Side) -> float:
    return abs(one.offset - other.offset) - one.margin - other.margin
