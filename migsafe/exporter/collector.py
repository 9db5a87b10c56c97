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
from collections.abc import Iterator

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
class Seen:
    """What was last seen; None where nothing ever was.

    :ivar audited: when the last audit ended, seconds since the epoch
    :ivar asked: when the hosts were last asked, the same
    :ivar blind: rules of which the audit could not see anything
    :ivar migrations: (host, state) -> number of live migrations
    :ivar migrations_asked: when that was counted, the same
    """

    report: Report | None = None
    audited: float | None = None
    hosts: tuple[Host, ...] | None = None
    asked: float | None = None
    blind: frozenset[str] = frozenset()
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
            yield from _of_audit(seen.report, seen.audited, seen.blind)
        if seen.hosts is not None and seen.asked is not None:
            yield from _of_hosts(seen.hosts, seen.asked)
        if seen.migrations is not None and seen.migrations_asked is not None:
            yield from _of_migrations(seen.migrations, seen.migrations_asked)


def _of_audit(report: Report, audited: float, blind: frozenset[str]) -> Iterator[Metric]:
    found = GaugeMetricFamily('migsafe_findings', 'What the last audit found.',
                              labels=['rule', 'severity'])
    counts = collections.Counter((one.rule, one.severity.word) for one in report.findings)
    for rule in RULES:
        severities = [severity for name, severity in counts if name == rule]
        if not severities and rule not in blind:
            severities = ['none']
        for severity in severities:
            found.add_metric([rule, severity], counts[rule, severity])
    yield found
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
