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
"""``migsafe audit``: what failed migrations have left in the records of a cloud."""

import argparse
import datetime
import os
import sys
from collections.abc import Iterator
from typing import Any, NoReturn

from cliff import columns

from migsafe.audit import page, report, scan
from migsafe.audit.activity import Spans
from migsafe.audit.findings import Finding
from migsafe.audit.opening import Sources
from migsafe.audit.rules import RULES
from migsafe.cli import audit_progress, audit_sources, base, codes, show
from migsafe.text import masked, shell

COLUMNS = ('Rule', 'Severity', 'Certain', 'Hosts', 'Instance', 'Volume', 'What', 'Repair',
           'Evidence')


class Evidence(columns.FormattableColumn):
    """Names and values: a line for people, a dictionary for programs."""

    def human_readable(self) -> str:
        """Return one line."""
        return ', '.join(f'{name}={value}' for name, value in self._value.items())

    def machine_readable(self) -> Any:
        """Return all of it."""
        return self._value


class Hosts(columns.FormattableColumn):
    """Several hosts: one after the other for people, a list for programs."""

    def human_readable(self) -> str:
        """Return one line."""
        return ', '.join(self._value)

    def machine_readable(self) -> Any:
        """Return the list."""
        return list(self._value)


class Audit(base.Command):
    """Find what failed migrations have left in the databases of Nova and Cinder.

    It reads, and only that: no service is asked, nothing has to be armed, and the databases may
    be those of a live cloud, or copies, of any release from Ocata on. What it finds it reads once
    more before it tells of it. Operations that are under way are not residue.

    The exit code is 0 if nothing was found, 3 if something was, 1 if a database that was named
    could not be read whole and nothing was found in the rest, and 127 if the arguments are wrong.
    What could not be seen is told on standard error.
    """

    SHORT = ('Rule', 'Severity', 'Hosts', 'Instance', 'What')

    def get_epilog(self) -> str:
        """Return the exit codes, with the one that is audit's own."""
        return f'{codes.HELP}  127 audit: wrong arguments\n'

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the databases and the filters."""
        parser = super().get_parser(prog_name)
        audit_sources.add_arguments(parser)
        parser.add_argument(
            '--host', metavar='HOST', help='only findings about this compute host')
        for name, what in (('instance', 'UUID of an instance'), ('volume', 'id of a volume')):
            parser.add_argument(f'--{name}', action='append', default=[], metavar='UUID',
                                help=f'{what}; only findings about these')
        parser.add_argument(
            '--rule', action='append', default=[], choices=list(RULES), metavar='RULE',
            help=f'only these rules: {", ".join(RULES)}')
        parser.add_argument(
            '--grace', type=_minutes, default=Spans.grace, metavar='MINUTES',
            help='what has changed within this time is being changed, and no residue; in minutes, '
            'default 15')
        parser.add_argument(
            '--stuck', type=_hours, default=Spans.stuck, metavar='HOURS',
            help='an operation that has shown no progress for so long does not go on any more; in '
            'hours, default 24')
        parser.add_argument('--html', metavar='FILE', help='write the report as a page, too')

        def error(message: str) -> NoReturn:
            parser.print_usage(sys.stderr)
            parser.exit(codes.ARGUMENTS, f'{parser.prog}: error: {message}\n')
        setattr(parser, 'error', error)  # noqa: B010 -- mypy takes a method for a constant
        return parser

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Run, and tell wrong arguments from a failure."""
        try:
            return super().run(parsed_args)
        except audit_sources.BadArgument as error:
            self.say(str(error))
            return codes.ARGUMENTS

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[tuple[str, ...], Any]:
        """Return one row for each finding."""
        sources = audit_sources.chosen(parsed_args, self.config_files)
        # NOTE: the option before the subcommand has the same name, and takes it from everywhere.
        host = self.app_args.compute_host or parsed_args.host
        asked = report.Asked((host,) if host else (), parsed_args.instance, parsed_args.volume,
                             parsed_args.rule)
        found = self._audit(sources, asked, Spans(parsed_args.grace, parsed_args.stuck))
        self._tell(found)
        if parsed_args.html:
            self._write(found, parsed_args.html)
        self.exit_code = (codes.FOUND if found.findings else
                          codes.ERROR if found.failed else codes.CLEAN)
        return COLUMNS, list(_rows(found.findings))

    def _audit(self, sources: Sources, asked: report.Asked,
               spans: Spans) -> report.Report:
        progress = audit_progress.shown_on(self.app.stderr or sys.stderr)
        try:
            return scan.audit(sources, asked, spans,
                              datetime.datetime.now(datetime.UTC).replace(tzinfo=None),
                              progress or (lambda _done, _total: None))
        finally:
            if progress:
                progress.end()

    def _tell(self, found: report.Report) -> None:
        """Say what was looked at, and what was not seen."""
        counts = found.counts
        self.say(f'Read in {found.seconds:.1f} s: instances {counts["instances"]}, rows of '
                 f'volumes {counts["rows"]}, attachments {counts["attachments"]}. '
                 f'The records are of {show.moment(found.now)} UTC.')
        by_rule = ', '.join(f'{rule} {count}' for rule, count in found.by_rule().items())
        self.say(f'Found: {by_rule or "nothing"}.' + (
            f' {found.doubts} more were gone when they were looked at again.'
            if found.doubts else ''))
        for sentence in found.unseen:
            self.say(f'Not seen: {show.text(sentence)}')

    def _write(self, found: report.Report, path: str) -> None:
        try:
            # NOTE: names of hosts and volumes are not for everybody on this machine.
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with open(handle, 'w', encoding='utf-8') as stream:
                stream.write(page.render(found))
        except OSError as error:
            raise audit_sources.BadArgument(
                option='--html', reason=f'{shell(path)} cannot be written: {masked(error)}') \
                from None


def _rows(findings: list[Finding]) -> Iterator[tuple[Any, ...]]:
    for one in findings:
        yield (one.rule, one.severity.word, one.certain,
               Hosts([show.text(host) for host in one.hosts]), show.text(one.instance or ''),
               show.text(one.volume or ''), show.text(one.what), show.text(one.repair),
               Evidence({name: show.text(value) for name, value in one.evidence}))


def _minutes(text: str) -> datetime.timedelta:
    return _span(text, 'minutes')


def _hours(text: str) -> datetime.timedelta:
    return _span(text, 'hours')


def _span(text: str, unit: str) -> datetime.timedelta:
    try:
        found = datetime.timedelta(**{unit: float(text)})
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(f'{text!r} is no number of {unit}') from None
    if found < datetime.timedelta(0):
        raise argparse.ArgumentTypeError(f'{text!r} {unit} is less than none')
    return found
