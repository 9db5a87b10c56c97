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
"""What there is, read from the databases, LIO, and the hosts' kernels and libvirts.

Nothing of it comes from migsafe, and nothing from an API that could remember wrongly.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from migsafe.tests.cloud import configs, machines, places

Row = Mapping[str, Any]
HERE = pathlib.Path(__file__).parent / 'guest'
#: What is read: name -> (database, statement).
QUERIES = {
    'instances': ('nova_cell1', 'SELECT uuid, host, node, vm_state, task_state FROM instances '
                                'WHERE deleted = 0'),
    'bdms': ('nova_cell1', 'SELECT instance_uuid, volume_id, attachment_id, connection_info '
                           'FROM block_device_mapping WHERE deleted = 0'),
    'migrations': ('nova_cell1', 'SELECT uuid, instance_uuid, status, migration_type, '
                                 'source_compute, dest_compute FROM migrations WHERE deleted = 0'),
    'attachments': ('cinder', 'SELECT id, volume_id, instance_uuid, attach_status, connector '
                              'FROM volume_attachment WHERE deleted = 0'),
    'volumes': ('cinder', 'SELECT id, status, _name_id AS name_id FROM volumes WHERE deleted = 0'),
    'allocations': ('placement', 'SELECT a.consumer_id AS consumer, p.name AS host FROM '
                                 'allocations a JOIN resource_providers p '
                                 'ON a.resource_provider_id = p.id GROUP BY 1, 2'),
    'bindings': ('neutron', 'SELECT p.device_id AS instance, b.host, b.status FROM ports p '
                            'JOIN ml2_port_bindings b ON b.port_id = p.id'),
}


@dataclasses.dataclass(frozen=True)
class Facts:
    """All of it at about one moment.

    :param tables: name as in QUERIES -> rows
    :param hosts: compute host -> what guest/look_compute.py tells; None for one that is off
    :param array: what guest/look_array.py tells
    """

    tables: Mapping[str, Sequence[Row]]
    hosts: Mapping[str, Row | None]
    array: Row


def gather() -> Facts:
    """Read everything."""
    return Facts({name: rows(*where) for name, where in QUERIES.items()},
                 {name: _look(name, 'look_compute.py') if machines.reachable(name) else None
                  for name in places.COMPUTES},
                 _look('array', 'look_array.py') if machines.reachable('array') else {})


def rows(database: str, statement: str) -> list[dict[str, Any]]:
    """What a statement finds."""
    engine = sa.create_engine(str(configs.database(database)['connection']), poolclass=sa.NullPool)
    with engine.connect() as connection:
        return [dict(row) for row in connection.exec_driver_sql(statement).mappings()]


def change(database: str, statement: str, *values: str) -> None:
    """Change something behind everybody's back."""
    engine = sa.create_engine(str(configs.database(database)['connection']), poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.exec_driver_sql(statement, values)


def _look(machine: str, program: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        machines.run(machine, 'python3 -', (HERE / program).read_bytes()))
    return found
