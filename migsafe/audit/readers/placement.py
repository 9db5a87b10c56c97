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
import functools
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

    @functools.cached_property
    def _nodes(self) -> dict[int, tuple[str, str, str, str]]:
        """Primary key of a provider -> its name, UUID and name of the root of its tree, its UUID.

        A nested provider, such as a GPU, is told by the root, which is the compute node.
        """
        table = self._providers
        query = sa.select(*columns(table, 'uuid', 'name', 'root_provider_id'),
                          table.c.id.label('key'))
        found = {one.key: one for page in pages.paged(self.snapshot, query, table.c.id)
                 for one in page}
        roots = {key: found.get(one.root_provider_id, one) for key, one in found.items()}
        return {key: (one.name or roots[key].uuid, roots[key].uuid, roots[key].name, one.uuid)
                for key, one in found.items()}

    def allocations(self, consumers: Iterable[str],
                    hosts: Mapping[str, str]) -> dict[str, list[Allocation]]:
        """What consumers have, by consumer.

        A provider that shares a disk is no compute node.

        :param hosts: UUID or name of a compute node -> its host
        """
        table = self._allocations
        query = sa.select(*columns(table, 'consumer_id', 'resource_provider_id')).distinct()
        found: dict[str, list[Allocation]] = collections.defaultdict(list)
        for consumer, key in pages.listed(self.snapshot, query, table.c.consumer_id, consumers):
            if key in self._nodes:
                name, node, root, uuid = self._nodes[key]
                found[consumer].append(Allocation(
                    consumer, name, hosts.get(node) or hosts.get(root), (node, root), uuid))
        return found
