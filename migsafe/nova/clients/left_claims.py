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
"""Live migrations from a host that are over, and were never ended there.

The source sets their record, and gives back what it had claimed, last of all. If it dies before
that, and its journal is lost, or restored from before the migration, nobody knows of it any more.
``nova-manage placement audit`` would find the claim.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

from nova import context as nova_context
from nova import exception, objects
from oslo_utils import timeutils

from migsafe.nova.clients.failed_moves import ENDED
from migsafe.nova.clients.orphans import Migrating
from migsafe.transaction.clients import LIVE_MIGRATION
from migsafe.watch.migration import GOING_ON

COMPLETED = 'completed'
#: How far back they are looked for; a journal keeps what is settled for longer than that, so
#: that on a host that has always had one nothing is asked of Placement.
WINDOW = datetime.timedelta(days=7)
PAGE = 100


class LeftClaims:
    """Reads them, once after each start of nova-compute, a page in each round."""

    def __init__(self) -> None:
        self._since = timeutils.utcnow(with_timezone=True) - WINDOW
        self._read: str | None = None
        self._next: str | None = None
        #: whether all were read and dealt with
        self.over = False

    def page(self, host: str, wanted: Callable[[str], bool]) -> list[Migrating]:
        """The next ones, the newest first, and the same again until :meth:`done` was called.

        One that is completed is of an instance that is not on the host any more; one that is on
        record as going on, which is its ``task`` then, of one that is on the destination; one
        that has failed of an instance that is on the host.

        :param wanted: whether a migration is of interest, by its uuid
        """
        if self.over:
            return []
        context = nova_context.get_admin_context()
        try:
            page = list(objects.MigrationList.get_by_filters(
                context, {'source_compute': host, 'migration_type': LIVE_MIGRATION,
                          'status': [COMPLETED, *ENDED, *GOING_ON]},
                sort_keys=['id'], sort_dirs=['desc'], limit=PAGE, marker=self._read))
        except exception.MarkerNotFound:
            # It was archived meanwhile.
            self._read = None
            return []
        # NOTE: Nova's own filter of the time is for its API alone: a time that goes to a conductor
        # arrives there as text, and is refused.
        recent = [one for one in page if (one.updated_at or one.created_at) >= self._since]
        self._next = page[-1].uuid if recent and len(page) == PAGE else ''
        found = [one for one in recent if wanted(one.uuid)]
        now = _hosts(context, sorted({one.instance_uuid for one in found}))
        return [_left(one) for one in found
                if _left_behind(one, host, now.get(one.instance_uuid))]

    def done(self) -> None:
        """All that was read has been dealt with."""
        self.over, self._read = self._next == '', self._next


def _left_behind(found: Any, host: str, now: str | None) -> bool:
    """Whether a migration from a host may have left something, by where the instance is now."""
    if found.status in ENDED:
        return now == host
    return now != host and (found.status == COMPLETED or now == found.dest_compute)


def _left(found: Any) -> Migrating:
    return Migrating(
        found.instance_uuid, found.updated_at or found.created_at, found.uuid, int(found.id),
        found.status, found.dest_compute or '', task=found.status in GOING_ON)


def _hosts(context: Any, uuids: list[str]) -> dict[str, str | None]:
    """Where these instances are."""
    return {one.uuid: one.host for one in objects.InstanceList.get_by_filters(
        context, {'uuid': uuids, 'deleted': False, 'soft_deleted': True},
        expected_attrs=[])} if uuids else {}
