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
"""What is recorded of external effects: that one is about to be caused, and what became of it."""

import dataclasses
from collections.abc import Iterable
from typing import Any

from migsafe.journal import records, rows, values, writes

# (intent id, status, payload)
Outcome = tuple[int, str, records.Payload]


@dataclasses.dataclass
class Planned:
    """An intent that is written with a verdict, whose effects nothing separates from it.

    :param id: of the intent, once it is durable; None as long as nothing was written
    """

    resource: str
    effect: str
    key: str
    id: int | None = None


def fields(resource: str, effect: str, key: str,
           payload: records.Payload = None) -> dict[str, Any]:
    """The columns of an intent.

    :raises JournalBadValue: one of them cannot be recorded
    """
    what = named(effect)
    return {'resource': values.word(what, 'resource', resource, 64),
            'key': values.word(what, 'key', key, 255),
            'effect': values.word(what, 'effect', effect, 255, empty=False),
            'payload': values.dump(what, payload)}


def named(effect: str) -> str:
    """What messages call the intent of an effect."""
    return f'the intent of {values.prose(effect)[:80]}'


def checked(outcomes: Iterable[Outcome]) -> list[writes.Outcome]:
    """Outcomes as they are written.

    :raises JournalBadValue: one of them cannot be recorded
    """
    found = []
    for intent_id, status, payload in outcomes:
        what = f'the outcome of intent {intent_id}'
        values.choice(what, 'status', status, rows.STATUSES)
        found.append((intent_id, status, values.dump(what, payload)))
    return found
