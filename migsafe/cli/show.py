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
"""Formats records as cells: secrets are masked, control characters removed."""

import datetime
import json
import re
from collections.abc import Iterable
from typing import Any

from cliff import columns

from migsafe import exceptions
from migsafe.journal import records, redact
from migsafe.journal.values import prose
from migsafe.journal.view import UNREADABLE, cell, moment, text

__all__ = ('UNREADABLE', 'Count', 'Details', 'Nothing', 'Short', 'cell', 'exactly', 'moment',
           'problems', 'text')

CELL = 120
#: What to do, as a sentence. The name of a host may have dots in it; parentheses end what is
#: quoted.
_NEXT = re.compile(r'Next: (?:[^.)]|\.(?=\S))+')
#: A command in a message, as all of them are quoted.
_COMMAND = re.compile(r'(["`])(?:migsafe|nova-manage|openstack) [^"`]*\1')


def exactly(value: datetime.datetime | None) -> str | None:
    """Return a time as UTC to the millisecond, for a timeline."""
    return value.isoformat(' ', 'milliseconds') if value else None


def problems(rows: Iterable[Any]) -> list[str]:
    """Return one sentence per unreadable field."""
    found = []
    for row in rows:
        for name in row.problems():
            try:
                getattr(row, name)
            except exceptions.JournalCorrupt as exc:
                found.append(text(exc))
    return found


def brief(message: str) -> str:
    """Return what stays readable in a cell: how it begins, and what to do or to run next."""
    if len(message) <= CELL:
        return message
    begin = message[:CELL].rpartition(' ')[0]
    todo = _NEXT.search(message, len(begin)) or _COMMAND.search(message, len(begin))
    return f'{begin} ... {todo[0] if todo else ""}'.rstrip()


class Details(columns.FormattableColumn):
    """A payload: cut short for people, whole for programs, masked for both."""

    def __init__(self, record: records.Record) -> None:
        try:
            value = redact(record.payload)
        except exceptions.JournalCorrupt as exc:
            value = {'unreadable': text(exc)}
        super().__init__(value)

    def human_readable(self) -> str:
        """Return one line."""
        if self._value is None:
            return ''
        shown = prose(json.dumps(self._value, sort_keys=True))
        return shown if len(shown) <= CELL else shown[:CELL] + '...'

    def machine_readable(self) -> Any:
        """Return all of it."""
        return self._value


class Short(columns.FormattableColumn):
    """A sentence or more: its beginning for people, whole for programs."""

    def human_readable(self) -> str:
        """Return as much as stays readable in a cell."""
        return brief(str(self._value))

    def machine_readable(self) -> Any:
        """Return all of it."""
        return self._value


class Nothing(columns.FormattableColumn):
    """No value: an empty cell for people, null for programs."""

    def human_readable(self) -> str:
        """Return nothing."""
        return ''

    def machine_readable(self) -> Any:
        """Return None."""
        return None


class Count(columns.FormattableColumn):
    """A list: its length for people, whole for programs."""

    def human_readable(self) -> str:
        """Return the number of its items."""
        return str(len(self._value)) if isinstance(self._value, list) else str(self._value)

    def machine_readable(self) -> Any:
        """Return the list."""
        return self._value
