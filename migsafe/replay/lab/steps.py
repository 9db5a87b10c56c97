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
"""What an owner or an operator does with a guest, through the API."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nova import context as nova_context
from nova import objects
from nova.tests.functional.api import client as api_client
from oslo_serialization import jsonutils

from migsafe.replay.lab import brick
from migsafe.replay.lab import stack as lab_stack

#: operation -> the statuses that mean it worked; a deleted guest has none.
GOOD = {'hard_reboot': ('ACTIVE',), 'stop_start': ('ACTIVE',), 'detach': ('ACTIVE',),
        'delete': ('DELETED',)}


def api_action(stack: lab_stack.Stack, uuid: str, body: dict[str, Any]) -> str | None:
    """POST a server action; returns why it was refused, or None."""
    return _tried(lambda: stack.admin_api.post_server_action(uuid, body))


def _tried(call: Callable[[], Any]) -> str | None:
    try:
        call()
    except api_client.OpenStackApiException as refused:
        return f'refused: {refused}'.splitlines()[0]
    return None


def status(stack: lab_stack.Stack, uuid: str) -> str:
    """The server's status, DELETED if there is none."""
    with stack.parts.world.looking():
        try:
            return str(stack.admin_api.get_server(uuid)['status'])
        except api_client.OpenStackApiNotFoundException:
            return 'DELETED'


def failures(stack: lab_stack.Stack, uuid: str) -> list[str]:
    """The actions of a server that failed, the newest first. One that nova-compute refuses leaves
    the status as it was, and only this tells."""
    with stack.parts.world.looking():
        try:
            actions = stack.admin_api.api_get(
                f'/servers/{uuid}/os-instance-actions').body['instanceActions']
        except api_client.OpenStackApiNotFoundException:
            return []
    return [f"{one['action']}: {one['message']}" for one in actions if one['message']]


def hard_reboot(stack: lab_stack.Stack, server: Any) -> str | None:
    """Reboot it hard: Nova connects all volumes anew."""
    return api_action(stack, server.uuid, {'reboot': {'type': 'HARD'}})


#: Seconds without any progress after which it goes on.
STUCK = 300.0


def stop_start(stack: lab_stack.Stack, server: Any) -> str | None:
    """Stop it and start it, as the owner of incident 000's guest did."""
    refused = api_action(stack, server.uuid, {'os-stop': None})
    stack.parts.world.wait_idle(lambda: 0, lambda: None, STUCK)
    return refused or api_action(stack, server.uuid, {'os-start': None})


def detach(stack: lab_stack.Stack, server: Any) -> str | None:
    """Detach its last volume, or nothing if it has only a root disk."""
    if len(server.volumes) < 2:
        return None
    return _tried(lambda: stack.admin_api.delete_server_volume(
        server.uuid, server.volumes[-1]))


def delete(stack: lab_stack.Stack, server: Any) -> str | None:
    """Delete it."""
    return _tried(lambda: stack.admin_api.delete_server(server.uuid))


NEXT: dict[str, Callable[[lab_stack.Stack, Any], str | None]] = {
    'hard_reboot': hard_reboot, 'stop_start': stop_start, 'detach': detach, 'delete': delete}


def make_legacy(stack: lab_stack.Stack, uuid: str) -> None:
    """Give a guest the volume records that Nova before Queens made."""
    parts = stack.parts
    source = parts.incident.source
    context = nova_context.get_admin_context()
    nova_context.set_target_cell(context, stack.cell_mappings['cell1'])
    connector = brick.connector_properties(
        source, parts.incident.connector, parts.hosts.index(source))
    with parts.world.looking():
        for bdm in objects.BlockDeviceMappingList.get_by_instance_uuid(context, uuid):
            info = parts.cinder.connect_legacy(bdm.volume_id, connector)
            parts.cinder.delete(bdm.attachment_id)
            parts.cinder.volumes[bdm.volume_id].status = 'in-use'
            known = jsonutils.loads(bdm.connection_info)
            info['data']['device_path'] = known['data'].get('device_path')
            bdm.connection_info = jsonutils.dumps(
                {**info, 'connector': connector, 'serial': bdm.volume_id})
            bdm.attachment_id = None
            bdm.save()
