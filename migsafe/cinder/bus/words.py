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
"""What an operator's word counts for, where nothing else can tell."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from oslo_log import log as logging

from migsafe.cinder.facts import attachments
from migsafe.ledger import records
from migsafe.ledger.records import Thing

LOG = logging.getLogger(__name__)


def not_mapped(guard: Any, rows: Iterable[records.Export], who: str) -> None:
    """Take it for gone what the driver fails to unmap, since somebody has looked in the array.

    Not what an attachment has, and not against an array that can be asked.
    """
    for row in rows:
        thing = Thing(row.kind, row.resource)
        with guard.lines.waiting(thing):
            if row.state != 'unmapping' or not row.error or _is_somebodys(guard, thing, row):
                continue
            LOG.warning('%s says that the array does not have %s', who, row)
            guard.ledger.settle(thing, [row.peer], 'gone', read=row, look_at_target=True,
                                error=f'{who} says that the array does not have it')


def _is_somebodys(guard: Any, thing: Thing, row: records.Export) -> bool:
    subject = attachments.thing(thing.kind, thing.id)
    attached = attachments.of_volume(thing.id) if thing.kind == 'volume' else []
    return attachments.explain(attached, row) or (
        subject is not None and guard.inspector.list_exports(subject) is not None)
