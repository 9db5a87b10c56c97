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
"""All that the checks look at, and why something is not known."""

from __future__ import annotations

import dataclasses
import enum

from migsafe.preflight import report
from migsafe.preflight.decision import Request, Situation
from migsafe.preflight.path import Path
from migsafe.preflight.report import Report
from migsafe.preflight.surroundings import Surroundings


class Plugin(enum.Enum):
    """What is known of the plugin on a host."""

    ARMED = 'armed'
    UNARMED = 'unarmed'
    UNKNOWN = 'unknown'


@dataclasses.dataclass(frozen=True)
class Server:
    """An instance, as Nova's API shows it.

    :param task: what Nova is doing with it; empty if nothing
    """

    uuid: str
    name: str
    status: str
    task: str
    host: str


@dataclasses.dataclass(frozen=True)
class ComputeService:
    """A nova-compute, as Nova's API shows it."""

    host: str
    enabled: bool
    up: bool
    forced_down: bool = False
    reason: str = ''


@dataclasses.dataclass(frozen=True)
class Side:
    """One of the two hosts.

    :param name: empty if no destination is named
    :param service: None if it could not be asked for
    :param known: whether Nova has such a service, as far as it could be asked for
    :param service_problem: why it could not
    :param problem: why there is no report
    :param offset: seconds by which its clock is ahead of the one that runs the command
    :param margin: by how many seconds that may be wrong
    :param around: what it finds around itself; None if it has not said
    :param around_problem: why not
    """

    name: str
    service: ComputeService | None = None
    known: bool = True
    service_problem: str = ''
    plugin: Plugin = Plugin.UNKNOWN
    report: Report | None = None
    problem: str = ''
    offset: float = 0.0
    margin: float = 0.0
    around: Surroundings | None = None
    around_problem: str = ''


@dataclasses.dataclass(frozen=True)
class Facts:
    """Everything that was found out; nothing of it was changed by that.

    :param path: the way from the source to the destination; None if it was not looked at
    :param path_problem: why not
    """

    server: Server
    request: Request
    source: Side
    destination: Side
    path: Path | None = None
    path_problem: str = 'no destination is named, so that the way there was not looked at'

    @property
    def sides(self) -> tuple[Side, ...]:
        """The hosts that are known by name."""
        return tuple(side for side in (self.source, self.destination) if side.name)

    def situations(self) -> list[Situation]:
        """What Nova may have to decide on: none if the hosts could not be asked, two if it cannot
        be told whether they share a directory."""
        here, there = self.source.report, self.destination.report
        if here is None or there is None or here.guest is None:
            return []
        shared = report.shared_path(here.directory, there.directory)
        return [Situation(here.guest, here.storage, there.storage, one)
                for one in ((False, True) if shared is None else (shared,))]
