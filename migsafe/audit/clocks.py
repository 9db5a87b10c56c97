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
"""What time it is in a cloud, as its databases tell it.

They may be copies that were made at different times. What has changed since the older of two was
made may differ because of that alone, so each cell is judged by the older of itself and what all
cells share. A cell whose services have ended long ago holds back no other one.
"""

from __future__ import annotations

import dataclasses
import datetime
import statistics
from collections.abc import Iterable, Mapping

from migsafe.audit.activity import Clock, Spans
from migsafe.audit.cases import Look
from migsafe.audit.readers.nova import Nova


@dataclasses.dataclass(frozen=True)
class Clocks:
    """The clocks of a look.

    :ivar cells: label of a cell -> the clock by which its instances are judged
    :ivar told: label of a database -> its own time, where it has one
    """

    cells: Mapping[str, Clock]
    told: Mapping[str, datetime.datetime]

    @property
    def oldest(self) -> Clock:
        """The clock by which anything can be judged."""
        return min(self.cells.values(), key=lambda one: one.now)

    @property
    def newest(self) -> Clock:
        """The clock for what is the same in all cells."""
        return max(self.cells.values(), key=lambda one: one.now)

    def sentences(self) -> list[str]:
        """Which databases are older than others, for people."""
        newest, grace = max(self.told.values(), default=None), self.newest.spans.grace
        return [f'{label} is of {_text(moment)} UTC, and others are of {_text(newest)} UTC: what '
                'has changed since may differ because of that alone, and is taken for such that '
                'is just being changed. Give copies that were made at one time.'
                for label, moment in self.told.items() if newest and moment < newest - grace]


def of_cloud(look: Look, spans: Spans, local: datetime.datetime) -> Clocks:
    """The clocks to judge by.

    :param local: this machine's, UTC; no database is of a later time
    """
    beats = [(reader, min(beat, local)) for reader in look.dated
             if (beat := agreed(reader.beats(), spans))]
    cells = {reader.label: beat for reader, beat in beats if isinstance(reader, Nova)}
    shared = [beat for reader, beat in beats if not isinstance(reader, Nova)]
    known = max(cells.values() or filter(None, (nova.changed() for nova in look.cells)),
                default=local)
    return Clocks({nova.label: Clock(min(cells.get(nova.label, known), *shared, local), spans)
                   for nova in look.cells},
                  {reader.label: beat for reader, beat in reversed(beats)})


def agreed(beats: Iterable[datetime.datetime], spans: Spans) -> datetime.datetime | None:
    """The time that services agree upon, of which some are dead and some have a wrong clock.

    Those that beat within a day of the newest beat are alive; of these the median is taken.
    """
    known = sorted(beats)
    if not known:
        return None
    return statistics.median_low(one for one in known if one >= known[-1] - spans.stuck)


def _text(moment: datetime.datetime) -> str:
    return moment.isoformat(' ', 'seconds')
