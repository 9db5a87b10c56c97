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
"""``migsafe journal list`` and ``migsafe journal show``."""

import argparse
from collections.abc import Iterator
from typing import Any

from migsafe import exceptions
from migsafe.cli import base, config, show
from migsafe.journal import Journal, Record, Transaction

LIST = ('UUID', 'Host', 'Role', 'Instance', 'Source', 'Destination', 'State', 'Verdict',
        'Attempts', 'Next attempt', 'Updated', 'Reason')
LIST_FIELDS = ('uuid', 'host', 'role', 'instance_uuid', 'source_host', 'dest_host', 'state',
               'verdict', 'attempts', 'next_attempt_at', 'updated_at', 'reason')
SHOW = ('Time', 'Host', 'Role', 'ID', 'Event', 'Resource', 'Key', 'Effect', 'Status', 'Text',
        'Details')
SHOW_FIELDS = ('id', 'kind', 'resource', 'key', 'effect', 'status', 'text')
NUMBER, EVENT = SHOW.index('ID'), SHOW.index('Event')
PAGE = 200


class JournalList(base.Command):
    """List transactions, the newest first."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the filters."""
        parser = super().get_parser(prog_name)
        parser.add_argument('--state', choices=('open', 'settled'))
        parser.add_argument('--instance', metavar='UUID', help='only those of one instance')
        parser.add_argument('--all-hosts', action='store_true',
                            help='of all hosts that share this database')
        parser.add_argument('--limit', type=int, default=100, metavar='N',
                            help='at most N, 0 for all (default: %(default)s)')
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[tuple[str, ...], Any]:
        """Return one row per transaction."""
        with config.opened(self.conf) as journal:
            found = list(self._pages(journal, parsed_args))
        self.found(show.problems(found))
        return LIST, [tuple(show.cell(tx, name) for name in LIST_FIELDS) for tx in found]

    @staticmethod
    def _pages(journal: Journal, args: argparse.Namespace) -> Iterator[Transaction]:
        left, after = args.limit or float('inf'), 0
        while left > 0:
            page = journal.list(
                state=args.state, instance_uuid=args.instance, all_hosts=args.all_hosts,
                limit=int(min(PAGE, left)), after_id=after, newest=True)
            if not page:
                return
            yield from page
            left, after = left - len(page), page[-1].id


def _in_order(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Two timelines as one, by the numbers of their lines.

    Times are too coarse, and a clock may have been set back. What has no number goes with the
    line before it, and a beginning with the line after it.
    """
    numbers = [row[NUMBER] for row in rows]
    for at in range(1, len(rows)):
        if numbers[at] is None and rows[at][EVENT] != 'begin':
            numbers[at] = numbers[at - 1]
    for at in reversed(range(len(rows) - 1)):
        if numbers[at] is None:
            numbers[at] = numbers[at + 1]
    order = sorted(range(len(rows)), key=lambda at: (
        not isinstance(numbers[at], int), numbers[at] if isinstance(numbers[at], int) else 0))
    return [rows[at] for at in order]


class JournalShow(base.Command):
    """Show the timeline of one transaction.

    An intent whose status is "may have happened" has no outcome: the process died, or the
    effect is under way.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the transaction."""
        parser = super().get_parser(prog_name)
        parser.add_argument('uuid', metavar='UUID', help="Nova's migration uuid")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[tuple[str, ...], Any]:
        """Return one row per line of the log, of both roles if both are in this database."""
        with config.opened(self.conf) as journal:
            found = [tx for role in ('source', 'destination')
                     if (tx := journal.get(parsed_args.uuid, role, all_hosts=True))]
            if not found and (tx := journal.get(parsed_args.uuid, all_hosts=True)):
                found = [tx]
            if not found:
                raise exceptions.JournalNotFound(
                    database=journal.database, uuid=show.text(parsed_args.uuid))
            logs = [(tx, journal.records(tx)) for tx in found]
        self.found(show.problems([*found, *(line for _tx, log in logs for line in log)]))
        rows = [row for tx, log in logs for row in self._timeline(tx, log)]
        return SHOW, rows if len(logs) == 1 else _in_order(rows)

    @staticmethod
    def _time(row: Any, name: str) -> str | None:
        try:
            return show.exactly(getattr(row, name))
        except exceptions.JournalCorrupt:
            return show.UNREADABLE

    def _timeline(self, tx: Transaction, log: list[Record]) -> Iterator[tuple[Any, ...]]:
        host, role = show.cell(tx, 'host'), show.cell(tx, 'role')
        done = {show.cell(line, 'ref') for line in log}

        def summary(when: str, event: str, status: str, words: str) -> tuple[Any, ...]:
            return (self._time(tx, when), host, role, None, event, 'transaction',
                    show.cell(tx, 'instance_uuid'), '', status, words, None)
        yield summary('created_at', 'begin', '',
                      f'{show.cell(tx, "source_host")} -> {show.cell(tx, "dest_host")}')
        for line in log:
            number, kind, resource, key, effect, status, words = (
                show.cell(line, name) for name in SHOW_FIELDS)
            if kind == 'intent' and number not in done:
                status = 'may have happened'
            yield (self._time(line, 'created_at'), host, role, number, kind, resource, key,
                   effect, status, words, show.Details(line))
        last = 'settled_at' if show.cell(tx, 'settled_at') else 'updated_at'
        verdict = show.cell(tx, 'verdict') or 'no verdict yet'
        yield summary(last, 'settled' if last == 'settled_at' else 'now', verdict,
                      show.cell(tx, 'reason'))
