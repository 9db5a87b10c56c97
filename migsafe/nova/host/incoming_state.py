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
"""Nova's in-memory state for a guest that is migrating to this host.

Its rollback at the destination clears it at the end. When that was refused, or
the source never asked for it, nobody would until nova-compute is restarted.
"""

from __future__ import annotations

from typing import Any


def forget(manager: Any, instance_uuid: str) -> None:
    """Clear it once the migration is settled and the guest has not come.

    What is claimed in the resource tracker is not here: Nova works that out anew
    from the records of migrations, periodically.
    """
    # Since Nova 34; a graceful shutdown waits for it to end.
    end = getattr(manager, '_end_pending_dest_live_migration_task', None)
    if end is not None:
        end(instance_uuid)
    # Mediated devices that no other guest gets in the meantime.
    getattr(manager.driver, 'instance_claimed_mdevs', {}).pop(instance_uuid, None)
