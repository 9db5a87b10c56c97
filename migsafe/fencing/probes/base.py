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
"""The contract of a probe."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from migsafe.fencing.signs import Observation, Sign

#: Seconds by which the clock of who asks may be ahead of that of who records heartbeats.
CLOCKS = 5.0
#: Seconds for which a silent host that was forced down counts as one that has just fallen silent.
LATELY = 3600.0


@dataclasses.dataclass(frozen=True)
class Record:
    """What Nova's database has of the nova-compute of a host.

    :param age: seconds since its last heartbeat by the clock of who asks; None if it never had one
    :param up: whether Nova takes it for up, see [DEFAULT] service_down_time
    :param reports: how many heartbeats it has sent
    :param heard: whether the last one is of late, whatever was said of it; see :func:`of_late`
    :param changed: seconds since anything was changed in it; None if that is not known. Of a
        silent host that is when it was forced down, or later
    """

    forced_down: bool
    up: bool
    age: float | None
    reports: int
    heard: bool
    changed: float | None = None

    @property
    def lost(self) -> bool:
        """Whether it counts among those that have fallen silent at the same time: also one that
        was forced down for that."""
        if self.forced_down:
            return not self.heard and (self.changed is None or self.changed <= LATELY)
        return not self.up


def of_late(age: float | None, service_down_time: float) -> bool:
    """Whether a host that has sent a heartbeat may live by it.

    One that is ahead of the own clock tells nothing of its age, and counts.

    :param age: as :attr:`Record.age`
    :param service_down_time: Nova's option, in seconds
    """
    return age is not None and age <= service_down_time + CLOCKS


@dataclasses.dataclass(frozen=True)
class Answer:
    """What came of a question to the plugin on a host.

    :param machine: which one it says that it is, by its own firmware; empty if it does not
    """

    sign: Sign
    detail: str = ''
    boot_id: str = ''
    machine: str = ''


@dataclasses.dataclass(frozen=True)
class Site:
    """What probes may use of where they run.

    :param conf: the options of ``[migsafe]``
    :param record: host -> Nova's record of it; None if there is none
    :param ask: (host, instance uuid or '', seconds to wait) -> what the plugin there says
    :param with_other_disks: host -> its servers that have a disk which is no volume of Cinder
    """

    conf: Any
    record: Callable[[str], Record | None]
    ask: Callable[[str, str, float], Answer]
    with_other_disks: Callable[[str], Sequence[str]] = lambda _host: ()


class Probe(abc.ABC):
    """Looks at a host, and never changes anything.

    A look ends within ``[migsafe] probe_timeout``; one that does not is left behind and counts as
    nothing known. What it cannot tell, for whatever reason, is :attr:`Sign.NOTHING`, and never
    :attr:`Sign.SILENT`, which is for a host that could have answered.

    :param site: where it runs
    :param name: the name of its entry point
    """

    def __init__(self, site: Site, name: str) -> None:
        self.site, self.name = site, name

    @abc.abstractmethod
    def look(self, host: str, instance_uuid: str) -> Sequence[Observation]:
        """What is seen now; at least one observation.

        :param instance_uuid: the guest that is asked for; empty if only the host is
        """

    def saw(self, sign: Sign, detail: str = '', **more: Any) -> Observation:
        """An observation of this probe."""
        return Observation(self.name, sign, detail, **more)
