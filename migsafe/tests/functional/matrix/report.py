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
"""What became of a case, in words: it travels between processes."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

#: (host, kind, name) of one effect.
Row = tuple[str, str, str]
#: (kind, host, volume) of one piece of residue.
Piece = tuple[str, str, int | None]


@dataclasses.dataclass
class Report:
    """What one laboratory says of one case.

    :param unfired: the faults that did not take place: without them a case proves nothing
    :param left: everything that is not as it must be after recovery and the next step
    :param trace: the effects of the migration, up to what its end left
    :param later: the effects of restart and recovery
    :param fired: where in ``trace`` or ``later`` the faults took place
    :param broken: why the laboratory could not say anything
    :param pieces: residue after recovery, each as (kind, host, volume)
    :param harms: damage done, that of the next step included, each as (kind, host)
    :param running: the hosts on which the guest runs
    :param refused: why the next step was not done; empty if it was
    """

    unfired: list[str] = dataclasses.field(default_factory=list)
    left: list[str] = dataclasses.field(default_factory=list)
    seconds: float = 0.0
    log: str = ''
    trace: list[Row] = dataclasses.field(default_factory=list)
    later: list[Row] = dataclasses.field(default_factory=list)
    fired: list[int] = dataclasses.field(default_factory=list)
    broken: str = ''
    pieces: list[Piece] = dataclasses.field(default_factory=list)
    harms: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    running: list[str] = dataclasses.field(default_factory=list)
    refused: str = ''

    def line(self) -> bytes:
        """As it is sent."""
        return json.dumps(dataclasses.asdict(self)).encode() + b'\n'

    @classmethod
    def read(cls, line: bytes) -> Report:
        """As it is received.

        :raises ValueError: if it was cut short
        """
        fields: dict[str, Any] = json.loads(line)
        for name in ('trace', 'later', 'pieces', 'harms'):
            fields[name] = [tuple(row) for row in fields[name]]
        return cls(**fields)
