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
"""What a check is, and what it can find."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterator
from typing import ClassVar

from migsafe.preflight.facts import Facts, Side


class Result(enum.Enum):
    """What came of a check, the best first."""

    OK = 'ok'
    NOTE = 'note'
    WARNING = 'warning'
    UNKNOWN = 'unknown'
    REFUSED = 'refused'


@dataclasses.dataclass(frozen=True)
class Finding:
    """What one check found.

    :param code: of the check
    :param detail: what was found, and why that matters
    :param remedy: the option or command that helps; empty if nothing is to be done
    """

    code: str
    result: Result
    detail: str
    remedy: str = ''


class Check:
    """One question about a live migration that is not asked for yet.

    :cvar code: its name in output and documents
    :cvar sides: the sides whose report it needs
    """

    code: ClassVar[str]
    sides: ClassVar[tuple[str, ...]] = ('source', 'destination')

    def findings(self, facts: Facts) -> Iterator[Finding]:
        """What it found; that it is fine only if everything that it needs was heard."""
        missing = [side for name in self.sides
                   if (side := getattr(facts, name)).report is None]
        if missing:
            yield self.made(Result.UNKNOWN, 'nothing is known without the answer of '
                            + ' and '.join(side.name or 'a destination' for side in missing))
            return
        found = list(self.look(facts))
        yield from found or [self.made(Result.OK, self.fine(facts))]

    def look(self, facts: Facts) -> Iterator[Finding]:
        """What is wrong; nothing if all is well."""
        raise NotImplementedError

    def fine(self, facts: Facts) -> str:
        """What is said if nothing is wrong."""
        return ''

    def made(self, result: Result, detail: str, remedy: str = '') -> Finding:
        """A finding of this check."""
        return Finding(self.code, result, detail, remedy)


def unheard(side: Side) -> str:
    """Why a side is not known."""
    return f'{side.name}: {side.problem}' if side.name else (
        'no destination is named, so that it was not asked (--host HOST)')
