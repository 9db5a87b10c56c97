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
"""Metrics, made of what was last seen; a scrape looks at nothing itself, so that it takes no time.

Names and units follow https://prometheus.io/docs/practices/naming/. What is not known has no
sample: a metric that is absent is alerted upon, and a zero that nobody has counted is believed.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Collection, Iterator, Mapping

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from migsafe.audit.report import Report
from migsafe.audit.rules import RULES


@dataclasses.dataclass(frozen=True)
class Host:
    """What is known of one compute host.

    :ivar state: armed, unarmed or unknown
    :ivar unsettled: transactions of its journal; None if it did not say
    :ivar held: those of them that wait for a person, or another host
    """

    name: str
    state: str
    unsettled: int | None = None
    held: int | None = None


@dataclasses.dataclass(frozen=True)
class Found:
    """What was found of one rule.

    :ivar counts: severity -> how many findings
    :ivar whole: when an audit last saw all that the rule needs, seconds since the epoch
    """

    counts: Mapping[str, int]
    whole: float | None


def found(report: Report, blind: Collection[str], before: Mapping[str, Found],
          now: float) -> dict[str, Found]:
    """What is known of each rule after one more audit.

    What an audit could not see is not gone. Of a rule that it was blind for, as many findings of
    each severity are told as before, if these are more than it has found in the rest.

    :param before: what was known of each rule
    :param now: when the audit ended, seconds since the epoch
    """
    counts = {rule: collections.Counter(one.severity.word for one in report.findings
                                        if one.rule == rule) for rule in RULES}
    return {rule: Found(
        counts[rule] | collections.Counter(before[rule].counts) if rule in before
        else counts[rule], before[rule].whole if rule in before else None)
        if rule in blind else Found(counts[rule], now) for rule in RULES}


@dataclasses.dataclass(frozen=True)
class Seen:
    """What was last seen; None where nothing ever was.

    :ivar audited: when the last audit ended, seconds since the epoch
    :ivar asked: when the hosts were last asked, the same
    :ivar findings: rule -> what audits have found of it
    :ivar migrations: (host, state) -> number of live migrations
    :ivar migrations_asked: when that was counted, the same
    """

    report: Report | None = None
    audited: float | None = None
    hosts: tuple[Host, ...] | None = None
    asked: float | None = None
    findings: Mapping[str, Found] = dataclasses.field(default_factory=dict)
    migrations: dict[tuple[str, str], int] | None = None
    migrations_asked: float | None = None


STATES = ('armed', 'unarmed', 'unknown')


class Metrics(Collector):
    """Serves ``seen``, which is replaced as a whole."""

    def __init__(self) -> None:
        self.seen = Seen()

    def describe(self) -> Iterator[Metric]:
        """What it may tell; nothing is looked at for it."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """What was last seen."""
        seen = self.seen
        if seen.report is not None and seen.audited is not None:
            yield from _of_audit(seen.report, seen.audited, seen.findings)
        if seen.hosts is not None and seen.asked is not None:
            yield from _of_hosts(seen.hosts, seen.asked)
        if seen.migrations is not None and seen.migrations_asked is not None:
            yield from _of_migrations(seen.migrations, seen.migrations_asked)


def _of_audit(report: Report, audited: float,
              findings: Mapping[str, Found]) -> Iterator[Metric]:
    told = GaugeMetricFamily('migsafe_findings', 'What the last audit found; of a rule that it '
                             'could not see whole, what was known before, if that is more.',
                             labels=['rule', 'severity'])
    whole = GaugeMetricFamily('migsafe_findings_timestamp_seconds', 'When an audit last saw all '
                              'that a rule needs.', labels=['rule'])
    for rule, one in findings.items():
        counts = one.counts or ({} if one.whole is None else {'none': 0})
        for severity, count in counts.items():
            told.add_metric([rule, severity], count)
        if one.whole is not None:
            whole.add_metric([rule], one.whole)
    yield from (told, whole)
    for name, text, value in (
            ('migsafe_audit_timestamp_seconds', 'When the last audit ended.', audited),
            ('migsafe_audit_duration_seconds', 'How long it took.', report.seconds),
            ('migsafe_audit_complete', 'Whether it read all databases that were named.',
             not report.failed),
            ('migsafe_audit_instances', 'How many instances it read.',
             report.counts['instances'])):
        yield GaugeMetricFamily(name, text, value=float(value))


def _of_hosts(hosts: tuple[Host, ...], asked: float) -> Iterator[Metric]:
    yield GaugeMetricFamily('migsafe_hosts_timestamp_seconds',
                            'When the compute hosts were last asked.', value=asked)
    state = GaugeMetricFamily(
        'migsafe_host_state', 'Whether migsafe protects the live migrations of a host.',
        labels=['host', 'state'])
    unsettled = GaugeMetricFamily('migsafe_transactions_unsettled',
                                  'Transactions of a host that are not settled.', labels=['host'])
    held = GaugeMetricFamily('migsafe_transactions_held',
                             'Those of them that are on HOLD.', labels=['host'])
    for one in hosts:
        for name in STATES:
            state.add_metric([one.name, name], float(one.state == name))
        for family, value in ((unsettled, one.unsettled), (held, one.held)):
            if value is not None:
                family.add_metric([one.name], value)
    yield from (state, unsettled, held)


def _of_migrations(counts: dict[tuple[str, str], int], asked: float) -> Iterator[Metric]:
    yield GaugeMetricFamily('migsafe_live_migrations_timestamp_seconds',
                            'When the live migrations were last counted.', value=asked)
    found = GaugeMetricFamily(
        'migsafe_live_migrations', 'Live migrations by what migsafe migrations says of them.',
        labels=['host', 'state'])
    for labels, count in sorted(counts.items()):
        found.add_metric(list(labels), count)
    yield found
