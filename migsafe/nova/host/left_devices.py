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
"""Devices of guests that this host has no more, which it cannot disconnect.

The guest ran on them, and nobody has a record of how they came: its rows lead to another host, and
its export to this one is gone. So it takes a person to remove them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from oslo_log import log as logging

from migsafe.journal.api import Journal
from migsafe.nova.clients import devices
from migsafe.nova.deferred import findings
from migsafe.text import masked, shell

LOG = logging.getLogger(__name__)

KIND = 'R4-guest'


def by_hand(path: str) -> str:
    """How a person resolves it, for the path of a device."""
    return (f'Compare "lsblk -o NAME,WWN,SIZE {shell(path)}" with the volume in the array. If it '
            f'is that volume, or does not answer, and "lsof {shell(path)}" shows no user, remove '
            'each of its disks with "echo 1 > /sys/block/NAME/device/delete", a multipath map '
            'before them with "multipath -f NAME". It is over once the device is gone, or a guest '
            'of this host has it')


class LeftDevices:
    """What one nova-compute leaves.

    :param host: its name
    :param journal: of this host
    :param used: gives (instance uuid, volume id, path) of the block devices of running guests
    """

    def __init__(self, host: str, journal: Journal,
                 used: Callable[[], Iterator[tuple[str, str, str]]]) -> None:
        self._host, self._used = host, used
        self._noted = findings.Noted(KIND, journal)

    def keep(self, instance: str, volume: str, path: str, why: str) -> None:
        """Note that a device stays.

        :param instance: uuid of the guest that it was given to
        :param why: it is not taken away
        """
        text = (f'{path} was given on {self._host} to instance {instance} as volume {volume}, and '
                f'stays: {why}. {by_hand(path)}')
        LOG.error('%s: %s', KIND, text)
        self._noted.put((instance, f'{volume} {path} {devices.designator(path)}'), text)

    def settle(self) -> None:
        """Forget what is gone or another disk by now, and what a guest has."""
        noted = self._noted.all()
        try:
            used = [path for _guest, _volume, path in self._used() if path] if noted else []
            for attached in noted:
                _volume, path, designator = attached[1].split(' ', 2)
                if not devices.is_there(path) or devices.designator(path) != designator or any(
                        devices.same(path, one) for one in used):
                    self._noted.drop(attached)
        except Exception as error:
            LOG.warning('Whether devices of %s are still there is not known: %s', self._host,
                        masked(error))
