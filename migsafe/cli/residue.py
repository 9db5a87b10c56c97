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
"""``migsafe residue list``: what is unsettled or held, piece by piece."""

import argparse
import re
from collections.abc import Iterator
from typing import Any

from migsafe.cli import base, config, show
from migsafe.journal import Journal, Record, Transaction

COLUMNS = ('Kind', 'State', 'Resource', 'Host', 'Key', 'Since', 'Transaction', 'Instance',
           'Reason')
PAGE = 50
# NOTE: the engine writes the kind of a residue in front of the key of its hold.
_KIND = re.compile(r'(R\d+) (.*)', re.DOTALL)


def unsettled(journal: Journal, instance: str | None, *,
              all_hosts: bool = True) -> Iterator[Transaction]:
    """Yield what is unsettled, page by page: there may be thousands."""
    after = 0
    while page := journal.unsettled(limit=PAGE, after_id=after, all_hosts=all_hosts):
        for tx in page:
            if instance is None or show.cell(tx, 'instance_uuid') == instance:
                yield tx
        after = page[-1].id


def pieces(tx: Transaction, log: list[Record]) -> Iterator[tuple[str, str, Record]]:
    """Yield (state, reason, line) of each piece of a transaction that is not known to be done.

    A piece is ``held`` if it is among the reasons of the last attempt, and ``was held`` if an
    earlier attempt held it and nothing has been heard of it since.
    """
    holds: dict[tuple[Any, Any], Record] = {}
    intents: dict[Any, Record] = {}
    for line in log:
        kind = show.cell(line, 'kind')
        thing = (show.cell(line, 'resource'), show.cell(line, 'key'))
        if kind == 'hold':
            holds[thing] = line
        elif kind == 'settled':
            holds.pop(thing, None)
        elif kind == 'intent':
            intents[line.id] = line
        elif kind == 'outcome':
            intents.pop(show.cell(line, 'ref'), None)
    reason = show.cell(tx, 'reason')
    for line in holds.values():
        why = show.cell(line, 'text')
        yield ('held' if why in reason else 'was held'), why, line
    for line in intents.values():
        yield 'unknown', f'{show.cell(line, "effect")} may have happened', line


class ResidueList(base.Command):
    """List what is unsettled or held, with the reason; exit code 3 if there is anything."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the filter."""
        parser = super().get_parser(prog_name)
        parser.add_argument('--instance', metavar='UUID', help='only those of one instance')
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[tuple[str, ...], Any]:
        """Return one row per piece, and one per transaction that has none to show."""
        rows: list[tuple[Any, ...]] = []
        with config.opened(self.conf) as journal:
            for tx in unsettled(journal, parsed_args.instance):
                log = journal.records(tx, kinds=('hold', 'settled', 'intent', 'outcome'))
                self.found(show.problems([tx, *log]))
                rows += self._rows(tx, log)
            findings = list(self._findings(journal, parsed_args.instance))
        if rows:
            self.found([f'{len(rows)} found. nova-compute tries again by itself; '
                        '"migsafe settle" asks for it now.'])
        if findings:
            self.found([f'{len(findings)} found that a person has to see to; the reason says '
                        'how.'])
        return COLUMNS, [*rows, *findings]

    def _findings(self, journal: Journal, instance: str | None) -> Iterator[tuple[Any, ...]]:
        """What was found without a transaction that it belongs to."""
        found = journal.findings(all_hosts=True)
        self.found(show.problems(found))
        for one in found:
            kind, host, key, since, its, text = (show.cell(one, name) for name in (
                'kind', 'host', 'key', 'created_at', 'instance_uuid', 'text'))
            if instance in (None, its):
                yield (kind, 'found', 'host_device', host, key, since, '', its, text)

    @staticmethod
    def _rows(tx: Transaction, log: list[Record]) -> Iterator[tuple[Any, ...]]:
        tail = (show.cell(tx, 'uuid'), show.cell(tx, 'instance_uuid'))
        host, reason, shown = show.cell(tx, 'host'), show.cell(tx, 'reason'), False
        for state, why, line in pieces(tx, log):
            key = show.cell(line, 'key')
            known = _KIND.fullmatch(key)
            kind, key = (known[1], known[2]) if known else ('', key)
            yield (kind, state, show.cell(line, 'resource'), host, key,
                   show.cell(line, 'created_at'), *tail, why)
            shown = shown or state == 'held'
        if not shown:
            tried = show.cell(tx, 'attempts') != 0 or show.cell(tx, 'verdict') == 'HOLD'
            state = 'held' if tried else 'unsettled'
            yield ('', state, 'transaction', host, '', show.cell(tx, 'created_at'), *tail,
                   reason or 'not decided yet')
