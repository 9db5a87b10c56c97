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
"""Connections without an attachment (before Queens) whose device is still in use.

Nova's record of such a volume is all that says where its device is, and is gone with the server:
there is nothing to try again with. So these wait for a person, and for what he tells Cinder.
"""

from __future__ import annotations

from typing import Any

from nova import context as nova_context
from nova import exception
from oslo_log import log as logging

from migsafe.brick.guard import kept_devices
from migsafe.journal.api import Journal
from migsafe.nova.deferred import findings
from migsafe.text import masked, shell

LOG = logging.getLogger(__name__)

KIND = 'R4-legacy'


class Legacy:
    """What one nova-compute keeps of them.

    :param host: its name
    :param volume_api: Nova's client of Cinder
    :param journal: of this host
    """

    def __init__(self, host: str, volume_api: Any, journal: Journal) -> None:
        self._host, self._api = host, volume_api
        self._noted = findings.Noted(
            KIND, journal, lambda attached, why: kept_devices.remember(host, attached[1], why))

    def keep(self, instance: str, volume: str, why: str) -> None:
        """Note that a connection stays.

        :param instance: its uuid; empty where Nova does not say
        """
        text = (f'The connection of volume {volume} to {self._host} is not terminated: {why} It '
                'has no attachment, so that this is not tried again by itself: once the device '
                'is gone, remove its export in the array and tell Cinder by "cinder reset-state '
                '--state available --attach-status detached --reset-migration-status '
                f'{shell(volume)}".')
        LOG.error('%s: %s', KIND, text)
        self._noted.put((instance, volume), text)
        if instance:
            self._noted.drop(('', volume))

    def keeps(self, volume: str) -> bool:
        """Whether a device of this volume stays."""
        return bool(self._noted.of_volume(volume))

    def settle(self) -> None:
        """Forget those that an operator has resolved."""
        for attached in self._noted.all():
            try:
                if self._over(attached[1]):
                    kept_devices.forget(self._host, attached[1])
                    self._noted.drop(attached)
            except Exception as error:
                LOG.warning('%s of volume %s stays: %s', KIND, attached[1], masked(error))

    def _over(self, volume: str) -> bool:
        """Whether the device was disconnected after all, or Cinder is told that it was."""
        if self._host not in kept_devices.hosts(volume):
            return True
        try:
            found = self._api.get(nova_context.get_admin_context(), volume)
        except exception.VolumeNotFound:
            return True
        return bool(found['status'] == 'available')
