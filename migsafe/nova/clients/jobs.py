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
"""What this host's libvirt and Nova's records say of live migrations that are going on."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any

from nova import context as nova_context
from nova import exception, objects
from nova.conf import CONF
from oslo_log import log as logging
from oslo_utils import timeutils

from migsafe.nova.clients import hosts
from migsafe.nova.clients.evidence import ACTIVE_JOBS
from migsafe.nova.clients.orphans import PAGE
from migsafe.nova.clients.transfers import MIGRATION_OUT
from migsafe.text import masked
from migsafe.transaction.clients import LIVE_MIGRATION
from migsafe.watch.migration import GOING_ON, Progress

LOG = logging.getLogger(__name__)

GIB = 1 << 30
#: What Nova counts of memory, or of a disk, at the least (LibvirtDriver._live_migration_data_gb).
LEAST_GB = 2
#: Seconds beyond Nova's own time-out, which looks twice a second and then asks libvirt.
GRACE = 60
#: The status in which Nova lets a transfer be ended (ComputeManager.live_migration_abort).
ABORTABLE = 'running'


@dataclasses.dataclass(frozen=True)
class Record:
    """A live migration from this host that has not ended by Nova's record.

    :param here: whether the instance is on this host by its record
    :param age: seconds since the record was made
    :param written: when it was written last
    """

    uuid: str
    id: int
    instance: str
    destination: str
    status: str
    here: bool
    age: float
    written: datetime.datetime | None


class Jobs:
    """Reads them; :meth:`abort` alone changes anything.

    :param manager: the ComputeManager, with a libvirt driver
    """

    def __init__(self, manager: Any) -> None:
        self._manager = manager

    def records(self, host: str) -> list[Record]:
        """The newest that have not ended, a page of them.

        :raises Exception: nobody tells
        """
        context = nova_context.get_admin_context()
        found = list(objects.MigrationList.get_by_filters(
            context, {'source_compute': host, 'migration_type': LIVE_MIGRATION,
                      'status': list(GOING_ON)}, sort_keys=['id'], sort_dirs=['desc'], limit=PAGE))
        wanted = sorted({one.instance_uuid for one in found})
        here = {one.uuid for one in objects.InstanceList.get_by_filters(
            context, {'uuid': wanted, 'host': host, 'deleted': False},
            expected_attrs=[])} if wanted else set()
        return [Record(
            str(one.uuid), int(one.id), one.instance_uuid, one.dest_compute or '', one.status,
            one.instance_uuid in here, age(one.created_at),
            one.updated_at or one.created_at) for one in found]

    def in_line(self, instance_uuid: str) -> bool:
        """Whether Nova has the instance's migration in its line, where it may wait for hours."""
        waiting = self._manager._waiting_live_migrations.get(instance_uuid)
        return waiting is not None and not (waiting[1] is not None and waiting[1].done())

    def watched(self, instance_uuid: str) -> bool:
        """Whether Nova's driver watches a transfer of it."""
        return instance_uuid in self._manager.driver.active_migrations

    def progress(self, instance_uuid: str) -> Progress | None:
        """What libvirt says of the transfer; None if there is none, or it does not say."""
        try:
            domain = self._manager.driver._host.get_connection().lookupByUUIDString(instance_uuid)
            stats = domain.jobStats()
        except Exception as error:
            LOG.debug('No job of instance %s: %s', instance_uuid, masked(error))
            return None
        if stats.get('type') not in ACTIVE_JOBS or stats.get('operation') != MIGRATION_OUT:
            return None
        total, processed, remaining = (
            sum(int(stats.get(f'{what}_{name}') or 0) for what in ('memory', 'disk'))
            for name in ('total', 'processed', 'remaining'))
        return Progress(int(stats.get('time_elapsed') or 0) / 1000, total, processed, remaining)

    @staticmethod
    def allowed(status: str, progress: Progress | None) -> float | None:
        """Seconds that Nova's own time-outs allow; None where there is none."""
        if progress is None:
            return float(CONF.long_rpc_timeout + (CONF.vif_plugging_timeout or 0) + GRACE)
        each = CONF.libvirt.live_migration_completion_timeout
        if not each or status != ABORTABLE:
            return None
        return float(each * max(LEAST_GB, progress.total / GIB) + GRACE)

    @staticmethod
    def down(host: str) -> bool:
        """Whether the nova-compute of a host is down by Nova's record; what is not known is not.
        """
        try:
            found = hosts.record(host) if host else None
        except Exception as error:
            LOG.info('Whether nova-compute on %s is down is not known: %s', host, masked(error))
            return False
        return found is not None and not found.up

    def abort(self, migration_uuid: str) -> None:
        """End a transfer as Nova's API does, in the state in which Nova lets it be ended.

        :raises Exception: Nova or libvirt does not
        """
        context = nova_context.get_admin_context()
        migration = objects.Migration.get_by_uuid(context, migration_uuid)
        if migration.status != ABORTABLE:
            raise exception.InvalidMigrationState(
                migration_id=migration.id, instance_uuid=migration.instance_uuid,
                state=migration.status, method='abort live migration')
        instance = objects.Instance.get_by_uuid(context, migration.instance_uuid)
        self._manager.live_migration_abort(context, instance, migration.id)


def age(since: datetime.datetime | None) -> float:
    """Seconds since a moment, none for one that is to come."""
    return 0.0 if since is None else max(
        0.0, (timeutils.utcnow() - timeutils.normalize_time(since)).total_seconds())
