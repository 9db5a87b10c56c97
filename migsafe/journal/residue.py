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
"""What a journal holds that is unsettled or held, piece by piece."""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from migsafe import exceptions
from migsafe.journal.reader import JournalReader
from migsafe.journal.records import Record, Transaction
from migsafe.journal.view import UNREADABLE, cell

PAGE = 50
_KINDS = ('hold', 'settled', 'intent', 'outcome')
_KIND = re.compile(r'(R\d+)(?: (.*))?', re.DOTALL)


class Piece(NamedTuple):
    """One thing that is not as it should be; every value can be shown as it is.

    :param kind: of residue, such as R4; empty if it is not known
    :param state: unsettled, held, was held, unknown or found
    """

    kind: str
    state: str
    resource: str
    host: str
    key: str
    since: str | None
    transaction: str
    instance: str
    reason: str


def unsettled(journal: JournalReader, instance: str | None, *,
              all_hosts: bool = True) -> Iterator[Transaction]:
    """Yield what is unsettled, page by page: there may be thousands."""
    for page in _pages(journal, instance, all_hosts):
        yield from page


def _pages(journal: JournalReader, instance: str | None,
           all_hosts: bool) -> Iterator[list[Transaction]]:
    after = 0
    while page := journal.unsettled(limit=PAGE, after_id=after, all_hosts=all_hosts):
        yield [tx for tx in page if instance is None or cell(tx, 'instance_uuid') == instance]
        after = page[-1].id


def _plain(line: Record, name: str) -> Any:
    """A field to compare and not to show, which masking would make slow."""
    try:
        return getattr(line, name)
    except exceptions.JournalCorrupt:
        return UNREADABLE


def pieces(tx: Transaction, log: list[Record]) -> Iterator[tuple[str, str, Record]]:
    """Yield (state, reason, line) of each piece of a transaction that is not known to be done.

    A piece is ``held`` if it is among the reasons of the last attempt, and ``was held`` if an
    earlier attempt held it and nothing has been heard of it since.
    """
    holds: dict[tuple[Any, Any], Record] = {}
    intents: dict[Any, Record] = {}
    for line in log:
        kind = _plain(line, 'kind')
        thing = (_plain(line, 'resource'), _plain(line, 'key'))
        if kind == 'hold':
            holds[thing] = line
        elif kind == 'settled':
            holds.pop(thing, None)
        elif kind == 'intent':
            intents[line.id] = line
        elif kind == 'outcome':
            intents.pop(_plain(line, 'ref'), None)
    reason = cell(tx, 'reason')
    for line in holds.values():
        why = cell(line, 'text')
        yield ('held' if why in reason else 'was held'), why, line
    for line in intents.values():
        yield 'unknown', f'{cell(line, "effect")} may have happened', line


def listed(journal: JournalReader, instance: str | None = None, *, all_hosts: bool = False,
           damaged: Callable[[Iterable[Any]], None] = lambda rows: None) -> Iterator[Piece]:
    """Yield one piece for each thing, one for a transaction that has none to show.

    :param instance: only those of one instance
    :param damaged: is told the rows that were read, to look for what cannot be
    """
    for page in _pages(journal, instance, all_hosts):
        logs = journal.logs(page, _KINDS) if page else {}
        for tx in page:
            damaged([tx, *logs[tx.id]])
            yield from _of_transaction(tx, logs[tx.id])
    found = journal.findings(all_hosts=all_hosts)
    damaged(found)
    for one in found:
        kind, host, key, since, its, text = (cell(one, name) for name in (
            'kind', 'host', 'key', 'created_at', 'instance_uuid', 'text'))
        if instance in (None, its):
            yield Piece(kind, 'found', 'host_device', host, key, since, '', its, text)


def _of_transaction(tx: Transaction, log: list[Record]) -> Iterator[Piece]:
    tail = (cell(tx, 'uuid'), cell(tx, 'instance_uuid'))
    host, reason, shown = cell(tx, 'host'), cell(tx, 'reason'), False
    for state, why, line in pieces(tx, log):
        key = cell(line, 'key')
        known = _KIND.fullmatch(key)
        kind, key = (known[1], known[2] or '') if known else ('', key)
        yield Piece(kind, state, cell(line, 'resource'), host, key, cell(line, 'created_at'),
                    *tail, why)
        shown = shown or state == 'held'
    if not shown:
        tried = cell(tx, 'attempts') != 0 or cell(tx, 'verdict') == 'HOLD'
        yield Piece('', 'held' if tried else 'unsettled', 'transaction', host, '',
                    cell(tx, 'created_at'), *tail, reason or 'not decided yet')
