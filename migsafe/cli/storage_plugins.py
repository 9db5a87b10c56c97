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
"""The fence and the probe ``storage``.

They stand with the commands, and not in :mod:`migsafe.fencing`, as only where commands are run
there is a way to the bus of Cinder.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from migsafe import exceptions
from migsafe.cli import storage
from migsafe.fencing.fence_log import FenceLog
from migsafe.fencing.fences.base import Fence
from migsafe.fencing.probes.base import Probe, Site
from migsafe.fencing.signs import Observation, Sign

#: Servers that are named.
MOST = 5


class NeverSeenOpen(exceptions.MigsafeError):
    """What says that there is nothing may not see what there is."""

    message = ('Host %(host)s is not known to be cut off: the storage says that it accepts '
               'nothing of it, and did not say before that it does; one that does not see what it '
               'accepts says the same. Nothing was done. If somebody has cut it off, say so with '
               '"openstack compute service set --down %(shell:host)s nova-compute".')


class OtherDisks(exceptions.MigsafeError):
    """What is cut off is not all of the host."""

    message = ('Host %(host)s is not cut off from the storage: %(count)d of its servers have '
               'disks that are no volumes of Cinder (%(servers)s), which it could go on to write. '
               'Nothing was done. Switch it off.')


class StorageFence(Fence):
    """Has the storage accept nothing of a host any more.

    It counts only if the storage has said, within the hour before, that it accepts something: then
    it does see this host. As the fences over a BMC, it keeps that in the log of fences.
    """

    def __init__(self, conf: Any, name: str) -> None:
        super().__init__(conf, name)
        self._backends = storage.Backends(conf)

    def fence(self, host: str) -> str:
        """Cut it off from each backend, and read back that it is."""
        if others := self.with_other_disks(host):
            raise OtherDisks(host=host, count=len(others), servers=', '.join(others[:MOST]))
        seen = self._backends.look(host, self.addresses)
        log = FenceLog(self.conf.state_path, self.conf.fence_limit)
        if seen.open:
            log.add(host, 'open', fence=self.name)
            seen = self._backends.cut(host, seen, self.addresses)
        if not log.has(host, 'open'):
            raise NeverSeenOpen(host=host)
        return '; '.join(f'{name} accepts nothing of its {len(volumes)} volume(s)'
                         for name, volumes in seen.volumes.items())


class StorageProbe(Probe):
    """What the storage accepts of a host, and whether it was seen at work there.

    That commands of it were counted between two looks is a sign of life; that none were proves
    nothing. A number that is smaller than before is one of another export.

    That it is cut off is said only of servers of which all disks are volumes of Cinder.
    """

    def __init__(self, site: Site, name: str) -> None:
        super().__init__(site, name)
        self._backends = storage.Backends(site.conf)
        self._first: dict[str, dict[str, int]] = {}

    def look(self, host: str, instance_uuid: str) -> Sequence[Observation]:
        """Ask all backends."""
        try:
            seen = self._backends.look(host)
        except storage.NothingSeen as error:
            return [self.saw(Sign.NOTHING, str(error))]
        first = self._first.setdefault(host, seen.commands)
        if grown := [f'{who}: {count - first[who]} commands more'
                     for who, count in seen.commands.items() if count > first.get(who, count)]:
            return [self.saw(Sign.WORKING, '; '.join(grown)[:400])]
        volumes = sum(map(len, seen.volumes.values()))
        others = [] if seen.open else [one for one in self.site.with_other_disks(host)
                                       if instance_uuid in ('', one)]
        if others:
            return [self.saw(Sign.NOTHING, f'its volumes are cut off, and {len(others)} server(s) '
                             f'have other disks: {", ".join(others[:MOST])}')]
        if not seen.open:
            return [self.saw(Sign.CUT, f'{volumes} volume(s) in {", ".join(seen.volumes)}')]
        if seen.active:
            return [self.saw(Sign.OPENED, '; '.join(seen.active)[:400])]
        return [self.saw(Sign.NOTHING, f'it may use its {volumes} volume(s), and is not seen to')]
