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
"""What Nova knows of an instance's live migrations, for an evacuation."""

from __future__ import annotations

from nova import context as nova_context
from nova import objects

from migsafe.nova.clients.records import OVER
from migsafe.resources import instance_record
from migsafe.transaction.clients import LIVE_MIGRATION, OtherMove


def undecided(instance_uuid: str) -> list[OtherMove]:
    """Live migrations of an instance that Nova has not ended, the newest first.

    What is older than a move that has taken place says nothing of where the guest is now.
    """
    found = []
    for one in sorted(objects.MigrationList.get_by_filters(
            nova_context.get_admin_context(), {'instance_uuid': instance_uuid}),
            key=lambda migration: migration.id, reverse=True):
        move = OtherMove(one.migration_type, one.uuid, one.status, one.source_compute or '',
                         one.dest_compute or '', over=one.status in OVER)
        if move.over and not move.came_to_nothing:
            break
        if move.kind == LIVE_MIGRATION and move.status not in instance_record.TERMINAL \
                and not move.only_asked_for:
            found.append(move)
    return found
