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
"""Storage arrays that give every host LUN numbers of its own, as real ones do."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import uuid
from typing import Any

from migsafe.replay.lab import world as lab_world

INCIDENT = pathlib.Path(__file__).parent / 'data' / 'incident-000.json'


@dataclasses.dataclass(frozen=True)
class Incident:
    """The values of incident 000 that the laboratory is set up with.

    :param volumes: (volume id, LUN on the destination), root disk first.
    """

    source: str
    destination: str
    target_iqn: str
    target_portal: str
    connector: dict[str, Any]
    volumes: tuple[tuple[str, int], ...]

    @classmethod
    def load(cls, path: pathlib.Path = INCIDENT) -> Incident:
        """Read the connection_info that was found in that Nova database."""
        recorded = json.loads(path.read_text(encoding='utf-8'))
        found = recorded['bdm_connection_info_found_in_nova_db']
        data = sorted((info['data'] for info in found), key=lambda d: d['target_lun'])
        return cls(
            source=recorded['source_host'], destination=recorded['destination_host'],
            target_iqn=data[0]['target_iqn'], target_portal=data[0]['target_portal'],
            connector=found[0]['connector'],
            volumes=tuple((d['volume_id'], d['target_lun']) for d in data))


#: Numbers the array hands out per host; every other number below LUNS belongs to a stranger.
#: What is free on one host is in use by strangers on the other: a number taken to the wrong
#: host always opens somebody else's disk.
LUNS = 256
FREE = {
    'destination': (*range(3, 7), *range(51, 81)),
    'source': (*range(7, 11), *range(81, 131)),
    'third': (*range(11, 15), *range(131, 161)),
}
#: The host of no incident, where a guest goes that has been moved already.
THIRD = 'node12'


@dataclasses.dataclass
class Export:
    """One mapping of one volume to one host.

    :param users: what needs it: Cinder attachment ids, or 'legacy'.
    """

    host: str
    volume_id: str
    lun: int
    users: set[str]


class Array:
    """One array with one target; ``exports`` is its igroup table."""

    def __init__(self, iqn: str, portal: str, free: dict[str, tuple[int, ...]]) -> None:
        self.iqn = iqn
        self.portal = portal
        self._free = dict(free)
        self._luns = LUNS
        self.order: dict[str, int] = {}
        self.exports: dict[tuple[str, str], Export] = {}

    def map(self, host: str, volume_id: str, user: str) -> Export:
        """Export a volume to a host; a second user of the same export shares its number.

        A volume gets the number of its place in ``order`` if that is free, so that the disks
        of the replayed guest have the numbers that the incident's had.
        """
        export = self.exports.get((host, volume_id))
        if export is None:
            taken = {e.lun for e in self.exports.values() if e.host == host}
            free = [n for n in self._free[host] if n not in taken]
            wanted = self._free[host][self.order.get(volume_id, 0)]
            lun = wanted if wanted in free else free[0]
            export = self.exports[host, volume_id] = Export(host, volume_id, lun, set())
        export.users.add(user)
        return export

    def unmap(self, host: str, volume_id: str, user: str) -> bool:
        """Give up one use of an export.

        :returns: True if that was the last use, so that the export is gone.
        """
        export = self.exports.get((host, volume_id))
        if export is None:
            return False
        export.users.discard(user)
        if export.users:
            return False
        del self.exports[host, volume_id]
        return True

    def widen(self, count: int) -> None:
        """Hand out so many more numbers for each host, of which another host has none."""
        for host in self._free:
            self._free[host] += tuple(range(self._luns, self._luns + count))
            self._luns += count

    def leads_to(self, host: str, lun: int) -> str | None:
        """The volume behind a LUN number on a host now, a stranger's included."""
        for export in self.exports.values():
            if (export.host, export.lun) == (host, lun):
                return export.volume_id
        if lun in self._free[host] or not 0 <= lun < self._luns:
            return None
        return self.stranger(host, lun)

    def stranger(self, host: str, lun: int) -> str:
        """The id of the other tenant's volume that has this number on this host."""
        return str(uuid.uuid5(uuid.NAMESPACE_OID, f'{self.iqn}/{host}/{lun}'))

    def forget(self, volume_id: str) -> None:
        """Drop all exports of a volume, to leave nothing to the next case."""
        self.exports = {k: e for k, e in self.exports.items() if e.volume_id != volume_id}


class San:
    """All arrays; a volume lives on the array of its backend."""

    def __init__(self, incident: Incident, world: lab_world.World) -> None:
        free = {incident.destination: FREE['destination'], incident.source: FREE['source'],
                THIRD: FREE['third']}
        self._world = world
        self.arrays = {
            'iscsi': Array(incident.target_iqn, incident.target_portal, free),
            'iscsi-2': Array('iqn.2010-10.org.openstack:second', '172.24.3.201:3260', free),
            'rbd': Array('rbd', '172.24.3.111:6789', free),
        }

    def by_iqn(self, iqn: str) -> Array:
        """:raises LookupError: if no array has this target."""
        for array in self.arrays.values():
            if array.iqn == iqn:
                return array
        raise LookupError(f'no array has the target {iqn}')

    def exchange(self, one: str, other: str) -> None:
        """Cinder has exchanged the ids of two volumes; the disks and their exports stay."""
        ids = {one: other, other: one}
        for array in self.arrays.values():
            for export in array.exports.values():
                export.volume_id = ids.get(export.volume_id, export.volume_id)
            array.exports = {(e.host, e.volume_id): e for e in array.exports.values()}

    def exports(self, volume_id: str) -> list[Export]:
        """All exports of a volume."""
        return [e for array in self.arrays.values() for e in array.exports.values()
                if e.volume_id == volume_id]
