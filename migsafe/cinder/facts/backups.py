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
"""Which volume cinder-backup is about to read: it asks this service for it first.

Some drivers give out a volume that is in use itself. What cinder-backup asks for then, from
whichever host it runs on, looks like any os-initialize_connection. So that this service has given
the volume out is written on its target in the ledger, for all services of a cluster, and the next
connection takes that away again.
"""

from __future__ import annotations

import datetime
from typing import Any

from oslo_log import log as logging
from oslo_utils import timeutils

from migsafe import exceptions
from migsafe.ledger.records import Thing

LOG = logging.getLogger(__name__)

MARK = 'given out to cinder-backup'
#: How long cinder-backup may take to ask for the connection.
PATIENCE = datetime.timedelta(minutes=10)


class Backups:
    """Those of one backend.

    :param guard: of the backend
    """

    def __init__(self, guard: Any) -> None:
        self._guard = guard

    def give(self, device: Any, is_snapshot: bool) -> None:
        """Record what the driver has given out; parameters are what it returns."""
        kind = 'snapshot' if is_snapshot else 'volume'
        try:
            self._guard.ledger.mark_target(Thing.of(kind, device['id']), MARK)
        except exceptions.MigsafeError as error:
            LOG.error('That cinder-backup reads %s %s is not recorded, so that its connection is '
                      'judged like any other: %s', kind, device['id'], error)

    def takes(self, thing: Thing) -> bool:
        """Whether the connection that is being made is the one that cinder-backup asks for."""
        target = next((row for row in self._guard.ledger.of(thing) if not row.peer), None)
        return target is not None and target.attachment == MARK and (
            timeutils.utcnow() - target.updated_at < PATIENCE)
