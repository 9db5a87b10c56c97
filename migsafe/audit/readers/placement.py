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
"""Allocations, out of the database of Placement; until Stein that is the API database of Nova."""

from __future__ import annotations

import collections
from collections.abc import Iterable, Mapping

import sqlalchemy as sa

from migsafe.audit.facts import Allocation
from migsafe.audit.readers import pages
from migsafe.audit.readers.database import Snapshot, columns


class Placement:
    """The database with the tables of Placement."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.label = snapshot.label
        self._allocations = snapshot.must('allocations')
        self._providers = snapshot.must('resource_providers')

    def allocations(self, consumers: Iterable[str],
                    hosts: Mapping[str, str]) -> dict[str, list[Allocation]]:
        """What consumers have, by consumer.

        A nested provider, such as a GPU, is told by the root of its tree, which is the compute
        node. A provider that shares a disk is none.

        :param hosts: UUID or name of a compute node -> its host
        """
        table, provider = self._allocations, self._providers
        root = provider.alias()
        above = (provider.c.root_provider_id if 'root_provider_id' in provider.c
                 else provider.c.id)
        query = sa.select(
            *columns(table, 'consumer_id'), provider.c.name.label('name'),
            root.c.uuid.label('uuid'), root.c.name.label('root')).select_from(
                table.join(provider, table.c.resource_provider_id == provider.c.id).join(
                    root, root.c.id == sa.func.coalesce(above, provider.c.id))).distinct()
        found: dict[str, list[Allocation]] = collections.defaultdict(list)
        for one in pages.listed(self.snapshot, query, table.c.consumer_id, consumers):
            found[one.consumer_id].append(Allocation(
                one.consumer_id, one.name or one.uuid,
                hosts.get(one.uuid) or hosts.get(one.root)))
        return found
