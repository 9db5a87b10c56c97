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
"""The journal's statements, compiled once: SQLAlchemy takes longer for each than SQLite."""

import collections
import datetime
import functools

from migsafe.journal import models, reads, writes

#: Statements that the journal builds once; all others go the long way.
ONCE = frozenset(map(id, (
    writes._INSERT, writes._LOCK, writes._SAME, writes._SAVE, reads._OF_INSTANCE)))


@functools.lru_cache(maxsize=65536)
def _time(text):
    return datetime.datetime.strptime(text, models.TIME_FORMAT)


def time_of(_type, value, _dialect):
    """As UtcDateTime reads it; the same seconds come in each schedule."""
    return _time(value) if isinstance(value, str) else value


@functools.lru_cache(maxsize=65536)
def _text(moment):
    return moment.strftime(models.TIME_FORMAT)


class Result:
    """What the journal uses of SQLAlchemy's."""

    def __init__(self, rows, cursor):
        self._rows, self.rowcount = rows, cursor.rowcount
        self.inserted_primary_key = (cursor.lastrowid,)

    def __iter__(self):
        return iter(self._rows)

    def one_or_none(self):
        return self._rows[0] if self._rows else None


class _Compiled:
    def __init__(self, statement, dialect, keys):
        compiled = statement.compile(dialect=dialect, column_keys=keys)
        self.text, self._names, self._given = (
            compiled.string, compiled.positiontup, compiled.params)
        columns = list(getattr(statement, 'selected_columns', ()))
        self._row = collections.namedtuple('Row', [column.name for column in columns])
        self._times = [isinstance(column.type, models.UtcDateTime) for column in columns]

    def values(self, given):
        found = {**self._given, **given}
        return [_text(value) if isinstance(value, datetime.datetime) else value
                for value in (found[name] for name in self._names)]

    def row(self, values):
        return self._row(*(time_of(None, value, None) if time else value
                           for value, time in zip(values, self._times, strict=True)))


class Connection:
    """As SQLAlchemy's.

    :param slow: that one
    :param direct: the driver's below it
    """

    def __init__(self, slow, direct):
        self._slow, self._direct, self._known = slow, direct, {}

    def execute(self, statement, values=None):
        """Run it; one of those that are built once goes straight to SQLite."""
        if id(statement) not in ONCE:
            return self._slow.execute(statement, values)
        lines = values if isinstance(values, list) else [values or {}]
        found = self._compiled(statement, tuple(lines[0]))
        for line in lines:
            cursor = self._direct.execute(found.text, found.values(line))
        return Result([found.row(row) for row in cursor], cursor)

    def _compiled(self, statement, keys):
        if (id(statement), keys) not in self._known:
            self._known[id(statement), keys] = _Compiled(
                statement, self._slow.dialect, list(keys))
        return self._known[id(statement), keys]

    def commit(self):
        """What was written is there."""
        self._direct.commit()
        if self._slow.in_transaction():
            self._slow.commit()

    def rollback(self):
        """Nothing of it is."""
        self._direct.rollback()
        if self._slow.in_transaction():
            self._slow.rollback()
