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
"""What does not agree with the verdict."""

from __future__ import annotations

import dataclasses

#: Kinds of residue that nobody meets who uses the guest on the winner, if they are on the loser.
AWAY = frozenset(('R3', 'R4', 'R7', 'R8', 'R11'))


@dataclasses.dataclass(frozen=True)
class Residue:
    """A piece of a resource that does not agree with the verdict.

    :param kind: R1..R12, as in the design's table
    :param resource: the resource plugin that found it
    :param key: volume id, port id or '' for the instance as a whole
    :param host: the host it concerns
    :param detail: what was found, for an operator
    """

    kind: str
    resource: str
    key: str
    host: str
    detail: str

    def only_of(self, loser: str) -> bool:
        """Whether it is on the loser, and does not concern the host that has the guest."""
        return self.kind in AWAY and self.host == loser

    def __str__(self) -> str:
        return f'{self.kind} {self.resource} {self.key} on {self.host}: ' \
               f'{self.detail}'
