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
"""The records that the journal returns; they are frozen.

A damaged row must not hide the rows next to it. A column that cannot be read
is therefore kept as ``Corrupt``, and raises JournalCorrupt only when it is looked at.
"""

import dataclasses
import datetime
from typing import Any

from migsafe import exceptions

Payload = dict[str, Any] | list[Any] | None


@dataclasses.dataclass(frozen=True)
class Corrupt:
    """Stands where a column of a row could not be read.

    :param reason: why, without the content, which may be a secret
    """

    database: str
    table: str
    row: object
    column: str
    reason: str

    def error(self) -> exceptions.JournalCorrupt:
        """Return the error that reading this column raises."""
        return exceptions.JournalCorrupt(
            database=self.database, table=self.table, row=self.row, column=self.column,
            reason=self.reason)


class Row:
    """Base of the records: reading a corrupt field raises, everything else works."""

    def __getattribute__(self, name: str) -> Any:
        value = object.__getattribute__(self, name)
        if isinstance(value, Corrupt):
            raise value.error()
        return value

    def problems(self) -> dict[str, str]:
        """Return the unreadable fields of this row with the reason of each."""
        return {name: value.reason for name, value in vars(self).items()
                if isinstance(value, Corrupt)}

    def __repr__(self) -> str:
        # NOTE: payloads hold CHAP secrets and never show up in a repr; a corrupt field must
        # not make a log line fail.
        shown = (f'{name}={"<unreadable>" if isinstance(value, Corrupt) else repr(value)}'
                 for name, value in vars(self).items() if name != 'payload')
        return f'{type(self).__name__}({", ".join(shown)})'


@dataclasses.dataclass(frozen=True, repr=False)
class Transaction(Row):
    """One attempt to move one instance, as one participant knows it.

    ``uuid`` is Nova's migration uuid; ``verdict`` is None until the first one is journalled;
    times are naive UTC.
    """

    id: int
    uuid: str
    host: str
    role: str
    instance_uuid: str
    source_host: str
    dest_host: str
    source_boot_id: str | None = None
    dest_boot_id: str | None = None
    migration_id: int | None = None
    state: str = 'open'
    verdict: str | None = None
    reason: str = ''
    attempts: int = 0
    next_attempt_at: datetime.datetime | None = None
    created_at: datetime.datetime | None = None
    updated_at: datetime.datetime | None = None
    settled_at: datetime.datetime | None = None


@dataclasses.dataclass(frozen=True, repr=False)
class Record(Row):
    """One line of a transaction's log; ``ref`` of an outcome is the id of its intent."""

    id: int
    transaction_id: int
    kind: str
    resource: str = ''
    key: str = ''
    effect: str = ''
    status: str = ''
    payload: Payload = None
    ref: int | None = None
    created_at: datetime.datetime | None = None
    text: str = ''


@dataclasses.dataclass(frozen=True, repr=False)
class ServiceStatus(Row):
    """What one nova-compute said of itself when it was armed, or refused to be.

    ``started`` is when its process began, in clock ticks since boot.
    """

    host: str
    armed: bool
    pid: int
    boot_id: str
    plugin_version: str
    nova_version: str
    concurrency: str
    seams: list[Any] = dataclasses.field(default_factory=list)
    detail: str = ''
    updated_at: datetime.datetime | None = None
    started: int | None = None


@dataclasses.dataclass(frozen=True, repr=False)
class Finding(Row):
    """What a look at the devices of a host found; ``created_at`` is when it was first seen."""

    id: int
    host: str
    kind: str
    instance_uuid: str
    key: str
    text: str
    created_at: datetime.datetime | None = None
    updated_at: datetime.datetime | None = None
