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
"""``migsafe repair``: mend what an audit has found, as far as the hosts say what is right."""

import argparse
import contextlib
import logging
from collections.abc import Iterable, Iterator
from typing import Any

from oslo_concurrency import lockutils

from migsafe import exceptions, journal
from migsafe.audit.findings import Finding
from migsafe.audit.opening import Sources
from migsafe.cli import audit_options, audit_sources, bus, codes, fleet, repair_services, show
from migsafe.repair import transaction, word
from migsafe.repair.hosts import Leads
from migsafe.repair.plan import Plan
from migsafe.repair.transaction import Result
from migsafe.text import masked

COLUMNS = ('Instance', 'Rules', 'Result', 'What')
#: Changes of one run, unless more are asked for.
LIMIT = 25
#: The version of nova-compute's endpoint that has the call.
SINCE = '1.4'
PLANNED, LATER, LEFT, RECOVERED = 'planned', 'beyond --limit', 'left', 'recovered'
#: Name of the journal's part for what is done here, which no nova-compute settles.
JOURNAL = 'repair@{host}'
Row = tuple[str, str, str, str]


class Repair(audit_options.Command):
    """Mend what an audit finds, as far as the hosts themselves say what is right.

    Without --apply it only says what it would do. The nova-compute of each host that a finding
    names is asked what it has of the guest; a host that does not answer is not guessed about, and
    what depends on it is left, with what a person has to find out. So a copy of a database can be
    planned for, and not repaired.

    Each row is changed only if it still is what was judged, all rows of an instance at once, with
    the instance locked. No guest is stopped. A repair that was killed is ended by the next one.

    The exit code is 0 if nothing is to be mended, 4 if everything was, 3 if anything is left or
    only planned, 1 if a database could not be read whole, and 127 if the arguments are wrong.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add what may be done."""
        parser = super().get_parser(prog_name)
        parser.add_argument('--apply', action='store_true', help='do it; the account in the URL '
                            'of each database of Nova has to be one that may write')
        parser.add_argument('--dry-run', action='store_true',
                            help='only say what would be done, which is the default')
        parser.add_argument('--limit', type=int, default=LIMIT, metavar='CHANGES',
                            help='changes that are made at most (default: %(default)d)')
        repair_services.add_argument(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[tuple[str, ...], Any]:
        """Return a row for what is done about each instance, and one for each that is left."""
        if parsed_args.limit < 0:
            raise audit_sources.BadArgument(option='--limit', reason='it is less than none')
        if parsed_args.apply and parsed_args.dry_run:
            raise audit_sources.BadArgument(option='--dry-run', reason='--apply is given, too')
        sources = audit_sources.chosen(parsed_args, self.config_files)
        conf = self.conf
        common = (sources, self.asked(parsed_args), audit_options.spans(parsed_args),
                  _Hosts(conf).ask, audit_options.now, repair_services.asking(parsed_args))
        if not parsed_args.apply:
            return self._rows(transaction.Planner(*common), sources, parsed_args)
        # NOTE: what the journal is made of is not what was asked for.
        logging.getLogger('alembic').setLevel(logging.WARNING)
        with contextlib.closing(journal.open_journal(
                conf, JOURNAL.format(host=conf.host))) as opened:
            with _alone(conf):
                return self._rows(transaction.Repair(*common, journal=opened), sources,
                                  parsed_args)

    def _rows(self, planner: transaction.Planner, sources: Sources,
              given: argparse.Namespace) -> tuple[tuple[str, ...], Any]:
        rows: list[Row] = []
        if isinstance(planner, transaction.Repair):
            rows += [(uuid, '', RECOVERED if well else LEFT, what)
                     for uuid, well, what in planner.recover()]
        found = self.look(sources, given)
        for sentence in found.unseen:
            self.say(f'Not seen: {show.text(sentence)}')
        asked = self.asked(given)
        if not (asked.rules or asked.hosts or asked.volumes):
            # NOTE: otherwise what was found is not all that the instance has.
            planner.volumes.update(_volumes(found.findings))
        rows += self._all(planner, found.findings, given.limit)
        self.exit_code = _code(rows, found.failed)
        return COLUMNS, [tuple(map(show.text, row)) for row in rows]

    @staticmethod
    def _all(planner: transaction.Planner, findings: list[Finding], left: int) -> Iterator[Row]:
        """Plan for each instance, and do it if that is what was asked for.

        :param left: changes that may be made
        """
        kept: list[tuple[Plan, bool]] = []
        for instance in _instances(findings):
            if left <= 0:
                mine = [one for one in findings if one.instance == instance]
                yield (instance, _rules(mine), LATER,
                       ' '.join(['Not planned.', *(one.what for one in mine)]))
                continue
            wanted = planner.plan(instance)
            if wanted is None:
                yield from ((instance, one.rule, LEFT, f'{one.what} No cell that was given has '
                             f'the instance any more, and so no host to ask. {one.repair}')
                            for one in findings if one.instance == instance)
                continue
            if count := len(wanted.changes):
                result, why = PLANNED, ''
                if count > left:
                    result = LATER
                elif isinstance(planner, transaction.Repair):
                    done, why = planner.carry_out(wanted)
                    result = done.value
                left -= count if result != LATER else 0
                yield (instance, _rules(wanted.mended), result,
                       ' '.join([why, *(one.says for one in wanted.changes)]).strip())
            kept.append((wanted, bool(count)))
        for wanted, changed in kept:
            yield from _left(planner, wanted, changed)


def _left(planner: transaction.Planner, wanted: Plan, changed: bool) -> Iterator[Row]:
    """What is left of an instance.

    :param changed: its rows may be of just now, and would be taken for such that change
    """
    instance = wanted.ground.case.instance.uuid
    there = None
    if wanted.left and not changed and isinstance(planner, transaction.Repair):
        # What was done for another instance with the same volume may have mended it.
        now = planner.look(instance)
        there = {one.identity for one in now.findings} if now else set()
    for one in wanted.left:
        if there is None or one.finding.identity in there:
            yield instance, one.finding.rule, LEFT, f'{one.finding.what} {one.why}'


@contextlib.contextmanager
def _alone(conf: Any) -> Iterator[None]:
    """Keep out a second repair, which would take the first for one that was killed.

    :raises MigsafeError: there is one
    """
    try:
        with lockutils.lock('repair', 'migsafe-', external=True, blocking=False, do_log=False,
                            lock_path=conf.migsafe.state_path):
            yield
    except lockutils.AcquireLockFailedException:
        raise exceptions.MigsafeError(
            'Another migsafe repair --apply runs on this machine. Nothing was done; wait until it '
            'has ended.') from None


class _Hosts:
    """Asks hosts over the message bus; one that was silent once is not waited for again."""

    def __init__(self, conf: Any) -> None:
        self._silent: dict[str, str] = {}
        self._bus: bus.Bus | None = None
        self._why = ''
        try:
            self._bus = bus.Bus(conf)
        except exceptions.ConfigError as error:
            self._why = f'it was not asked: {error}'

    def ask(self, host: str, instance: str, leads: Leads) -> word.Word:
        """Return its word."""
        if self._bus is None or host in self._silent:
            return word.silent(host, self._silent.get(host, self._why))
        try:
            return word.parse(host, self._bus.call(
                fleet.service_of(host), 'guest_facts', SINCE, instance_uuid=instance,
                leads=list(leads)))
        except bus.NoAnswer as error:
            self._silent[host] = masked(error)
            return word.silent(host, self._silent[host])


def _instances(findings: Iterable[Finding]) -> list[str]:
    """The instances, the worst first."""
    return list(dict.fromkeys(one.instance for one in findings if one.instance))


def _volumes(findings: Iterable[Finding]) -> dict[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    for one in findings:
        if one.instance:
            found[one.instance] = found.get(one.instance, frozenset()) | frozenset(
                filter(None, (one.volume,)))
    return found


def _rules(findings: Iterable[Finding]) -> str:
    return ', '.join(dict.fromkeys(one.rule for one in findings))


def _code(rows: list[Row], failed: bool) -> int:
    if failed:
        return codes.ERROR
    if not rows:
        return codes.CLEAN
    good = (Result.REPAIRED.value, RECOVERED)
    return codes.REPAIRED if all(result in good for _uuid, _rules, result, _what in rows) \
        else codes.FOUND
