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
"""Completes a volume migration of Cinder that was deferred for the old device.

At its end Cinder exchanges the ids of the two volumes and deletes the old one. Nova does that, and
gives its row the old id again, under its lock and on the guest's host; so does this. A live
migration holds no lock and has the destination write into the same row: nothing is done meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nova import context as nova_context
from nova import exception

from migsafe.text import shell
from migsafe.transaction.clients import Records


def volume_of(attachment: Mapping[str, Any]) -> str:
    """The volume of an attachment, which Nova moves into its connection_info, if it has one."""
    info = attachment.get('connection_info') or {}
    return str(attachment.get('volume_id') or info.get('volume_id') or '')


class Ending:
    """Ends what was put off; each step can be repeated.

    :param host: this host
    :param volume_api: Nova's client of Cinder
    :param records: Nova's database
    """

    def __init__(self, host: str, volume_api: Any, records: Records) -> None:
        self._host, self._api, self._records = host, volume_api, records

    def busy(self, instance: str) -> str | None:
        """Why nothing may be changed now, because Nova has a task for the instance."""
        now = self._records.instance(instance)
        if now is None or now.task_state is None:
            return None
        return f'instance {instance} is "{now.task_state}" at this moment.'

    def end(self, instance: str, volume: str) -> str | None:
        """End a migration of a volume, if there is one; the caller has the instance's lock.

        :returns: why that has to wait; None once there is nothing left to do
        """
        context = nova_context.get_admin_context()
        try:
            status = self._api.get(context, volume).get('migration_status')
        except exception.VolumeNotFound:
            return None
        if status == 'completing':
            return f'Cinder is still ending the migration of volume {volume}.'
        if status == 'migrating' and (why := self._complete(context, instance, volume)):
            return why
        return self._rename(context, instance, volume)

    def _complete(self, context: Any, instance: str, volume: str) -> str | None:
        target = f'target:{volume}'
        new = [row.volume_id for row in self._records.volumes(instance) if self._api.get(
            context, row.volume_id).get('migration_status') == target]
        if not new:
            return (f'its device is gone from {self._host}, but Cinder migrates it to a '
                    f'volume that instance {instance} does not have any more; end that with '
                    f'"cinder reset-state --reset-migration-status {shell(volume)}"')
        if why := self.busy(instance) or self._away(instance, volume):
            return why
        self._api.migrate_volume_completion(context, volume, new[0], error=False)
        return None

    def _away(self, instance: str, volume: str) -> str | None:
        """Only the host of the guest can lock what changes its volumes."""
        now = self._records.instance(instance)
        if now is None or now.host == self._host:
            return None
        return (f'its device is gone from {self._host}, but instance {instance} is on {now.host} '
                f'by now, and the migration of volume {volume} by Cinder can be ended only on '
                f'{self._host}; bring it back with "openstack server migrate --host '
                f'{shell(self._host)} {shell(instance)}".')

    def _rename(self, context: Any, instance: str, volume: str) -> str | None:
        """Give the row the id that Cinder has given to its volume.

        That one leads nowhere any more, so that no other host can change anything with it.
        """
        for row in self._records.volumes(instance):
            if not row.attachment_id or row.volume_id == volume or volume != volume_of(
                    self._api.attachment_get(context, row.attachment_id)):
                continue
            if why := self.busy(instance):
                return why
            if not self._records.rename_volume(instance, row, volume):
                return (f'the record of volume {row.volume_id} of instance {instance} was '
                        'changed at the same time.')
        return None
