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
"""Checks of the guest's disks: Nova's decision, and whether the destination has a way to them."""

from __future__ import annotations

from collections.abc import Iterator

from migsafe.preflight import answers
from migsafe.preflight.answers import Answer
from migsafe.preflight.checks.base import Check, Finding, Result
from migsafe.preflight.decision import Asked, Situation
from migsafe.preflight.facts import Facts
from migsafe.preflight.guest import Guest
from migsafe.preflight.report import Connector
from migsafe.text import shell

R = Result
#: The hypervisors whose disks the tables are about.
KNOWN = ('kvm', 'qemu')
#: Kind of connection -> what a host needs for it, and what that is of a :class:`Connector`.
NEEDS: dict[str, tuple[str, str]] = {
    'iscsi': ('initiator', 'an iSCSI initiator (/etc/iscsi/initiatorname.iscsi)'),
    'iser': ('initiator', 'an iSCSI initiator (/etc/iscsi/initiatorname.iscsi)'),
    'fibre_channel': ('wwpns', 'a port of Fibre Channel (/sys/class/fc_host)'),
    'nvmeof': ('nqn', 'an NVMe host name (/etc/nvme/hostnqn)'),
}


def guest_of(facts: Facts) -> Guest | None:
    """The guest as the source has it."""
    return facts.source.report.guest if facts.source.report else None


class Disks(Check):
    """What Nova decides because of the disks, and what becomes of each."""

    code = 'disks'

    def look(self, facts: Facts) -> Iterator[Finding]:
        """Nova's answer to this request, and which other would work."""
        for side in facts.sides:
            if side.report and side.report.options.virt_type not in KNOWN:
                yield self.made(R.UNKNOWN, f'{side.name} has [libvirt] virt_type = '
                                f'{side.report.options.virt_type}, of which nothing is known here')
                return
        found = facts.situations()
        if not found:
            yield self.made(R.UNKNOWN, 'the source has no such guest')
            return
        told = {tuple(self._of(facts, one)) for one in found}
        if len(told) > 1:
            yield self.made(R.UNKNOWN, 'the directory of the instance has the same number on both '
                            'hosts and was changed at different times, so that it cannot be told '
                            'whether they share it; the answer depends on it', 'run it again')
            return
        yield from told.pop()

    def _of(self, facts: Facts, found: Situation) -> Iterator[Finding]:
        given = answers.answer(found, facts.request)
        working = answers.working(found, facts.request)
        instead = 'works: ' + ', '.join(
            f'--block-migration {one.value}' for one in working) if working else ''
        if given.decision.refusal:
            yield self.made(
                R.REFUSED, f'Nova would refuse it ({given.decision.refusal.value}): '
                f'{given.decision.row.why}',
                instead or answers.of_server(answers.COLD, found.guest.uuid))
        for one in given.harms:
            yield self.made(R.REFUSED, answers.harm(one),
                            instead or answers.remedy(one, found.guest.uuid))
        if given.works and answers.config_drive_alone(found, given):
            yield self.made(
                R.NOTE, 'Nova copies disks for nothing but the config drive, which is on a local '
                f'disk; --block-migration {Asked.FALSE.value} would be refused',
                answers.ELSEWHERE)

    def fine(self, facts: Facts) -> str:
        """What Nova does."""
        return said(answers.answer(facts.situations()[0], facts.request))


def said(given: Answer) -> str:
    """A decision in words."""
    what = {True: 'Nova copies local disks', False: 'Nova copies nothing',
            None: 'Nova refuses'}[given.decision.block]
    return f'{what}: {given.decision.row.why}'


class Connectors(Check):
    """Whether the destination can connect volumes of these kinds."""

    code = 'connector'

    def look(self, facts: Facts) -> Iterator[Finding]:
        """What it needs and does not have."""
        there, guest = facts.destination.report, guest_of(facts)
        if guest is None or there is None:
            yield self.made(R.UNKNOWN, 'the source does not say which volumes there are')
            return
        for protocol in sorted({one.protocol for one in guest.volumes if one.protocol in NEEDS}):
            name, what = NEEDS[protocol]
            if not getattr(there.connector, name):
                count = sum(one.protocol == protocol for one in guest.volumes)
                yield self.made(
                    R.REFUSED, f'{count} volume(s) are connected by {protocol}, and '
                    f'{facts.destination.name} does not have {what}',
                    'install and start what makes it, and restart nova-compute')

    def fine(self, facts: Facts) -> str:
        """Which kinds were looked at."""
        guest = guest_of(facts)
        kinds = {one.protocol or 'not connected' for one in guest.volumes} if guest else set()
        return ', '.join(sorted(
            kind if kind in NEEDS else f'{kind} (not looked at)' for kind in kinds)
        ) or 'there are no volumes'


class Multipath(Check):
    """Whether the destination connects volumes with as many paths as the source."""

    code = 'multipath'

    def look(self, facts: Facts) -> Iterator[Finding]:
        """What is configured, and whether multipathd answers."""
        guest = guest_of(facts)
        if guest is None or not any(one.protocol in NEEDS for one in guest.volumes):
            return
        for side in facts.sides:
            if side.report and side.report.options.multipath:
                yield from self._daemon(side.name, side.report.connector,
                                        side.report.options.enforce_multipath)
        uses = {side.name: side.report.options.multipath for side in facts.sides if side.report}
        if len(set(uses.values())) > 1:
            yield self.made(R.WARNING, 'multipath is used on one host alone: ' + ', '.join(
                f'[libvirt] volume_use_multipath = {used} on {name}'
                for name, used in uses.items()), 'give both hosts the same value')

    def _daemon(self, name: str, connector: Connector, enforced: bool) -> Iterator[Finding]:
        if connector.multipathd is None:
            yield self.made(
                R.UNKNOWN, f'whether multipathd runs on {shell(name)} could not be asked')
        elif not connector.multipathd:
            yield self.made(
                R.REFUSED if enforced else R.WARNING,
                f'multipathd does not answer on {shell(name)}, '
                + ('and [libvirt] volume_enforce_multipath has each connect fail' if enforced
                   else 'so that volumes have one path there'), 'systemctl status multipathd')


class Identities(Check):
    """Whether it is known which disk each volume is."""

    code = 'identities'
    sides = ('source',)

    def look(self, facts: Facts) -> Iterator[Finding]:
        """Volumes without a noted identity."""
        guest = guest_of(facts)
        if guest is None:
            yield self.made(R.UNKNOWN, 'the source does not say which volumes there are')
            return
        named = [one for one in guest.volumes if one.protocol in NEEDS]
        open_ = [one.id for one in named if not one.identified]
        if open_:
            yield self.made(
                R.NOTE, f'of {len(open_)} of {len(named)} volume(s) it is not noted which disk '
                f'they are, so that another one is found only if its paths differ: '
                f'{", ".join(open_[:3])}{", ..." if len(open_) > 3 else ""}',
                'it is noted at the next connect on a host with [migsafe] device_guards')
        for side in facts.sides:
            if side.report and not side.report.options.device_guards:
                yield self.made(R.WARNING, f'devices are not guarded on {side.name}',
                                '[migsafe] device_guards = true')
