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
"""``migsafe status``: whether every host is armed."""

import argparse
import dataclasses
import datetime
from typing import Any

from oslo_config import cfg
from oslo_utils import timeutils

from migsafe import exceptions, process, version
from migsafe.cli import base, codes, config, fleet, installed, show
from migsafe.journal import Journal, ServiceStatus

COLUMNS = ('Host', 'State', 'PID', 'Alive', 'migsafe', 'Nova', 'Concurrency', 'Seams',
           'Unsettled', 'Held', 'Last seen', 'Detail')
# NOTE: nova-compute reports at each recovery round. A round that waits for time-outs of a peer
# may take minutes.
QUIET_ROUNDS = 10
QUIET_SECONDS = 300


@dataclasses.dataclass(frozen=True)
class Facts:
    """What is known of one nova-compute. ``alive`` is None where it cannot be looked up."""

    armed: bool
    alive: bool | None
    quiet: bool


# The first row that fits decides: (armed, alive, quiet), None fits anything.
STATES: tuple[tuple[tuple[bool | None, bool | None, bool | None], str, str], ...] = (
    ((False, None, None), 'unarmed', 'nova-compute runs without protection'),
    ((True, False, None), 'dead', 'the process that reported is gone; start nova-compute. If it '
     'runs, it runs without protection: see its log, and run "migsafe-status upgrade check" in '
     'its environment'),
    ((True, None, True), 'silent', 'no report for a long time; see the log of nova-compute'),
    ((True, None, None), 'armed', ''),
)


def judge(facts: Facts) -> tuple[str, str]:
    """Return the state of a host and what to do about it, from the table ``STATES``."""
    found = (facts.armed, facts.alive, facts.quiet)
    for wanted, state, detail in STATES:
        if all(want is None or want == have for want, have in zip(wanted, found, strict=True)):
            return state, detail
    return 'unknown', ''


def is_alive(status: ServiceStatus, host: str) -> bool | None:
    """Tell whether the process of a report lives; None for a process of another machine."""
    if status.host != host:
        return None
    if status.boot_id and status.boot_id != process.boot_id():
        return False
    begun = process.started(int(status.pid))
    # A report from before the upgrade does not say when its process began.
    return begun is not None and status.started in (None, begun)


class Status(base.Command):
    """Show per host whether migsafe protects its live migrations.

    The exit code is 3 if a host is not armed, dead, silent or unknown, and if what is installed
    here as migsafe is not this project. Without --fleet it is about the hosts of this journal,
    which is one host unless [migsafe] connection is set.
    """

    SHORT = ('Host', 'State', 'Nova', 'Unsettled', 'Held', 'Last seen', 'Detail')

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the hosts."""
        parser = super().get_parser(prog_name)
        fleet.add_argument(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[tuple[str, ...], Any]:
        """Return one row per host of this journal, or of those that were asked."""
        conf = self.conf
        self.found(installed.problems())
        if parsed_args.fleet is not None:
            rows = [self._asked(one) for one in fleet.asked(conf, parsed_args.fleet)]
        else:
            rows = self._here(conf)
            self.one_host(conf, [row[0] for row in rows])
        if any(row[1] != 'armed' for row in rows):
            self.exit_code = codes.FOUND
        return COLUMNS, rows

    def _here(self, conf: cfg.ConfigOpts) -> list[tuple[Any, ...]]:
        try:
            with config.opened(conf) as journal:
                return self._rows(conf, journal)
        except exceptions.JournalUnavailable as exc:
            return [self._unknown(conf, conf.host, (0, 0), show.text(exc))]

    @staticmethod
    def _asked(one: fleet.Overview) -> tuple[Any, ...]:
        """The row of a host that was asked: that it answers is what shows that it lives."""
        return (one.host, one.state, one.pid, one.state == 'armed' or None, one.plugin, one.nova,
                one.concurrency, one.seams, one.unsettled, one.held, one.updated,
                show.Short(one.detail))

    def _rows(self, conf: cfg.ConfigOpts, journal: Journal) -> list[tuple[Any, ...]]:
        statuses = journal.statuses(all_hosts=True)
        self.found(show.problems(statuses))
        counts = journal.count_unsettled()
        rows = {str(show.cell(s, 'host')): self._row(conf, s, counts) for s in statuses}
        missing = set(counts) - set(rows)
        if conf.host not in rows and (
                not rows or self.app_args.compute_host or conf.migsafe.enabled):
            missing.add(conf.host)
        for host in missing:
            rows[host] = self._unknown(
                conf, host, counts.get(host, (0, 0)), 'its nova-compute has never reported: '
                'it was not restarted since migsafe was enabled, or what it would load is not '
                f'{version.DISTRIBUTION}. Run "migsafe-status upgrade check" in its environment')
        return [rows[host] for host in sorted(rows)]

    @staticmethod
    def _unknown(conf: cfg.ConfigOpts, host: str, counts: tuple[int, int],
                 detail: str) -> tuple[Any, ...]:
        state = 'unknown'
        if not conf.migsafe.enabled:
            detail = ('[migsafe] enabled is false: set it to true and restart nova-compute; '
                      f'{detail}')
            state = 'unarmed' if host == conf.host else state
        return (host, state, None, None, '', '', '', show.Count([]), *counts, None,
                show.Short(detail))

    @staticmethod
    def _row(conf: cfg.ConfigOpts, status: ServiceStatus,
             counts: dict[str, tuple[int, int]]) -> tuple[Any, ...]:
        cells = {name: show.cell(status, name) for name in (
            'host', 'pid', 'plugin_version', 'nova_version', 'concurrency', 'seams',
            'updated_at', 'detail')}
        alive = None
        try:
            alive = is_alive(status, conf.host)
            limit = max(QUIET_ROUNDS * conf.migsafe.recovery_interval, QUIET_SECONDS)
            quiet = timeutils.utcnow() - (status.updated_at or datetime.datetime.min)
            state, advice = judge(Facts(
                status.armed, alive, quiet > datetime.timedelta(seconds=limit)))
        except exceptions.JournalCorrupt:
            state, advice = 'unknown', 'its report cannot be read; restart nova-compute'
        return (cells['host'], state, cells['pid'], alive, cells['plugin_version'],
                cells['nova_version'], cells['concurrency'], show.Count(cells['seams']),
                *counts.get(cells['host'], (0, 0)), cells['updated_at'],
                show.Short('; '.join(part for part in (cells['detail'], advice) if part)))
