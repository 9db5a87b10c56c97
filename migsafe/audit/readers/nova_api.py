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
"""Which instances there are in any cell, out of the API database of Nova."""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa

from migsafe.audit.readers import pages
from migsafe.audit.readers.database import Snapshot, columns


class NovaApi:
    """The API database of Nova."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self._mappings = snapshot.must('instance_mappings')

    def mapped(self, instances: Iterable[str]) -> set[str]:
        """Those of these instances that some cell has.

        A mapping is made before the instance, and is gone when that is archived:
        archive_deleted_rows() of nova/cmd/manage.py.
        """
        query = sa.select(*columns(self._mappings, 'instance_uuid'))
        return {one.instance_uuid for one in pages.listed(
            self.snapshot, query, self._mappings.c.instance_uuid, instances)}
