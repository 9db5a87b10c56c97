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
"""One instance, read once more in one snapshot: what is found of it, and the rows as they are."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
from collections.abc import Collection, Iterable, Iterator, Mapping

import sqlalchemy as sa

from migsafe.audit import address, opening, scan
from migsafe.audit.activity import Clock, Spans
from migsafe.audit.cases import Cases, Look, Only
from migsafe.audit.facts import NAMELESS, Attachment, Case, Life, Row, Volume
from migsafe.audit.findings import Finding
from migsafe.audit.notes import Notes
from migsafe.audit.opening import Sources
from migsafe.audit.readers import database
from migsafe.audit.readers.cinder import Cinder
from migsafe.audit.readers.database import columns, live
from migsafe.audit.readers.nova import Nova
from migsafe.audit.report import Asked, Report
from migsafe.audit.rules.placement import EVACUATED


@dataclasses.dataclass(frozen=True)
class Node:
    """The compute node of a host."""

    key: int
    name: str


@dataclasses.dataclass(frozen=True)
class Ground:
    """What is known of an instance by the records.

    :ivar cell: the database that it is in
    :ivar rows: primary key -> connection_info, as it is written
    :ivar given: attachment -> connection_info, as Cinder has written it
    :ivar nodes: host -> its one compute node
    :ivar claims: something is claimed for a move of it (instance_extra.migration_context)
    :ivar columns: of instances in this release
    :ivar row_columns: of block_device_mapping
    :ivar compute_id: of the instance; None where this release has no such column
    :ivar sharing: volume of an attachment of the instance -> every attachment of that volume
    :ivar users: rows of these volumes in all cells, whoever's
    :ivar places: hosts that a deleted instance had, and that may have its guest still
    """

    cell: sa.URL
    case: Case
    findings: tuple[Finding, ...]
    clock: Clock
    rows: Mapping[int, str | None]
    given: Mapping[str, str | None]
    nodes: Mapping[str, Node]
    claims: bool
    columns: frozenset[str]
    row_columns: frozenset[str]
    compute_id: int | None = None
    sharing: Mapping[str, tuple[Attachment, ...]] = dataclasses.field(default_factory=dict)
    users: tuple[Row, ...] = ()
    places: tuple[str, ...] = ()


class _Named(Cinder):
    """Cinder, of which only volumes are read whose names are known."""

    def __init__(self, snapshot: database.Snapshot, volumes: Iterable[str]) -> None:
        super().__init__(snapshot)
        self._names = set(volumes)

    def of(self, instances: Iterable[str], volumes: Iterable[str]) -> list[Attachment]:
        """Those of volumes."""
        self._names.update(volumes)
        return super().of((), self._names)

    def unusual(self, only: Iterable[str] | None = None) -> dict[str, Volume]:
        """Those of them that are shared, or with which Cinder is at work."""
        return super().unusual(self._names if only is None else only)


def read(sources: Sources, instance: str, spans: Spans, local: datetime.datetime,
         settled: bool = False, volumes: Collection[str] | None = None) -> Ground | None:
    """Look at an instance; None if no database of Nova has it.

    :param local: the time of this machine, UTC
    :param settled: what has changed just now was changed by whoever asks, and is judged, too
    :param volumes: of which its attachments are, beside those of its rows; None: that is looked
        for in the whole of Cinder, which has no index by instance
    :raises Unreadable: a database cannot be read
    """
    for cell in sources.nova:
        with contextlib.ExitStack() as stack:
            seen = Report()
            look = opening.look(stack, dataclasses.replace(sources, nova=[cell]), seen, None)
            if seen.failed:
                raise database.Unreadable(label='One of the databases',
                                          reason=' '.join(seen.unseen))
            if volumes is not None and isinstance(look.cinder, Cinder):
                look.cinder = _Named(look.cinder.snapshot, volumes)
            clock = scan.clock_of_cloud(look, spans, local)
            if settled:
                clock = Clock(max(clock.now, local) + spans.grace * 2, spans)
            found = _of_cell(cell, look, instance, clock)
        if found is not None:
            return dataclasses.replace(found, users=_users(sources.nova, found.sharing))
    return None


def _of_cell(cell: sa.URL, look: Look, instance: str, clock: Clock) -> Ground | None:
    only = look.widened([instance], [])
    for page in Cases(look, Notes(), clock, Only(only.instances | {instance},
                                                 only.volumes)).pages():
        for case in page:
            if case.instance.uuid == instance and case.instance.life not in NAMELESS:
                return _ground(cell, look, case, clock)
    return None


def _ground(cell: sa.URL, look: Look, case: Case, clock: Clock) -> Ground:
    table = look.cells[0].snapshot.must('instances')
    return Ground(
        cell, case, tuple(scan.judged(case, clock, Asked())), clock, _rows(look, case),
        _given(look, case), _nodes(look), _claims(look, case.instance.uuid),
        frozenset(table.c.keys()),
        frozenset(look.cells[0].snapshot.must('block_device_mapping').c.keys()),
        look.cells[0].snapshot.value(sa.select(table.c.compute_id).where(
            table.c.uuid == case.instance.uuid, live(table))) if 'compute_id' in table.c else None,
        _sharing(look, case), places=tuple(_places(look, case)))


def _sharing(look: Look, case: Case) -> dict[str, tuple[Attachment, ...]]:
    volumes = {one.volume for one in case.attachments}
    found = look.cinder.of((), volumes) if look.cinder and volumes else []
    return {volume: tuple(one for one in found if one.volume == volume) for volume in volumes}


def _users(cells: Iterable[sa.URL], volumes: Collection[str]) -> tuple[Row, ...]:
    found: list[Row] = []
    for cell in cells if volumes else ():
        with database.opened(cell) as snapshot:
            found += Nova(snapshot).using(sorted(volumes))
    return tuple(found)


def _places(look: Look, case: Case) -> Iterator[str]:
    """Where a deleted instance was; nova-compute may have failed to end its guest there.

    A host that it was evacuated from ends it when it is back.
    """
    snapshot, uuid = look.cells[0].snapshot, case.instance.uuid
    if case.instance.life is not Life.DELETED:
        return
    for name in ('instances', 'shadow_instances'):
        if (table := snapshot.table(name)) is not None:
            yield from (one.host for one in snapshot.rows(sa.select(*columns(
                table, 'host')).where(table.c.uuid == uuid)) if one.host)
    for name in ('migrations', 'shadow_migrations'):
        if (table := snapshot.table(name)) is not None:
            yield from (one.source_compute for one in snapshot.rows(sa.select(*columns(
                table, 'source_compute')).where(
                    table.c.instance_uuid == uuid, table.c.status == EVACUATED))
                if one.source_compute)


def _rows(look: Look, case: Case) -> dict[int, str | None]:
    snapshot = look.cells[0].snapshot
    table = snapshot.must('block_device_mapping')
    return {one.key: one.connection_info for one in snapshot.rows(sa.select(
        *columns(table, 'connection_info'), table.c.id.label('key')).where(
            live(table), table.c.instance_uuid == case.instance.uuid))}


def _given(look: Look, case: Case) -> dict[str, str | None]:
    # NOTE: a repair is not offered the API, which does not show all that it needs.
    if not isinstance(look.cinder, Cinder) or not case.attachments:
        return {}
    snapshot = look.cinder.snapshot
    table = snapshot.must('volume_attachment')
    return {one.key: one.connection_info for one in snapshot.rows(sa.select(
        *columns(table, 'connection_info'), table.c.id.label('key')).where(
            table.c.id.in_([one.uuid for one in case.attachments])))}


def _nodes(look: Look) -> dict[str, Node]:
    """Hosts that have one compute node, as those of libvirt do."""
    snapshot = look.cells[0].snapshot
    table = snapshot.table('compute_nodes')
    if table is None:
        return {}
    found: dict[str, list[Node]] = {}
    for one in snapshot.rows(sa.select(*columns(table, 'host', 'hypervisor_hostname'),
                                       table.c.id.label('key')).where(live(table))):
        found.setdefault(one.host, []).append(Node(one.key, one.hypervisor_hostname))
    return {host: nodes[0] for host, nodes in found.items() if host and len(nodes) == 1}


def _claims(look: Look, instance: str) -> bool:
    snapshot = look.cells[0].snapshot
    table = snapshot.table('instance_extra')
    if table is None or 'migration_context' not in table.c:
        return False
    found = snapshot.value(sa.select(*columns(table, 'migration_context')).where(
        live(table), table.c.instance_uuid == instance))
    return not isinstance(address.parsed(found), str)
