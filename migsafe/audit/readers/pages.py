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
"""Reads a large table page by page, by its primary key."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import sqlalchemy as sa

from migsafe.audit.readers.database import Snapshot

#: Rows of a page, and names in a list of a query.
SIZE = 1000


def paged(snapshot: Snapshot, query: sa.Select[Any], key: Any,
          after: int | None = None) -> Iterator[Sequence[Any]]:
    """Every row that a query finds, ``SIZE`` at a time, in the order of ``key``.

    :param key: a unique column, of which the query has the value as ``key``
    :param after: only those that come after this value
    """
    page: Sequence[Any] = ()
    while not page or len(page) == SIZE:
        last = page[-1].key if page else after
        rest = query if last is None else query.where(key > last)
        page = snapshot.rows(rest.order_by(key).limit(SIZE))
        if not page:
            return
        yield page


def listed(snapshot: Snapshot, query: sa.Select[Any], column: Any,
           names: Iterable[str]) -> Iterator[Any]:
    """Every row that has one of these names in a column."""
    for some in chunks(names):
        yield from snapshot.rows(query.where(column.in_(some)))


def chunks(names: Iterable[str]) -> Iterator[list[str]]:
    """Names in lists of at most ``SIZE``."""
    left = iter(names)
    while some := list(itertools.islice(left, SIZE)):
        yield some
