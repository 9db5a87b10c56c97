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
"""Checks of the way that the guest takes."""

from __future__ import annotations

from collections.abc import Iterator

from migsafe.preflight import path
from migsafe.preflight.checks.base import Check, Finding, Result
from migsafe.preflight.facts import Facts
from migsafe.preflight.path import Port, Reached
from migsafe.text import shell

R = Result
GIB = 1 << 30
#: (who listens, what came of the connection) -> result, why. QEMU listens only while a guest comes
#: in, so that a refusal says that its host answers. The first that fits.
REACHED: tuple[tuple[bool, Reached, Result, str], ...] = (
    (True, Reached.REFUSED, R.OK, ''),
    (True, Reached.OPEN, R.OK, ''),
    (True, Reached.SILENT, R.REFUSED, 'nothing answers there: a firewall drops it'),
    (True, Reached.NO_WAY, R.REFUSED, 'there is no way there, or a firewall refuses it'),
    (False, Reached.OPEN, R.OK, ''),
    (False, Reached.REFUSED, R.REFUSED, 'nobody listens there'),
    (False, Reached.SILENT, R.REFUSED, 'nothing answers there'),
    (False, Reached.NO_WAY, R.REFUSED, 'there is no way there'),
)


class PathCheck(Check):
    """One that needs what the source has found on the way."""

    sides = ('source', 'destination')

    def findings(self, facts: Facts) -> Iterator[Finding]:
        """Unknown where it could not look."""
        if facts.path is None and facts.source.report and facts.destination.report:
            yield self.made(R.UNKNOWN, facts.path_problem)
            return
        yield from super().findings(facts)


class Route(PathCheck):
    """Whether the source reaches libvirt and QEMU on the destination."""

    code = 'path'

    def look(self, facts: Facts) -> Iterator[Finding]:
        """The name, and each port."""
        found = facts.path
        assert found is not None
        if found.problem:
            yield self.made(
                R.REFUSED, f'{facts.source.name} does not resolve {found.address}, the address of '
                f'{facts.destination.name} for live migrations: {found.problem}',
                f'getent hosts {shell(found.address)} on {shell(facts.source.name)}; [libvirt] '
                f'live_migration_inbound_addr on {shell(facts.destination.name)}')
            return
        if all(one.qemu for one in found.ports):
            yield self.made(R.UNKNOWN, f'which port {found.uri} leads to is not known here')
        for one in found.ports:
            result, why = _judged(one)
            if result is not R.OK:
                yield self.made(result, f'{one.what} on {found.address}, port {one.port}, from '
                                f'{facts.source.name}: {why}', self._remedy(facts, one))

    def _remedy(self, facts: Facts, one: Port) -> str:
        there = shell(facts.destination.name)
        if one.qemu:
            assert facts.path is not None
            ports = [each.port for each in facts.path.ports if each.qemu]
            return f'let ports {min(ports)} to {max(ports)} through to {there}'
        return (f'ss -ltn sport = :{one.port} on {there} shows the addresses that libvirt listens '
                'on; that of [libvirt] live_migration_inbound_addr has to be one of them')

    def fine(self, facts: Facts) -> str:
        """What was reached."""
        assert facts.path is not None
        return ', '.join([facts.path.uri, *(f'{one.what} {one.port}' for one in facts.path.ports)])


def _judged(one: Port) -> tuple[Result, str]:
    return next(((result, why) for qemu, reached, result, why in REACHED
                 if (qemu, reached.value) == (one.qemu, one.reached)),
                (R.UNKNOWN, 'the answer is not to be understood'))


class Certificates(PathCheck):
    """Whether both sides of libvirt's TLS accept one another."""

    code = 'certificates'

    def look(self, facts: Facts) -> Iterator[Finding]:
        """What is wrong with them."""
        found = facts.path
        assert found is not None
        if found.tls:
            partly = found.tls.startswith('only ')
            yield self.made(
                R.UNKNOWN if partly else R.REFUSED, found.tls,
                f'virt-pki-validate on {shell(facts.source.name)} and on '
                f'{shell(facts.destination.name)}, as root')
        elif path.target(found.uri)[0] == 'tls' and not found.tls_used:
            yield self.made(R.UNKNOWN, 'libvirt was not reached')

    def fine(self, facts: Facts) -> str:
        """Whether they were looked at."""
        assert facts.path is not None
        return 'both sides accept one another' if facts.path.tls_used else 'TLS is not used'


class Speed(PathCheck):
    """How long the memory of the guest takes."""

    code = 'speed'

    def look(self, facts: Facts) -> Iterator[Finding]:
        """Whether Nova's time-out is enough for it."""
        found, here = facts.path, facts.source.report
        assert found is not None and here is not None
        if not found.speed or not found.memory:
            yield self.made(R.UNKNOWN, f'how fast {found.interface or "the way there"} is does '
                            'not come out, or how large the guest is')
            return
        least = path.seconds(found.memory, found.speed)
        allowed = here.options.completion_timeout * max(2, found.memory / GIB)
        if allowed and least > allowed:
            yield self.made(
                R.WARNING, f'{_said(facts)}, and [libvirt] live_migration_completion_timeout ends '
                f'it after {allowed:.0f}', 'a faster network for [libvirt] '
                'live_migration_inbound_addr, or a longer live_migration_completion_timeout')

    def fine(self, facts: Facts) -> str:
        """How long, and what it cannot keep up with."""
        return _said(facts)


def _said(facts: Facts) -> str:
    found = facts.path
    assert found is not None
    assert found.speed is not None
    assert found.memory is not None
    return (f'{found.memory / GIB:.1f} GiB of memory over {found.interface} with {found.speed} '
            f'Mbit/s take {path.seconds(found.memory, found.speed):.0f} seconds at the least; if '
            f'the guest writes more than {found.speed / 8:.0f} MB/s it does not get to an end by '
            'itself')
