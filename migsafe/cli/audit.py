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
import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import IO, Any

from cliff import columns

from migsafe.audit import beside, page, report
from migsafe.audit.checkpoint import Checkpoint
from migsafe.audit.findings import Finding
from migsafe.audit.opening import Sources
from migsafe.cli import audit_cinder, audit_options, audit_services, audit_sources, codes, show
from migsafe.journal import errors
from migsafe.text import masked, shell

COLUMNS = ('Rule', 'Severity', 'Certain', 'Hosts', 'Instance', 'Volume', 'What', 'Repair',
           'Evidence')
#: How a cell begins that a spreadsheet computes.
FORMULA = tuple('=+-@\t\r')


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


class Audit(audit_options.Command):
    """Find what failed migrations have left in the databases of Nova and Cinder.

    It reads, and only that: no service is asked unless --fleet, --exports or --cinder-api is
    given, nothing has to be armed, and the databases may be those of a live cloud, or copies, of
    any release from Ocata on. What it finds it reads once more before it tells of it. Operations
    that are under way are not residue.

    The exit code is 0 if nothing was found, 3 if something was, 1 if a database that was named
    could not be read whole, or what was asked for is in no record, and nothing was found in the
    rest, and 127 if the arguments are wrong.
    What could not be seen is told on standard error.
    """

    SHORT = ('Rule', 'Severity', 'Hosts', 'Instance', 'What')

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the services and the page."""
        parser = super().get_parser(prog_name)
        audit_services.add_arguments(parser)
        audit_cinder.add_argument(parser)
        parser.add_argument('--checkpoint', metavar='FILE', help='keep in this file how far it '
                            'is, and go on from there if it was interrupted; it is removed at the '
                            'end')
        parser.add_argument('--html', metavar='FILE', help='write the report as a page, too')
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[tuple[str, ...], Any]:
        """Return one row for each finding."""
        sources = audit_cinder.with_api(
            audit_sources.chosen(parsed_args, self.config_files), parsed_args)
        ask = audit_services.asking(self.conf, parsed_args, sources) if \
            parsed_args.fleet is not None or parsed_args.exports is not None else None
        with _page(parsed_args.html) as write:
            found = self.look(dataclasses.replace(sources, ask=ask), parsed_args,
                              self._kept(sources, parsed_args))
            self._tell(found)
            write(found)
        self.exit_code = (codes.FOUND if found.findings else
                          codes.ERROR if found.failed else codes.CLEAN)
        plain = parsed_args.formatter == 'csv'
        return COLUMNS, [tuple(map(_no_formula, row)) if plain else row
                         for row in _rows(found.findings)]

    def _kept(self, sources: Sources, given: argparse.Namespace) -> Checkpoint | None:
        if not given.checkpoint:
            return None
        databases = [errors.label(url) for url in (
            *sources.nova, sources.cinder, sources.placement, sources.neutron) if url]
        return Checkpoint(given.checkpoint, repr((
            databases, self.asked(given), audit_options.spans(given), given.fleet,
            given.exports, given.cinder_api)))

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


@contextlib.contextmanager
def _page(path: str | None) -> Iterator[Callable[[report.Report], None]]:
    """What writes a page, which takes the place of a former one when it is whole.

    :raises BadArgument: it cannot be written there, which is found out first
    """
    if not path:
        yield lambda _found: None
        return
    try:
        # NOTE: it is 0600: names of hosts and volumes are not for everybody on this machine.
        with beside.replaced(path) as stream:
            yield lambda found: _rendered(stream, found)
    except OSError as error:
        raise audit_sources.BadArgument(
            option='--html', reason=f'{shell(path)} cannot be written: {masked(error)}') from None


def _rendered(stream: IO[str], found: report.Report) -> None:
    stream.write(page.render(found))


def _no_formula(value: Any) -> Any:
    """A text that no spreadsheet takes for a formula: the database may be of anybody."""
    return f"'{value}" if isinstance(value, str) and value[:1] in FORMULA else value


def _rows(findings: list[Finding]) -> Iterator[tuple[Any, ...]]:
    for one in findings:
        yield (one.rule, one.severity.word, one.certain,
               Hosts([show.text(host) for host in one.hosts]), show.text(one.instance or ''),
               show.text(one.volume or ''), show.text(one.what), show.text(one.repair),
               Evidence({name: show.text(value) for name, value in one.evidence}))
