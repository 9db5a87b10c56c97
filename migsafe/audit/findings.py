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
"""What a rule says: the residue, what led to it, and what may be done."""

from __future__ import annotations

import dataclasses
import enum


class Severity(enum.IntEnum):
    """How bad it is to leave it: whether the next operation can lose data."""

    MINOR = 1
    WARNING = 2
    CRITICAL = 3

    @property
    def word(self) -> str:
        """For people."""
        return self.name.lower()


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """One piece of residue.

    :ivar rule: such as R1
    :ivar certain: the records prove it; if not, ``repair`` says what to find out first
    :ivar what: one sentence
    :ivar evidence: what was read, each as a name and a value
    :ivar repair: what may be done about it
    :ivar key: tells two findings of one rule about one instance and volume apart
    """

    rule: str
    severity: Severity
    what: str
    repair: str
    instance: str | None = None
    volume: str | None = None
    hosts: tuple[str, ...] = ()
    evidence: tuple[tuple[str, str], ...] = ()
    certain: bool = True
    key: str = ''

    @property
    def identity(self) -> tuple[str, ...]:
        """What makes it the same finding when one looks again."""
        return (self.rule, self.instance or '', self.volume or '', self.key)
