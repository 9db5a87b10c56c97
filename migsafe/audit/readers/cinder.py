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
"""Attachments and volumes, out of the database of Cinder."""

from __future__ import annotations

import datetime
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import sqlalchemy as sa

from migsafe.audit import address
from migsafe.audit.activity import SETTLED, WORKING
from migsafe.audit.facts import Attachment, Moment, Volume
from migsafe.audit.readers import pages
from migsafe.audit.readers.database import Snapshot, beats, columns, live, moment


class Cinder:
    """The database of Cinder."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.label = snapshot.label
        self._attachments = snapshot.must('volume_attachment')
        self._volumes = snapshot.table('volumes')

    @property
    def records_hosts(self) -> bool:
        """Whether this release writes down for which host an attachment is."""
        return 'connector' in self._attachments.c

    def missing(self) -> list[str]:
        """What it does not have and rules need."""
        return [] if self._volumes is not None else ['volumes']

    def beats(self) -> list[datetime.datetime]:
        """When services have last reported."""
        return beats(self.snapshot, 'services', 'updated_at')

    def gone(self, attachments: Iterable[str]) -> dict[str, Moment]:
        """When those of these attachments were deleted that it has as such."""
        table = self._attachments
        query = sa.select(*columns(table, 'deleted_at', 'updated_at'), table.c.id.label('key'))
        return {one.key: moment(one.deleted_at) or moment(one.updated_at) for one in pages.listed(
            self.snapshot, query.where(sa.not_(live(table))), table.c.id, attachments)}

    def attachments(self, compact: address.Compact | None = None,
                    worth: Callable[[Moment], bool] = bool) -> Iterator[Attachment]:
        """Every attachment that is not deleted.

        :param worth: whether a time of change is kept, which costs memory
        """
        for page in pages.paged(self.snapshot, self._asked(), self._attachments.c.id):
            for row in page:
                one = _attachment(row, compact)
                yield one if worth(one.updated) else one._replace(updated=None)

    def of(self, instances: Iterable[str], volumes: Iterable[str]) -> list[Attachment]:
        """Those of some instances, and those of some volumes."""
        table = self._attachments
        found = {}
        for column, names in ((table.c.instance_uuid, instances), (table.c.volume_id, volumes)):
            for one in pages.listed(self.snapshot, self._asked(), column, names):
                found[one.key] = _attachment(one, None)
        return list(found.values())

    def _asked(self) -> sa.Select[Any]:
        table = self._attachments
        return sa.select(*columns(
            table, 'volume_id', 'instance_uuid', 'attached_host', 'attach_status', 'attach_mode',
            'connector', 'connection_info', 'updated_at', 'created_at'),
            table.c.id.label('key')).where(live(table))

    def known(self, volumes: Iterable[str]) -> set[str]:
        """Those of these volumes that it has, or has had, or has attachments of."""
        found = set(volumes)
        tables = [(self._attachments, 'volume_id'), *(
            [(self._volumes, 'id')] if self._volumes is not None else [])]
        return {one.volume for table, name in tables for one in pages.listed(
            self.snapshot, sa.select(table.c[name].label('volume')), table.c[name], found)}

    def unusual(self, only: Iterable[str] | None = None) -> dict[str, Volume]:
        """The volumes that are shared, or with which Cinder is at work.

        :param only: some of these; the whole table is read otherwise
        """
        table = self._volumes
        if table is None:
            return {}
        query = sa.select(*columns(table, 'multiattach', 'status', 'migration_status',
                                   'updated_at'), table.c.id.label('key')).where(live(table))
        unusual: list[Any] = [table.c.status.in_(sorted(WORKING))]
        if 'multiattach' in table.c:
            shared = table.c.multiattach
            unusual.append(shared.is_(sa.true()) if isinstance(shared.type, sa.Boolean)
                           else shared == 1)
        if 'migration_status' in table.c:
            unusual.append(sa.and_(table.c.migration_status.is_not(None),
                                   table.c.migration_status.not_in(sorted(SETTLED))))
        query = query.where(sa.or_(*unusual))
        found = pages.listed(self.snapshot, query, table.c.id, only) if only is not None else (
            one for page in pages.paged(self.snapshot, query, table.c.id) for one in page)
        return {one.key: Volume(one.key, bool(one.multiattach), one.status, one.migration_status,
                                moment(one.updated_at)) for one in found}


def _attachment(one: Any, compact: address.Compact | None) -> Attachment:
    connector = address.parsed(one.connector)
    host = address.host_of(connector) or _interned(one.attached_host)
    return Attachment(
        one.key, one.volume_id, one.instance_uuid or None, host or None,
        _interned(one.attach_status), one.attach_mode != 'ro',
        address.read(one.connection_info, compact),
        moment(one.updated_at) or moment(one.created_at))


def _interned(text: str | None) -> str | None:
    """One of a few texts, kept once."""
    return sys.intern(text) if type(text) is str else text
