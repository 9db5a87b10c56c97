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
"""``migsafe preflight``: what a live migration would come to."""

import argparse
from collections.abc import Iterable, Iterator
from typing import Any

from migsafe.cli import base, bus, cloud, show, two_hosts
from migsafe.masking import one_line
from migsafe.preflight import answers, checks
from migsafe.preflight.answers import Answer
from migsafe.preflight.checks import Finding, Result
from migsafe.preflight.checks.disks import said
from migsafe.preflight.decision import Asked, Request
from migsafe.preflight.facts import Facts

COLUMNS = ('What', 'Name', 'Result', 'Detail', 'Remedy')
#: Seconds beside the time-outs of the questions themselves.
GRACE = 5
#: What lets a migration be asked for.
GOOD = (Result.OK, Result.NOTE)


class Preflight(base.Command):
    """Say what a live migration of a server would come to, before it is asked for.

    Each disk of the guest: whether it is connected, shared, copied or left; what Nova would
    decide because of them, and which --block-migration works; and checks of both hosts. Nothing
    is changed. The exit code is 3 if anything is refused, harmful, doubtful, or could not be
    asked. The account for Nova's API is that of clouds.yaml or the environment.
    """

    SHORT = ('What', 'Name', 'Result', 'Detail')

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the server, and what would be asked for."""
        parser = super().get_parser(prog_name)
        parser.add_argument('server', metavar='SERVER', help='id or name')
        # NOTE: the application takes it from wherever it stands; here it is for the help alone.
        parser.add_argument('--host', metavar='HOST', dest='destination',
                            help='the destination; without it nothing is said of one')
        parser.add_argument('--block-migration', choices=[one.value for one in Asked],
                            default=Asked.AUTO.value,
                            help='what the migration would be asked for with '
                            '(default: %(default)s)')
        parser.add_argument('--os-cloud', metavar='NAME',
                            help='cloud of clouds.yaml; default: OS_CLOUD of the environment, or '
                            'its account')
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[tuple[str, ...], Any]:
        """Ask, judge, and return the disks, the decision and the checks."""
        conf = self.conf
        seconds = cloud.WHOLE + 2 * (conf.migsafe.rpc_timeout + bus.CONNECT) + GRACE
        found = two_hosts.facts(
            cloud.Cloud(parsed_args.os_cloud), bus.Bus(conf), seconds, parsed_args.server,
            self.app_args.compute_host or '', Request(Asked(parsed_args.block_migration)))
        findings = checks.look(found)
        self.found(list(_lines(findings)))
        return COLUMNS, [*self._decision(found), *map(self._row, findings)]

    @staticmethod
    def _row(one: Finding) -> tuple[Any, ...]:
        return ('check', one.code, one.result.value, show.Short(one_line(one.detail)),
                show.Short(one_line(one.remedy)))

    @staticmethod
    def _decision(found: Facts) -> list[tuple[Any, ...]]:
        """The disks and the decision, where these are the same in each situation that may be."""
        situations = found.situations()
        made = [answers.answer(one, found.request) for one in situations]
        if not made or any(one != made[0] for one in made):
            return [('decision', found.request.block.value, 'unknown', None, None)]
        return [*_disks(found, made[0]), (
            'decision', found.request.block.value,
            'refused' if made[0].decision.refusal else 'copies' if made[0].decision.block
            else 'copies nothing', show.Short(said(made[0])), None)]


def _lines(findings: Iterable[Finding]) -> Iterator[str]:
    """What is not good, whole; what is the same of several checks once."""
    told: dict[tuple[str, str, str], list[str]] = {}
    for one in findings:
        if one.result not in GOOD:
            told.setdefault((one.result.value, one.detail, one.remedy), []).append(one.code)
    for (result, detail, remedy), names in told.items():
        yield one_line(f'{", ".join(names)}: {result}: {detail}' + (
            f'. {remedy}' if remedy else ''))


def _disks(found: Facts, given: Answer) -> list[tuple[Any, ...]]:
    """One row for each disk; where Nova refuses, what they are."""
    guest = found.situations()[0].guest
    judged = {id(one.disk): one for one in given.disks}
    rows: list[tuple[Any, ...]] = []
    for disk in guest.disks:
        one = judged.get(id(disk))
        what = ', '.join(filter(None, (
            guest.kind(disk).value, disk.source, disk.device if disk.device != 'disk' else '',
            'read-only' if disk.readonly else '', one_line(disk.serial or disk.name))))
        rows.append(('disk', one_line(disk.target), one.row.fate.value if one else 'stays',
                     show.Short(f'{what}: {one.row.why}' if one else what),
                     show.Short(answers.remedy(one, guest.uuid)) if one else None))
    return rows
