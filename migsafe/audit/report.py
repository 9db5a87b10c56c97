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
"""What an audit has found, and what it has not seen."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Collection, Mapping

from migsafe.audit.facts import Case, Moment
from migsafe.audit.findings import Finding
from migsafe.text import shell


@dataclasses.dataclass(frozen=True)
class Asked:
    """Which findings are wanted; empty means all."""

    hosts: Collection[str] = ()
    instances: Collection[str] = ()
    volumes: Collection[str] = ()
    rules: Collection[str] = ()

    def wants(self, finding: Finding) -> bool:
        """Whether a finding is about something that was asked for."""
        named = bool(self.instances or self.volumes)
        return ((not self.rules or finding.rule in self.rules)
                and (not self.hosts or not set(finding.hosts).isdisjoint(self.hosts))
                and (not named or finding.instance in self.instances
                     or finding.volume in self.volumes))


@dataclasses.dataclass
class Report:
    """The result.

    :ivar unseen: sentences
    :ivar failed: a database that was named could not be read whole
    :ivar lost: views that could not be read whole in one of the looks: those of rules.USES
    :ivar missed: those that were lost in the second look
    :ivar doubts: findings that were gone when they were looked at again
    :ivar nowhere: option -> what was named with it, and no record has
    :ivar sights: volume with a finding -> host -> what says that this host sees it
    :ivar now: the time of the cloud
    """

    sources: list[str] = dataclasses.field(default_factory=list)
    findings: list[Finding] = dataclasses.field(default_factory=list)
    unseen: list[str] = dataclasses.field(default_factory=list)
    failed: bool = False
    lost: set[str] = dataclasses.field(default_factory=set)
    missed: set[str] = dataclasses.field(default_factory=set)
    doubts: int = 0
    nowhere: Mapping[str, list[str]] = dataclasses.field(default_factory=dict)
    sights: dict[str, dict[str, set[str]]] = dataclasses.field(default_factory=dict)
    counts: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    now: Moment = None
    seconds: float = 0.0

    def see(self, case: Case, finding: Finding) -> None:
        """Remember which hosts see the volume of a finding."""
        if finding.volume is None:
            return
        hosts = self.sights.setdefault(finding.volume, {})
        told = [(case.instance.host, 'instance'),
                *((row.connection.host, 'row') for row in case.rows
                  if row.volume == finding.volume),
                *((named.host, 'row') for row in case.rows if row.volume == finding.volume
                  and (named := case.named(row))),
                *((one.host, 'attachment') for one in case.sharing.get(finding.volume, ())),
                *((one.host, 'export') for one in case.exports if one.volume == finding.volume)]
        for host, what in told:
            if host:
                hosts.setdefault(host, set()).add(what)

    def end(self) -> None:
        """Say what was asked for and is nowhere, unless something was found of it."""
        for option, names in self.nowhere.items():
            if option == '--host' and self.findings:
                continue
            self.failed = True
            self.unseen.append(f'No record that was read has {", ".join(map(shell, names))} '
                               f'({option}): nothing can be said of it. See whether it is meant.')

    def hosts(self) -> list[str]:
        """The hosts that findings are about."""
        return sorted({host for one in self.findings for host in one.hosts})

    def by_rule(self) -> dict[str, int]:
        """How many findings of each rule."""
        found = collections.Counter(one.rule for one in self.findings)
        return {rule: found[rule] for rule in sorted(found, key=number)}


def number(rule: str) -> int:
    """By which rules are sorted."""
    return int(rule.lstrip('R'))


def order(finding: Finding) -> tuple[object, ...]:
    """Worst first, then what belongs together."""
    return (-finding.severity, number(finding.rule), finding.instance or '',
            finding.volume or '', finding.key)
