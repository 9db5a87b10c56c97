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
"""``migsafe exporter``: findings, transactions and hosts for Prometheus."""

import argparse
import dataclasses
import time
from collections.abc import Set
from typing import Any

import prometheus_client

from migsafe import exceptions
from migsafe.audit.opening import Sources
from migsafe.audit.rules import NEEDS, RULES, USES
from migsafe.cli import (
    audit_cinder,
    audit_options,
    audit_services,
    audit_sources,
    fleet,
    migrations,
    show,
)
from migsafe.exporter import collector
from migsafe.exporter.collector import Host, Metrics
from migsafe.text import masked

#: Where it listens: nobody has registered the port, see
#: https://github.com/prometheus/prometheus/wiki/Default-port-allocations.
ADDRESS, PORT = '127.0.0.1', 9859
#: Seconds between two audits, and between two questions to the hosts.
AUDIT, HOSTS = 3600.0, 60.0


class Exporter(audit_options.Command):
    """Tell Prometheus what an audit finds, what is unsettled, and which hosts are armed.

    It audits the databases and asks all hosts by turns, and serves what it has seen last. Each
    audit asks hosts and backends of Cinder, too, if they are named. What could not be seen has no
    sample. The alert rules and the dashboard for it are in etc/migsafe.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add where it listens, and how often it looks."""
        parser = super().get_parser(prog_name)
        audit_services.add_arguments(parser)
        audit_cinder.add_argument(parser)
        parser.add_argument('--listen', default=ADDRESS, metavar='ADDRESS',
                            help='where it listens; there is no password (default: %(default)s)')
        parser.add_argument('--port', type=int, default=PORT, help='(default: %(default)d)')
        parser.add_argument('--audit-every', type=float, default=AUDIT, metavar='SECONDS',
                            help='between two audits (default: %(default)g)')
        parser.add_argument('--hosts-every', type=float, default=HOSTS, metavar='SECONDS',
                            help='between two questions to the hosts, with --fleet (default: '
                            '%(default)g)')
        parser.add_argument('--once', action='store_true',
                            help='look once, print it and leave: for the textfile collector of '
                            "Prometheus' node exporter")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[tuple[str, ...], Any]:
        """Look and serve until it is ended."""
        sources = audit_cinder.with_api(
            audit_sources.chosen(parsed_args, self.config_files), parsed_args)
        registry, metrics = prometheus_client.CollectorRegistry(), Metrics()
        registry.register(metrics)
        if not parsed_args.once:
            try:
                prometheus_client.start_http_server(
                    parsed_args.port, parsed_args.listen, registry)
            except (OSError, OverflowError) as error:
                raise audit_sources.BadArgument(
                    option='--listen', reason=f'{show.text(parsed_args.listen)} port '
                    f'{parsed_args.port} cannot be listened on: {error}') from None
        every = {self._audit: parsed_args.audit_every, self._hosts: parsed_args.hosts_every,
                 self._migrations: parsed_args.hosts_every}
        due = dict.fromkeys(every, 0.0)
        while True:
            for look, when in due.items():
                if time.monotonic() >= when or not when:
                    self._safely(look, sources, parsed_args, metrics)
                    due[look] = time.monotonic() + every[look]
            if parsed_args.once:
                text = prometheus_client.generate_latest(registry).decode('utf-8')
                self.app.stdout.write(text)
                return (), []
            time.sleep(max(0.1, min(due.values()) - time.monotonic()))

    def produce_output(self, parsed_args: argparse.Namespace, column_names: Any,
                       data: Any) -> int:
        """Print no table."""
        return 0

    def _safely(self, look: Any, *given: Any) -> None:
        """Keep what was seen before if something is away; its time says how old it is."""
        try:
            look(*given)
        except audit_sources.BadArgument:
            raise
        except Exception as error:
            # NOTE: whatever it is, what was seen before is served on.
            self.say(show.text(error if isinstance(error, exceptions.MigsafeError)
                               else masked(error)))
            self.exit_code = 1

    def _audit(self, sources: Sources, given: argparse.Namespace, metrics: Metrics) -> None:
        ask = audit_services.asking(self.conf, given, sources)
        found = self.look(dataclasses.replace(sources, ask=ask), given)
        now = time.time()
        metrics.seen = dataclasses.replace(
            metrics.seen, report=found, audited=now, findings=collector.found(
                found, _blind(sources, given, found.lost), metrics.seen.findings, now))

    def _hosts(self, _sources: Sources, given: argparse.Namespace, metrics: Metrics) -> None:
        if given.fleet is None:
            return
        found = tuple(Host(one.host, one.state, one.unsettled, one.held)
                      for one in fleet.asked(self.conf, given.fleet))
        metrics.seen = dataclasses.replace(metrics.seen, hosts=found, asked=time.time())

    def _migrations(self, _sources: Sources, given: argparse.Namespace, metrics: Metrics) -> None:
        if given.fleet is None:
            return
        found = migrations.counted(self.conf, given.fleet)
        metrics.seen = dataclasses.replace(metrics.seen, migrations=found,
                                           migrations_asked=time.time())


def _blind(sources: Sources, given: argparse.Namespace, lost: Set[str]) -> frozenset[str]:
    """The rules of which an audit did not see all.

    :param lost: views that were asked, and could not be read whole
    """
    asked = {name for name, there in (
        ('Cinder', sources.cinder_label), ('Placement', sources.placement),
        ('Neutron', sources.neutron), ('hosts', given.fleet is not None)) if there}
    return frozenset(rule for rule in RULES if USES[rule] & lost
                     or given.rule and rule not in given.rule
                     or rule in NEEDS and not NEEDS[rule] & asked)
