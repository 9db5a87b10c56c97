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
"""A transfer of libvirt's that this nova-compute has not begun itself.

Nova's driver watches a job in the thread that has begun it (LibvirtDriver._live_migration), and
nothing else does. Its own watch is what is run here, so that all of its options and requests mean
what they mean otherwise; only what it calls back at the end is left to the settlement.
"""

from __future__ import annotations

import collections
from typing import Any

from nova import context as nova_context
from nova import exception, objects
from nova.conf import CONF
from oslo_log import log as logging

from migsafe.journal.records import Transaction

LOG = logging.getLogger(__name__)

#: virDomainJobOperation: what a job is that takes a guest to another host.
MIGRATION_OUT = 5
#: Seconds that are left to a job whose time is over; with 0 Nova would not look at the time.
LEAST = 1.5


class Transfers:
    """The jobs of this host's libvirt.

    :param manager: the ComputeManager, with a libvirt driver
    """

    def __init__(self, manager: Any) -> None:
        self._manager = manager

    def going_on(self, tx: Transaction) -> bool:
        """Whether libvirt says that it takes the guest to another host; a job may also be a
        snapshot, or a dump.

        That nobody watches it is for the caller to know: LibvirtDriver.active_migrations keeps
        its entry when Nova's watch has failed.
        """
        try:
            connection = self._manager.driver._host.get_connection()
            domain = connection.lookupByUUIDString(tx.instance_uuid)
            return bool(domain.jobStats().get('operation') == MIGRATION_OUT)
        except Exception as error:
            LOG.debug('No job of instance %s: %s', tx.instance_uuid, type(error).__name__)
            return False

    def watch(self, tx: Transaction) -> None:
        """Watch it as Nova's driver does, until it has ended.

        :raises Exception: what Nova's watch raises; the job goes on then
        """
        context = nova_context.get_admin_context()
        instance = objects.Instance.get_by_uuid(context, tx.instance_uuid)
        migration = objects.Migration.get_by_id(context, tx.migration_id)
        driver = self._manager.driver
        guest = driver._host.get_guest(instance)
        job = guest.get_job_info()
        # What is copied beside the memory are disks, whatever the request was called.
        data = objects.LibvirtLiveMigrateData(
            migration=migration, block_migration=bool(job.disk_total))
        disks = driver._live_migration_copy_disk_paths(
            context, instance, guest)[0] if job.disk_total else []
        driver.active_migrations[instance.uuid] = collections.deque()
        try:
            type(driver)._live_migration_monitor(
                _Later(driver, job.time_elapsed / 1000), context, instance, guest,
                tx.dest_host, _nothing, _nothing, data.block_migration, data, _Over(), disks)
        finally:
            driver.active_migrations.pop(instance.uuid, None)

    def end(self, tx: Transaction) -> None:
        """End it, and leave the guest where it is.

        :raises Exception: libvirt does not; it may be over, or too late
        """
        context = nova_context.get_admin_context()
        self._manager.driver.live_migration_abort(
            objects.Instance.get_by_uuid(context, tx.instance_uuid))

    def status(self, tx: Transaction) -> str | None:
        """The status of the migration by Nova's record; None if there is none."""
        if tx.migration_id is None:
            return None
        try:
            found: str = objects.Migration.get_by_id(
                nova_context.get_admin_context(), tx.migration_id).status
        except exception.MigrationNotFound:
            return None
        return found


def _nothing(*_args: Any, **_how: Any) -> None:
    """What is to be done at the end is for the settlement to find out."""


class _Over:
    """What Nova asks whether the call of libvirt's that has begun a job is over. It ended with the
    process that had made it, so that a job which libvirt does not show any more has ended."""

    @staticmethod
    def done() -> bool:
        return True

    #: in Nova 31
    ready = done


class _Later:
    """Nova's driver, for a job that has lasted for a while.

    The time-out is so many seconds for each GB, counted from the beginning of the watch. What had
    passed by then is taken off here: with a nova-compute that is started again now and then, it
    would never come.

    :param driver: Nova's
    :param passed: for how many seconds the job has lasted
    """

    def __init__(self, driver: Any, passed: float) -> None:
        self._driver, self._passed = driver, passed

    def __getattr__(self, name: str) -> Any:
        return getattr(self._driver, name)

    def _live_migration_data_gb(self, instance: Any, disk_paths: Any) -> float:
        data: float = self._driver._live_migration_data_gb(instance, disk_paths)
        seconds = CONF.libvirt.live_migration_completion_timeout
        return max(data - self._passed / seconds, LEAST / seconds) if seconds else data
