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
"""What Nova's record of a nova-compute says."""

from __future__ import annotations

from collections.abc import Sequence

from migsafe.fencing.probes.base import Probe
from migsafe.fencing.signs import Observation, Sign


class NovaService(Probe):
    """The heartbeat and ``forced_down``.

    A heartbeat of late is a hint: the host may have died since, and is silent for longer than
    that soon. One that comes between two looks is proof, whatever the clocks say.
    """

    def look(self, host: str, instance_uuid: str) -> Sequence[Observation]:
        """Read the record."""
        record = self.site.record(host)
        if record is None:
            return [self.saw(Sign.NOTHING, 'Nova has no nova-compute of this name')]
        told = ('no heartbeat yet' if record.age is None
                else f'last heartbeat {record.age:.0f} seconds ago')
        # NOTE: not by "up": Nova takes one for down that was forced down, although it is heard.
        seen = [self.saw(Sign.HEARD if record.heard else Sign.STALE, told,
                         sequence=record.reports)]
        if record.forced_down:
            seen.append(self.saw(Sign.DECLARED))
        return seen
