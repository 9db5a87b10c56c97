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
"""Cinder, through Nova's volume API.

Everything runs in an admin context without a token, so that it works in a
recovery that no user asked for: Nova then authenticates with the [cinder]
section, and sends the service token without which Cinder refuses to delete an
attachment that is in use (OSSA-2023-003).
"""

from __future__ import annotations

import copy
from typing import Any

from nova import context as nova_context
from nova import exception, objects
from nova.volume import cinder

from migsafe.nova.deferred import exports
from migsafe.transaction.clients import Attachment, ConnectionInfo


class Volumes:
    """See :class:`migsafe.transaction.clients.Volumes`."""

    def __init__(self, manager: Any) -> None:
        self._manager = manager

    def attachments(self, instance_uuid: str) -> list[Attachment]:
        context = nova_context.get_admin_context()
        # Not Nova's attachment_get_all(): without all_tenants Cinder answers
        # an administrator with the attachments of his own project only, and
        # nova's service user owns none.
        found = cinder.cinderclient(
            context, '3.44', skip_version_check=True).attachments.list(
                search_opts={'instance_id': instance_uuid, 'all_tenants': 1})
        rows = [(str(a['id']), str(a['volume_id']))
                for a in (each.to_dict() for each in found)]
        hosts: dict[str, str | None] = {}
        for volume_id in {volume for _id, volume in rows}:
            hosts.update(self._hosts(context, volume_id))
        return [Attachment(attachment_id, volume_id,
                              hosts.get(attachment_id))
                for attachment_id, volume_id in rows]

    def _hosts(self, context: Any, volume_id: str) -> dict[str, str | None]:
        """attachment id -> host; Nova's own API drops the host name."""
        volume = cinder.cinderclient(context).volumes.get(volume_id)
        return {str(a['attachment_id']): a.get('host_name')
                for a in getattr(volume, 'attachments', None) or []
                if a.get('attachment_id')}

    def connection_info(self, attachment_id: str) -> ConnectionInfo | None:
        try:
            found = self._manager.volume_api.attachment_get(
                nova_context.get_admin_context(), attachment_id)
        except exception.VolumeAttachmentNotFound:
            return None
        info = found.get('connection_info')
        return copy.deepcopy(info) if isinstance(info, dict) else None

    def delete_attachment(self, attachment_id: str) -> None:
        try:
            with exports.decided():
                self._manager.volume_api.attachment_delete(
                    nova_context.get_admin_context(), attachment_id)
        except exception.VolumeAttachmentNotFound:
            # What was wanted is so; the journal says who did it.
            return

    def terminate(self, instance_uuid: str, volume_id: str) -> None:
        context = nova_context.get_admin_context()
        instance = objects.Instance(context=context, uuid=instance_uuid)
        connector = self._manager.driver.get_volume_connector(instance)
        self._manager.volume_api.terminate_connection(
            context, volume_id, connector)
