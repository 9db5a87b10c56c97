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
"""What is recorded of a removal: it is done when it was seen to be done."""

from __future__ import annotations

from typing import Any

from migsafe.cinder.facts.looks import Seen
from migsafe.ledger.records import Thing

#: Seconds until something is looked at again that was there still, or could not be asked.
SOON = 5.0
NOT_SEEN = 'removed, but not seen to be: {}'
NOT_ASKED = 'the array could not be asked'


def record(guard: Any, thing: Thing, keys: list[str], seen: Seen | None, *, reason: str = '',
           **how: Any) -> bool:
    """Record exports of which the driver has said that it has removed them.

    :param seen: what the array says of them; None if it could not be asked
    :param reason: why they were removed, if not because Cinder asked for it
    :param how: see :meth:`migsafe.ledger.api.Ledger.settle`, whose result is returned
    """
    settle = guard.ledger.settle
    if seen in (Seen.GONE, Seen.UNKNOWN):
        return bool(settle(thing, keys, 'gone', error=reason, **how))
    if seen is Seen.ONCE:
        return bool(settle(thing, keys, 'removed', error=reason, again=guard.inspector.lag, **how))
    why = NOT_SEEN.format(seen.value if seen else NOT_ASKED)
    # NOTE: a list that is younger than the array may lag can be from before the removal.
    return bool(settle(thing, keys, 'removed', error=why, again=max(SOON, guard.inspector.lag),
                       **how))
