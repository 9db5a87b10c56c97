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
"""What ``migsafe audit`` and ``migsafe repair`` share: arguments, and the look at a cloud."""

import argparse
import datetime
import sys
import uuid
from collections.abc import Mapping
from typing import NoReturn

from oslo_utils import uuidutils

from migsafe.audit import report, scan
from migsafe.audit.activity import Spans
from migsafe.audit.checkpoint import Checkpoint, Unusable
from migsafe.audit.opening import Sources
from migsafe.audit.rules import RULES
from migsafe.cli import audit_progress, audit_sources, base, codes, show
from migsafe.text import shell


class Command(base.Command):
    """Looks for residue in databases."""

    def get_epilog(self) -> str:
        """Return the exit codes, with the one of wrong arguments that Nova's own tools have."""
        return f'{codes.HELP}  127 audit, repair: wrong arguments\n'

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the databases and the filters."""
        parser = super().get_parser(prog_name)
        audit_sources.add_arguments(parser)
        _add_filters(parser)

        def error(message: str) -> NoReturn:
            parser.print_usage(sys.stderr)
            parser.exit(codes.ARGUMENTS, f'{parser.prog}: error: {message}\n')
        setattr(parser, 'error', error)  # noqa: B010 -- mypy takes a method for a constant
        return parser

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Run, and tell wrong arguments from a failure."""
        try:
            return super().run(parsed_args)
        except (audit_sources.BadArgument, Unusable) as error:
            self.say(str(error))
            return codes.ARGUMENTS

    def asked(self, given: argparse.Namespace) -> report.Asked:
        """Return which findings are wanted."""
        # NOTE: the option before the subcommand has the same name, and takes it from everywhere.
        host = self.app_args.compute_host or given.host
        return report.Asked((host,) if host else (), _ids(given.instance), _ids(given.volume),
                            given.rule)

    def look(self, sources: Sources, given: argparse.Namespace,
             kept: Checkpoint | None = None) -> report.Report:
        """Look at the cloud, and show how far that is on a terminal."""
        progress = audit_progress.shown_on(self.app.stderr or sys.stderr)
        try:
            found = scan.audit(sources, self.asked(given), spans(given), now(),
                               progress or (lambda _done, _total: None), kept)
        finally:
            if progress:
                progress.end()
        _see(found.nowhere)
        return found


def now() -> datetime.datetime:
    """Return the time of this machine, UTC."""
    return datetime.datetime.now(datetime.UTC).replace(tzinfo=None)


def spans(given: argparse.Namespace) -> Spans:
    """Return how long things take."""
    return Spans(given.grace, given.stuck)


#: Option that takes UUIDs -> what the client calls it.
IDS = {'--instance': 'server', '--volume': 'volume'}


def _ids(given: list[str]) -> list[str]:
    """UUIDs as the databases have them; a report may have had room for a part of one only."""
    return [str(uuid.UUID(one)) if uuidutils.is_uuid_like(one) else one for one in given]


def _see(nowhere: Mapping[str, list[str]]) -> None:
    """:raises BadArgument: a name was given for an id"""
    for option, what in IDS.items():
        for one in nowhere.get(option, ()):
            if not uuidutils.is_uuid_like(one):
                raise audit_sources.BadArgument(
                    option=option, reason=f'{shell(show.text(one))} is no UUID, and no record has '
                    f'it. openstack {what} show -c id {shell(show.text(one))} says which it is')


def _add_filters(parser: argparse.ArgumentParser) -> None:
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
