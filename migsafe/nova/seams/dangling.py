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
"""Which of the attachments that no row names a reboot may delete.

Nova deletes all of them before it reboots (``_delete_dangling_bdms``, since 29.0). One of another
host may be the export of a device that is still there: a destination that went silent in the
middle of a live migration, or a source whose row was put right. The array then uses the LUN
number again, and that device leads to another's disk.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from oslo_log import log as logging

from migsafe.nova.host import registry
from migsafe.nova.host.participant import Participant
from migsafe.nova.seams import effects, moves, recorded, rows_read
from migsafe.text import masked, shell
from migsafe.transaction import fenced

LOG = logging.getLogger(__name__)

STAYS = ('Attachment %(attachment)s, which no volume of the instance names, is not deleted: '
         '%(why)s. migsafe there removes what it knows of. If that host has no device of it any '
         'more, `openstack --os-volume-api-version 3.27 volume attachment delete %(attachment)s` '
         'deletes it; if it is fenced, the next hard reboot does')


def delete_dangling_bdms(wrapped: Any, manager: Any, args: Any, kwargs: Any) -> Any:
    """A wrapt wrapper of ComputeManager's: Nova is not shown what it must not delete."""
    participant = registry.of(manager)
    if participant is None:
        return wrapped(*args, **kwargs)
    call = effects.arguments(wrapped, args, kwargs)
    instance, bdms = call['instance'], call['bdms']
    named = {bdm.attachment_id for bdm in bdms if bdm.attachment_id}
    rows_read.check(participant, instance, 'reboot', [
        bdm.attachment_id for bdm in bdms if bdm.is_volume and bdm.volume_id])
    # of a row whose attachment is gone Nova makes an end itself
    recorded.stop('reboot', recorded.of_bdms(participant, instance, bdms, gone=False))
    return wrapped.__func__(_Manager(manager, _Volumes(
        manager.volume_api, participant, instance, named)), *args, **kwargs)


class _Through:
    """All of another object that is not defined here."""

    def __init__(self, other: Any) -> None:
        self._other = other

    def __getattr__(self, name: str) -> Any:
        return getattr(self._other, name)


class _Manager(_Through):
    """Nova's manager, with other eyes for Cinder."""

    def __init__(self, manager: Any, volume_api: Any) -> None:
        super().__init__(manager)
        self.volume_api = volume_api


class _Volumes(_Through):
    """Nova's API of Cinder, which does not list what is to stay."""

    def __init__(self, api: Any, participant: Participant, instance: Any,
                 named: set[str]) -> None:
        super().__init__(api)
        self._participant, self._instance, self._named = participant, instance, named

    def attachment_get_all(self, *args: Any, **kwargs: Any) -> list[Any]:
        found = self._other.attachment_get_all(*args, **kwargs)
        stray = {str(one['id']) for one in found} - self._named
        stay = kept(self._participant, self._instance, stray) if stray else {}
        for attachment, why in stay.items():
            LOG.warning(STAYS, {'attachment': shell(attachment), 'why': why},
                        instance=self._instance)
        return [one for one in found if str(one['id']) not in stay]


def kept(participant: Participant, instance: Any, stray: Iterable[str]) -> dict[str, str]:
    """Attachment -> why it stays.

    :param stray: those of the instance that no row names
    """
    try:
        hosts = {one.id: one.host for one in
                 participant.clients.volumes.attachments(instance.uuid)}
        reasons = {one: _reason(participant, instance.uuid, one, hosts.get(one)) for one in stray}
    except Exception as error:
        if not participant.conf.enforce:
            return {}
        reasons = dict.fromkeys(stray, f'whose it is cannot be told ({masked(error)})')
    return {one: why for one, why in reasons.items() if why}


def _reason(participant: Participant, instance_uuid: str, attachment: str,
            host: str | None) -> str | None:
    if host:
        return None if host == participant.host else _may_have(
            participant, instance_uuid, host, f'it is of {host}')
    # NOTE: Cinder tells the host of an attachment only once it is complete, which in a live
    # migration comes last. Without a connection nothing was exported.
    if not participant.clients.volumes.connection_info(attachment):
        return None
    for other in moves.others(participant.clients.records.moves(instance_uuid),
                              participant.host):
        why = _may_have(participant, instance_uuid, other,
                        f'a live migration may have made it for {shell(other)}')
        if why:
            return why
    return None


def _may_have(participant: Participant, instance_uuid: str, host: str, whose: str) -> str | None:
    """Why a device of it may be there; None if the host is fenced."""
    why = fenced.ask(participant.clients.hosts, host, instance_uuid).doubt
    return f'{whose}, which may have a device of it: {why}' if why else None
