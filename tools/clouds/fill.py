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
"""Writes a synthetic cloud into databases."""

import argparse
import dataclasses
import functools
import json
import pathlib
import sys
import time
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from tools.clouds import schema, views
from tools.clouds.builder import Builder, Expected
from tools.clouds.healthy import HEALTHY
from tools.clouds.residue import MINOR, RESIDUE

#: Instances that are made before their rows are written.
BATCH = 2000
#: Of how many instances one has residue; each kind is there at least once.
ONE_OF = 200
#: Of a thousand that are healthy, how many have each kind of noise in views of services.
OF_VIEWS = 20


@dataclasses.dataclass(frozen=True)
class Databases:
    """Where the cloud goes; they may be one. Without Neutron there are no ports."""

    nova: sa.Engine
    cinder: sa.Engine
    placement: sa.Engine
    neutron: sa.Engine | None = None


def fill(
    databases: Databases,
    instances: int,
    seed: str = "0",
    hosts: int = 0,
    of_cinder: Callable[[], sa.MetaData] = schema.cinder,
    seen: views.Seen | None = None,
) -> set[Expected]:
    """Make the tables and their rows; return what an audit has to find.

    :param hosts: by default one for each hundred instances, and five at least
    :param of_cinder: makes its schema
    :param seen: gets what services say; without it they say nothing
    """
    tables: dict[str, tuple[sa.Engine, sa.Table]] = {}
    for engine, found in (
        (databases.nova, schema.nova()),
        (databases.cinder, of_cinder()),
        (databases.placement, schema.placement()),
        (databases.neutron, schema.neutron()),
    ):
        if engine is None:
            continue
        found.create_all(engine)
        for name, table in found.tables.items():
            tables.setdefault(name, (engine, table))
    made = Builder(
        seed,
        hosts or max(5, instances // 100),
        seen.export if seen else None,
        databases.neutron is not None,
    )
    weighted, residue = dict(HEALTHY), [*RESIDUE, *MINOR]
    if seen is not None and databases.neutron is not None:
        weighted |= {functools.partial(one, seen): OF_VIEWS for one in views.HEALTHY}
        residue += [functools.partial(one, seen) for one in views.RESIDUE]
    kinds, weights = list(weighted), list(weighted.values())
    planted = max(len(residue), instances // ONE_OF)
    at = {
        instances * number // planted: residue[number % len(residue)] for number in range(planted)
    }
    for number in range(instances):
        at.get(number, made.random.choices(kinds, weights)[0])(made)
        if number % BATCH == BATCH - 1:
            write(made, tables)
    write(made, tables)
    if seen is not None:
        seen.runs.update((uuid, (host,)) for uuid, host in made.guests.items())
    return made.expected


def write(made: Builder, tables: dict[str, tuple[sa.Engine, sa.Table]]) -> None:
    """Write the rows so far."""
    for name, rows in made.rows.items():
        engine, table = tables[name]
        if rows:
            columns = sorted({key for row in rows for key in row} & set(table.c.keys()))
            values: list[dict[str, Any]] = [
                {key: row.get(key, _default(table, key)) for key in columns} for row in rows
            ]
            with engine.begin() as connection:
                connection.execute(sa.insert(table), values)
        rows.clear()


def _default(table: sa.Table, key: str) -> object:
    return False if key == "deleted" and isinstance(table.c[key].type, sa.Boolean) else None


def main() -> int:
    """Fill the databases that are named, and write down what has to be found."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("nova", "cinder", "placement"):
        parser.add_argument(f"--{name}", required=True, metavar="URL")
    parser.add_argument("--instances", type=int, default=1000)
    parser.add_argument("--seed", default="0")
    parser.add_argument("--expected", type=pathlib.Path, required=True, metavar="FILE")
    given = parser.parse_args()
    began = time.monotonic()
    databases = Databases(
        *(sa.create_engine(url) for url in (given.nova, given.cinder, given.placement))
    )
    expected = fill(databases, given.instances, given.seed)
    given.expected.write_text(json.dumps(sorted(expected)), encoding="utf-8")
    print(
        f"{given.instances} instances, {len(expected)} findings planted, "
        f"{time.monotonic() - began:.0f} s"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
