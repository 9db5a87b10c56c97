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
"""Deferred deletion of volumes with delete_on_termination whose device is still in use.

Nova asks Cinder once to delete such a volume, and forgets it: Cinder refuses while the attachment
is there that this host keeps. So that one request is put off until this host has deleted the
attachment, and made right after that. It stays one request: where anybody else has taken the
attachment away, where the volume is attached again, or where Cinder does not do it, the volume is
left to its owner, because what was Nova's wish then need not be anybody's later.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Any

from nova import context as nova_context
from nova import exception
from oslo_log import log as logging

from migsafe.journal.api import Journal
from migsafe.nova.deferred import findings
from migsafe.text import masked, shell

LOG = logging.getLogger(__name__)

KIND = 'R4-delete'


class Deletions:
    """The requests that one nova-compute has put off.

    :param host: its name
    :param volume_api: Nova's client of Cinder
    :param journal: of this host
    """

    def __init__(self, host: str, volume_api: Any, journal: Journal) -> None:
        self._host, self._api = host, volume_api
        self._noted = findings.Noted(KIND, journal)

    def put_off(self, attached: findings.Attached) -> bool:
        """Nova has asked for it.

        :returns: False where another server may have the volume, too; Cinder decides that
        :raises Exception: when Cinder does not answer
        """
        instance, volume = attached
        if self._api.get(nova_context.get_admin_context(), volume)['multiattach']:
            return False
        text = (f'Volume {volume} is to be deleted with instance {instance}, but its device on '
                f'{self._host} has to stay for now. nova-compute deletes it by itself, after the '
                'device and the attachment. Cinder deletes no volume with a snapshot: to keep it, '
                f'"openstack volume snapshot create --force --volume {shell(volume)} NAME".')
        LOG.warning('%s: %s', KIND, text)
        self._noted.put(attached, text)
        return True

    def do(self, attached: findings.Attached, freed: bool) -> None:
        """Delete a volume that Nova asked to delete, if it is still only that.

        :param freed: whether this host has just deleted the attachment that it kept
        """
        if attached not in self._noted.all():
            return
        instance, volume = attached
        try:
            why = self._delete(volume) if freed else (
                f'its attachment to {self._host} was not deleted by nova-compute')
        except exception.VolumeNotFound:
            why = None
        except Exception as error:
            why = masked(error)
        if why:
            LOG.warning('Volume %s is not deleted with instance %s: %s. Delete it yourself if '
                        'nobody needs it.', volume, instance, why)
        self._noted.drop(attached)

    def only(self, kept: Container[findings.Attached]) -> None:
        """Forget those of which no attachment is kept any more."""
        for attached in self._noted.all():
            if attached not in kept:
                self.do(attached, freed=False)

    def _delete(self, volume: str) -> str | None:
        """Cinder looks again, and deletes none that is attached, reserved or migrated."""
        context = nova_context.get_admin_context()
        found = self._api.get(context, volume)
        if (found['attach_status'], found['status']) != ('detached', 'available'):
            return f'it is {found["attach_status"]}, and its status "{found["status"]}"'
        self._api.delete(context, volume)
        LOG.info('Volume %s is deleted, as Nova has asked when it deleted its server', volume)
        return None
