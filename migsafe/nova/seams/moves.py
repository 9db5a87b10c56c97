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
"""What an instance's moves say of evacuations, and of where the guest may be after one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from migsafe.resources import instance_record
from migsafe.transaction.clients import EVACUATION, LIVE_MIGRATION, OtherMove


def undecided(moves: Sequence[OtherMove]) -> list[OtherMove]:
    """Moves after which a guest may be on a host that its record does not name, the newest first.

    These are live migrations that Nova has not ended, and evacuations, which may fail after the
    guest was started. What is older than a move that has taken place says nothing of where the
    guest is now.

    :param moves: of the instance, the oldest first
    """
    return [move for move in _lately(moves) if
            move.kind == EVACUATION or move.kind == LIVE_MIGRATION
            and move.status not in instance_record.TERMINAL and not move.only_asked_for]


def taken(moves: Sequence[OtherMove], host: str) -> bool:
    """Whether an instance was to be evacuated from a host, and no other move has taken place
    since.

    :param moves: of the instance, the oldest first
    """
    return any(move.kind == EVACUATION and move.source_host == host for move in _lately(moves))


def others(moves: Sequence[OtherMove], host: str) -> list[str]:
    """All hosts but one that an instance was ever to be migrated to or from, live."""
    return sorted({other for move in moves if move.kind == LIVE_MIGRATION
                   for other in (move.source_host, move.dest_host) if other and other != host})


def _lately(moves: Sequence[OtherMove]) -> Iterator[OtherMove]:
    """Moves since the last one that has taken place, the newest first.

    An evacuation that is over is one of them: the old host's nova-compute calls it completed when
    that starts again, whatever became of it.
    """
    for move in reversed(moves):
        took_place = move.over and not move.came_to_nothing
        if not took_place or move.kind == EVACUATION:
            yield move
        if took_place:
            return
