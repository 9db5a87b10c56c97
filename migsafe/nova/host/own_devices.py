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
"""Which devices of this host are those of a guest that is not this host's any more.

Its rows are another host's by now, or nobody's: the numbers in them lead to somebody else's disks
here. What this host has connected itself it knows from its libvirt, its journal and what Cinder
still exports to it. Whose a device is, only the disk itself says better.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from oslo_log import log as logging

from migsafe.brick.guard import policy
from migsafe.nova.clients import devices
from migsafe.nova.host import identity_check
from migsafe.nova.host.participant import SOURCE, Participant
from migsafe.text import masked
from migsafe.transaction.clients import ConnectionInfo
from migsafe.transaction.verdict import DECIDED, Verdict

LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Found:
    """What is here of one volume of a guest.

    :param info: the connection by which it is disconnected; None if it is not
    :param stays: devices that the guest runs on, of which nothing says by which connection they
        came
    """

    info: ConnectionInfo | None = dataclasses.field(default=None, repr=False)
    stays: tuple[str, ...] = ()


class Look:
    """Takes a guest's devices for its own, or does not.

    :param participant: of this host
    :param driver: its libvirt driver
    :param instance: whose guest it is
    """

    def __init__(self, participant: Participant, driver: Any, instance: Any) -> None:
        self._here, self._driver, self._uuid = participant, driver, instance.uuid
        self._used = list(identity_check.disks(driver))
        self._exported = _asked(self._exports)
        self._journalled = _asked(self._journal)

    def _exports(self) -> dict[str, ConnectionInfo]:
        volumes = self._here.clients.volumes
        found = {one.volume_id: volumes.connection_info(one.id)
                 for one in volumes.attachments(self._uuid) if one.host == self._here.host}
        return {volume: info for volume, info in found.items() if info}

    def _journal(self) -> dict[str, ConnectionInfo]:
        """What this host had when it last won a migration, or has in one that is open."""
        for tx in self._here.journal.list(instance_uuid=self._uuid, limit=1, newest=True):
            won = Verdict.ABORT if tx.role == SOURCE else Verdict.COMMIT
            if tx.verdict not in DECIDED or tx.verdict == won.value:
                before = self._here.engine.history(tx)
                return {volume: info for volume, info in before.may_be_connected(
                    tx.role == SOURCE).items() if volume not in before.ended}
        return {}

    def all(self, rows: Mapping[str, ConnectionInfo]) -> dict[str, Found]:
        """volume id -> what is here of it, of all that its rows name and that it runs on.

        :param rows: volume id -> the connection that its row names
        """
        runs_on = {volume for guest, volume, _path in self._used if guest == self._uuid and volume}
        return {volume: self._of(volume, rows.get(volume)) for volume in rows.keys() | runs_on}

    def _of(self, volume: str, row: ConnectionInfo | None) -> Found:
        if row and not self._here.clients.devices.observable(row):
            # NFS, RBD and the like go by the volume: what is not connected is not found.
            return Found(row)
        noted = {key: value for key, value in ((row or {}).get('data') or {}).items()
                 if key == policy.KEY}
        exported = self._exported.get(volume)
        for known in (exported, self._journalled.get(volume), row):
            if not known:
                continue
            info = {'serial': volume, **known, 'data': noted | (known.get('data') or {})}
            if self._is_own(volume, info, known is exported):
                return Found(info)
        named = {'volume_id': volume, **noted}
        return Found(stays=tuple(
            path for guest, serial, path in self._used if (guest, serial) == (self._uuid, volume)
            and not self._others(path)
            and devices.is_volume(self._here.host, path, named) is not False))

    def _is_own(self, volume: str, info: ConnectionInfo, exported: bool) -> bool:
        """Whether a connection leads to devices here, and each is this guest's alone.

        A disk that says which volume it is, is believed. Of one that does not, this guest has to
        run on it at this moment, or Cinder has to export it to this host: then its number is
        nobody else's.
        """
        try:
            paths = devices.own_paths(self._driver, self._here.host, self._uuid, info)
        except Exception as error:
            LOG.warning('What volume %s of instance %s leads to here is not known, and not '
                        'disconnected: %s', volume, self._uuid, masked(error))
            return False
        for path in paths:
            said = devices.is_volume(self._here.host, path, info['data'])
            if said is False or self._others(path) or not (said or exported or self._uses(
                    volume, path)):
                return False
        return bool(paths)

    def _uses(self, volume: str, path: str) -> bool:
        return any(guest == self._uuid and serial == volume and devices.same(path, used)
                   for guest, serial, used in self._used)

    def _others(self, path: str) -> bool:
        """Whether another guest may use it; one whose disks libvirt does not tell may."""
        return any(guest != self._uuid and (not used or devices.same(path, used))
                   for guest, _serial, used in self._used)


def _asked(question: Callable[[], dict[str, ConnectionInfo]]) -> dict[str, ConnectionInfo]:
    """What does not answer proves nothing, and nova-compute starts without it."""
    try:
        return question()
    except Exception as error:
        LOG.warning('It is not known what of it was connected here, and no device is taken for '
                    'its own by this: %s', masked(error))
        return {}
