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
"""What could not be seen or judged, counted, with examples."""

from __future__ import annotations

import collections
from collections.abc import Iterable, Mapping

from migsafe.audit.activity import Clock
from migsafe.audit.address import ANYWHERE
from migsafe.audit.facts import Case
from migsafe.masking import one_line

#: Examples that are shown of each.
SHOWN = 5

#: What -> in words: {count} of them, and what follows from it.
WORDS = {
    'unknown-instance': '{count} instances that Cinder has attachments of are in none of the '
    'databases of Nova that were given, dead or alive; if there are more cells, name them too, or '
    'all of them with --nova-api-database',
    'unreadable-row': '{count} rows have a connection_info that cannot be read, so that it is not '
    'known where they lead to; the next start fails or connects anew',
    'empty-row': '{count} rows of instances that have a host have no connection_info',
    'unreadable-attachment': '{count} attachments have a connection_info that cannot be read',
    'type': '{count} rows are of types whose addresses cannot be compared',
    'hypervisor': '{count} instances are on hosts of a hypervisor whose connectors do not have '
    "the host's name; only their migrations and allocations were judged",
    'odd': '{count} instances have values in their records that no service writes, and were not '
    'judged',
    'future': '{count} instances have records from the future, by the clock of the cloud; they '
    'are taken for such that are just being changed',
}


class Notes:
    """Counts what is put in it."""

    def __init__(self) -> None:
        self._counts: collections.Counter[str] = collections.Counter()
        self._examples: dict[str, list[str]] = collections.defaultdict(list)

    def add(self, what: str, names: Iterable[object]) -> None:
        """Count each name."""
        for name in names:
            self._counts[what] += 1
            examples = self._examples[what]
            if len(examples) < SHOWN and (text := one_line(name)[:80]) not in examples:
                examples.append(text)

    def has(self, what: str) -> bool:
        """Whether any was counted."""
        return bool(self._counts[what])

    def look_at(self, case: Case, clock: Clock) -> None:
        """Count what of a case cannot be judged."""
        if case.instance.host and not case.comparable:
            self.add('hypervisor', [case.instance.host])
            return
        for row in case.rows:
            problem = row.connection.problem
            if problem == 'empty':
                self.add('empty-row', [row.number] if case.instance.host else [])
            elif problem:
                self.add('unreadable-row', [f'{row.number} ({problem})'])
            elif not row.connection.parts and row.connection.kind not in ANYWHERE:
                self.add('type', [row.connection.kind])
        self.add('unreadable-attachment', (
            f'{one.uuid} ({one.connection.problem})' for one in case.attachments
            if one.connection.problem not in ('', 'empty')))
        moments = [case.instance.updated, *(one.updated for one in case.rows),
                   *(one.updated for one in case.migrations)]
        if any(one and one > clock.now + clock.spans.grace for one in moments):
            self.add('future', [case.instance.uuid])

    def kept(self) -> dict[str, tuple[int, list[str]]]:
        """What was counted so far: what -> how many, and examples."""
        return {what: (count, self._examples[what]) for what, count in self._counts.items()}

    def go_on(self, kept: Mapping[str, tuple[int, list[str]]]) -> None:
        """Go on from what was counted before."""
        for what, (count, examples) in kept.items():
            self._counts[what], self._examples[what] = count, list(examples)

    def sentences(self) -> list[str]:
        """Each of them for people."""
        return [f'{WORDS[what].format(count=self._counts[what])}: '
                + ', '.join(self._examples[what])
                + (', ...' if self._counts[what] > len(self._examples[what]) else '') + '.'
                for what in WORDS if self._counts[what]]
