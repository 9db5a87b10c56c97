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
"""Bindings of the ports of instances, out of the database of Neutron."""

from __future__ import annotations

import collections
import datetime
from collections.abc import Iterable

import sqlalchemy as sa

from migsafe.audit.facts import Binding
from migsafe.audit.readers import pages
from migsafe.audit.readers.database import Snapshot, beats, columns

#: Of a binding that works; the other one waits for a live migration. Before Rocky there is no such
#: column: neutron_lib.constants.ACTIVE.
ACTIVE = 'ACTIVE'
#: device_owner of a port of an instance begins with it; the name of its zone follows.
OWNER = 'compute:'


class Neutron:
    """The database of Neutron."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.label = snapshot.label
        self._ports = snapshot.must('ports')
        self._bindings = snapshot.must('ml2_port_bindings')

    def beats(self) -> list[datetime.datetime]:
        """When agents have last reported, where there are such."""
        return beats(self.snapshot, 'agents', 'heartbeat_timestamp')

    def bindings(self, instances: Iterable[str]) -> dict[str, list[Binding]]:
        """Those of the ports of instances, by instance."""
        ports, table = self._ports, self._bindings
        query = sa.select(*columns(ports, 'device_id', 'id'),
                          *columns(table, 'host', 'status')).select_from(
            table.join(ports, table.c.port_id == ports.c.id)).where(
                ports.c.device_owner.startswith(OWNER))
        found: dict[str, list[Binding]] = collections.defaultdict(list)
        for instance, port, host, status in pages.listed(
                self.snapshot, query, ports.c.device_id, instances):
            if host:
                found[instance].append(Binding(port, instance, host, status in (None, ACTIVE)))
        return found
