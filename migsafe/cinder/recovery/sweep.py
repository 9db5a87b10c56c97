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
"""Finds exports whose attachment is gone without Cinder having asked for their removal."""

from __future__ import annotations

import datetime
import random
from collections.abc import Iterator
from typing import Any

from oslo_utils import timeutils

from migsafe.cinder.facts import attachments
from migsafe.ledger import records

#: Rows that are looked at together. Their attachments are one query.
PAGE = 200


class Sweep:
    """Goes through the ledger of a backend: at start as a whole, later page by page.

    :param guard: of the backend
    """

    def __init__(self, guard: Any) -> None:
        self._guard = guard
        self._after: int | None = None
        self._next: datetime.datetime | None = None

    @property
    def begun(self) -> bool:
        """Whether everything was looked at once in this process."""
        return self._next is not None

    def all(self) -> Iterator[records.Export]:
        """What is to be looked at, at the start."""
        after_id: int | None = 0
        while after_id is not None:
            found, after_id = self._page(after_id, waiting=True)
            yield from found
        self._finish()

    def some(self) -> list[records.Export]:
        """The same of the next page, nothing if it is not time yet.

        What is due sooner or later anyhow is left out.
        """
        if self._after is None:
            if self._next is None or timeutils.utcnow() < self._next:
                return []
            self._after = 0
        found, self._after = self._page(self._after, waiting=False)
        if self._after is None:
            self._finish()
        return found

    def _finish(self) -> None:
        seconds = self._guard.conf.migsafe.ledger_sweep_interval
        # NOTE: the services of a cluster, or of many backends, need not do it at once.
        self._next = timeutils.utcnow() + datetime.timedelta(
            seconds=seconds * random.uniform(0.9, 1.1)) if seconds else datetime.datetime.max

    def _page(self, after_id: int, *, waiting: bool) -> tuple[list[records.Export], int | None]:
        rows = self._guard.ledger.present(after_id, PAGE)
        if not rows:
            return [], None
        wanted = [row for row in rows if not self._fresh(row) and (waiting or row.due_at is None)]
        having = attachments.of_volumes({
            row.resource for row in wanted if not row.problems() and row.kind == 'volume'})
        return ([row for row in wanted if row.problems() or not _explained(row, having)],
                rows[-1].id if len(rows) == PAGE else None)

    def _fresh(self, export: records.Export) -> bool:
        """Whether a call of this very process may be at it: an intent that is not due yet."""
        return (export.incarnation == self._guard.ledger.incarnation
                and export.state not in ('mapped', 'removed') and export.due_at is not None
                and export.due_at > timeutils.utcnow())


def _explained(export: records.Export,
               having: dict[str, list[attachments.Attachment]]) -> bool:
    """Whether it is as it should be, which nearly all are."""
    return export.state == 'mapped' and export.due_at is None and export.kind == 'volume' and \
        attachments.explain(having.get(export.resource, ()), export)
