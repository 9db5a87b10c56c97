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
"""``migsafe host``: whether compute hosts are dead, and their guests may be started elsewhere."""

import argparse
import dataclasses
from typing import Any

from cliff import columns
from oslo_utils import uuidutils

from migsafe import exceptions
from migsafe.cli import base, checker, codes, show
from migsafe.fencing.signs import Observation
from migsafe.fencing.verdict import HostVerdict, Judgement

EXIT_CODES = {HostVerdict.DEAD: codes.CLEAN, HostVerdict.ALIVE: codes.FOUND,
              HostVerdict.UNKNOWN: codes.UNSURE}


class Evidence(columns.FormattableColumn):
    """What was seen: a line for each thing for people, each look for programs."""

    def human_readable(self) -> str:
        """Each sign once."""
        return '\n'.join(map(show.text, self._value.told))

    def machine_readable(self) -> list[dict[str, Any]]:
        """Each look."""
        return [_look(one) for one in self._value.seen]


class Fields(columns.FormattableColumn):
    """A mapping: words for people, itself for programs."""

    def human_readable(self) -> str:
        """Name and value."""
        return ', '.join(f'{name}: {"-" if value is None else value}'
                         for name, value in self._value.items())

    def machine_readable(self) -> dict[str, Any]:
        """As it is."""
        return dict(self._value)


def _look(one: Observation) -> dict[str, Any]:
    return {'probe': one.probe, 'look': one.sample, 'sign': one.sign.value,
            'meaning': one.meaning.value, 'strength': one.strength.value,
            'detail': show.text(one.detail), 'boot_id': show.text(one.boot_id),
            'sequence': one.sequence}


def _facts(found: Judgement) -> dict[str, Any]:
    """The columns of the table of verdicts, in plain values."""
    return {name: getattr(value, 'value', value)
            for name, value in dataclasses.asdict(found.found).items()}


class HostExplain(base.One):
    """Judge whether a host is dead, and say from what and by which row of the table.

    The host is looked at from here, over Nova's database and message bus, as nova-compute does
    before it takes an instance that is evacuated. Nothing is changed.
    """

    CODES = codes.VERDICTS

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add host and instance."""
        parser = super().get_parser(prog_name)
        parser.add_argument('judged_host', metavar='HOST', help='as "openstack compute service '
                            'list" names it')
        parser.add_argument('--instance', default='', metavar='UUID', help='judge it for this '
                            'instance: the host is asked whether it has the guest')
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[tuple[str, ...], Any]:
        """Return the verdict and what it comes from."""
        instance = parsed_args.instance
        if instance and not uuidutils.is_uuid_like(instance):
            raise exceptions.MigsafeError(
                f'--instance {show.text(instance)} is no uuid; see "openstack server list '
                '--all-projects --host HOST".')
        found = checker.Checker(self.conf).explain(parsed_args.judged_host, instance)
        self.exit_code = EXIT_CODES[found.verdict]
        return (('Host', 'Instance', 'Verdict', 'Row', 'Why', 'Next', 'Seen', 'Facts', 'Checker'),
                (show.text(found.host), instance or None, found.verdict.value, found.row.name,
                 found.row.why, found.next or None, Evidence(found), Fields(_facts(found)),
                 Fields(dataclasses.asdict(found.checker))))


class HostList(base.Command):
    """Judge all hosts in one pass; the exit code is 3 if one is not ALIVE."""

    SHORT = ('Host', 'Verdict', 'Row', 'Why')

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[tuple[str, ...], Any]:
        """Return one row per host."""
        found = checker.Checker(self.conf).survey()
        if any(one.verdict is not HostVerdict.ALIVE for one in found):
            self.exit_code = codes.FOUND
        return (('Host', 'Verdict', 'Row', 'Why', 'Next', 'Seen'), [
            (show.text(one.host), one.verdict.value, one.row.name, one.row.why, one.next or None,
             Evidence(one)) for one in sorted(found, key=lambda one: one.host)])
