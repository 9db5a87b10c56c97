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
"""Joins what the databases say into one case for each instance."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from migsafe.audit import questions
from migsafe.audit.activity import Clock
from migsafe.audit.address import Compact
from migsafe.audit.facts import (
    Attachment,
    Case,
    Export,
    Instance,
    Life,
    Migration,
    Views,
    Volume,
)
from migsafe.audit.notes import Notes
from migsafe.audit.readers import database, pages
from migsafe.audit.readers.cinder import Cinder
from migsafe.audit.readers.cinder_api import CinderApi
from migsafe.audit.readers.neutron import Neutron
from migsafe.audit.readers.nova import Nodes, Nova
from migsafe.audit.readers.nova_api import NovaApi
from migsafe.audit.readers.placement import Placement
from migsafe.audit.shelf import Said, Shelf
from migsafe.audit.told import Told

#: Who is told which view has failed while it was read, why, and what part of it is not known then.
Lost = Callable[[str, Exception, str], None]
T = TypeVar('T')


@dataclasses.dataclass(frozen=True)
class Only:
    """The part of a cloud that is looked at: these, and what shares a volume with them."""

    instances: frozenset[str]
    volumes: frozenset[str]


@dataclasses.dataclass
class Look:
    """The snapshots of one look at a cloud.

    :ivar compact: what a part of an address becomes; None keeps it for people to read
    """

    cells: list[Nova]
    cinder: Cinder | CinderApi | None
    placement: Placement | None
    compact: Compact | None = None
    neutron: Neutron | None = None
    told: Told = dataclasses.field(default_factory=Told)
    api: NovaApi | None = None

    @property
    def views(self) -> Views:
        """What can be seen."""
        return Views(self.cinder is not None,
                     self.cinder is not None and self.cinder.records_hosts,
                     self.placement is not None, self.neutron is not None)

    @property
    def dated(self) -> list[Nova | Cinder | CinderApi | Neutron]:
        """What has services that report, the cells first."""
        return [*self.cells, *((self.cinder,) if self.cinder else ()),
                *((self.neutron,) if self.neutron else ())]

    def widened(self, instances: Iterable[str], volumes: Iterable[str]) -> Only:
        """Instances and volumes, with the volumes of these and the users of those."""
        users, theirs = set(instances), set(volumes)
        for nova in self.cells:
            for rows in nova.rows(sorted(users)).values():
                theirs.update(row.volume for row in rows)
        if self.cinder is not None:
            for one in self.cinder.of(users, theirs):
                users |= {one.instance} if one.instance else set()
                theirs.add(one.volume)
        for nova in self.cells:
            users |= nova.users(sorted(theirs))
        return Only(frozenset(users), frozenset(theirs))


class Cases:
    """All cases of a look.

    :param notes: gets what cannot be judged
    :param clock: for what can be of any cell
    :param clocks: label of a cell -> the clock for what is of that cell
    :ivar clock: by which the page that was taken last is judged
    :param lost: told of a database that fails on the way, of which the rest is done without;
        None: it is an error
    """

    def __init__(self, look: Look, notes: Notes, clock: Clock, only: Only | None = None,
                 lost: Lost | None = None, clocks: Mapping[str, Clock] | None = None) -> None:
        self.look, self.notes, self.clock, self.only = look, notes, clock, only
        self._clock, self._clocks = clock, clocks or {}
        self._lost = lost
        #: label of a cell -> its last instance of the pages that were taken
        self.read: dict[str, int] = {}
        self.nodes = [nova.nodes() for nova in look.cells]
        self._read = list(look.cells)
        self._working: dict[str, frozenset[str | None]] = {}
        #: copies of a resize between cells: the other cell has the instance
        self._hidden: set[str] = set()
        self.hosts = {name: host for nodes in self.nodes for name, host in nodes.hosts.items()}
        self.shelf = Shelf(self._attachments())
        self.volumes: Mapping[str, Volume] = look.cinder.unusual() if look.cinder else {}
        self.said = Said(look.told)

    def _attachments(self) -> Iterable[Attachment]:
        cinder = self.look.cinder
        if cinder is None:
            return ()
        if self.only is not None:
            return cinder.of(self.only.instances, self.only.volumes)
        return cinder.attachments(self.look.compact, self.clock.recent)

    def pages(self, after: Mapping[str, int] | None = None) -> Iterator[list[Case]]:
        """Cases of instances that live, in pages, and then of those that do not.

        :param after: label of a cell -> its last instance that was read before
        :raises Unreadable: a database has failed, and it was the last cell, or nobody is told
        """
        wanted = None if self.only is None else sorted(self.only.instances)
        for nova, nodes in zip(list(self.look.cells), self.nodes, strict=True):
            before = (after or {}).get(nova.label)
            self.clock = self._clocks.get(nova.label, self._clock)
            try:
                if before is not None:
                    self._skip(nova, before)
                for page in nova.instances(wanted, before):
                    made = self._page(nova, nodes, page)
                    self.read.update({nova.label: page[-1].number} if page else {})
                    yield made
            except database.Unreadable as error:
                if self._lost is None or len(self.look.cells) == 1:
                    raise
                # What another database lacks is found out where it is asked.
                self.look.cells.remove(nova)
                self._lost('Nova', error, 'The rest of a cell of {}')
        yield from self._left()

    def _skip(self, nova: Nova, last: int) -> None:
        """Take away what is of instances that were read before."""
        self.read[nova.label] = last
        for uuid in nova.until(last):
            self._told_of(Case(Instance(0, uuid), attachments=self.shelf.take(uuid)))

    def _optional(self, name: str, ask: Callable[[Any], dict[str, T]]) -> dict[str, T]:
        """What a database says without which an audit can go on; nothing if it is not there."""
        reader = getattr(self.look, name)
        if reader is None:
            return {}
        try:
            return ask(reader)
        except database.Unreadable as error:
            if self._lost is None:
                raise
            setattr(self.look, name, None)
            self._lost(name.capitalize(), error, 'The rest of {}')
            return {}

    def _page(self, nova: Nova, nodes: Nodes, page: list[Instance]) -> list[Case]:
        self._hidden.update(one.uuid for one in page if one.hidden)
        page = [one for one in page if not one.hidden]
        uuids = [one.uuid for one in page]
        rows, migrations = nova.rows(uuids, self.look.compact), nova.migrations(uuids)
        consumers = [*uuids, *(one.uuid for found in migrations.values() for one in found
                               if one.uuid)]
        allocations = self._optional(
            'placement', lambda reader: reader.allocations(consumers, self.hosts))
        bindings = self._optional('neutron', lambda reader: reader.bindings(uuids))
        made = []
        for one in page:
            mine, moves = rows.get(one.uuid, []), migrations.get(one.uuid, [])
            names = [one.uuid, *(move.uuid for move in moves if move.uuid)]
            made.append(self._told_of(Case(
                one, tuple(mine), self.shelf.take(one.uuid),
                {row.volume: self.shelf.of(row.volume) for row in mine}, tuple(moves),
                tuple(held for name in names for held in allocations.get(name, ())),
                self.volumes, self.look.views, bindings=tuple(bindings.get(one.uuid, ())),
                comparable=nodes.comparable(one))))
        questions.unshelved(nova, made)
        questions.queued(nova, made, self.clock, self._working)
        questions.unlinked(nova, made)
        self._optional('cinder', lambda reader: questions.gone(reader, made))
        for case in made:
            self.notes.look_at(case, self.clock)
        return made

    def _told_of(self, case: Case) -> Case:
        """The same with what services say of it."""
        uuid = case.instance.uuid
        case.pieces, case.runs = self.said.pieces(uuid), self.said.runs(uuid)
        case.exports = self.said.exports({*case.sharing, *(
            one.volume for one in case.attachments)})
        return case

    def _left(self) -> Iterator[list[Case]]:
        """What names an instance that does not live."""
        newest = self.clock = max(self._clocks.values(), key=lambda one: one.now,
                                  default=self._clock)
        moves: dict[str, list[Migration]] = collections.defaultdict(list)
        for nova in self.look.cells:
            for one in nova.unended():
                if self.only is None or one.instance in self.only.instances:
                    moves[one.instance].append(one)
        attached, told = set(self.shelf.left()), self.said.instances()
        if self.only is not None:
            attached &= self.only.instances
            told &= {*self.only.instances, ''}
        for some in pages.chunks(sorted(attached | told | set(moves))):
            gone: dict[str, Instance] = {}
            for nova in self.look.cells:
                gone |= nova.deleted(some)
            unknown = [uuid for uuid in some if uuid not in gone]
            purged = self._purged([uuid for uuid in unknown if uuid in attached])
            unknown = [uuid for uuid in unknown if uuid not in purged]
            self.notes.add('unknown-instance', [uuid for uuid in unknown if uuid in attached])
            yield [self._of_nobody(gone[uuid], moves[uuid]) for uuid in some if uuid in gone]
            # NOTE: what has come after the oldest copy of a cell is not in that.
            self.clock = newest if self.look.api else self._clock
            yield [self._of_nobody(_nobody(uuid, Life.PURGED), ()) for uuid in sorted(purged)]
            self.clock = newest
            yield [Case(_nobody(uuid), pieces=self.said.pieces(uuid)) for uuid in unknown
                   if uuid in told]
        yield [self._of_nobody(_nobody(''), (), found) for found in self.said.unused()
               if self.only is None or found[0].volume in self.only.volumes]

    def _purged(self, unknown: list[str]) -> set[str]:
        """Those that Nova has deleted from its databases, too.

        No cell has a mapping of them; or they have a volume on a host of a cell that was read to
        its end, and that has all instances of its hosts.
        """
        if self.look.api is not None:
            return set(unknown) - self.look.api.mapped(unknown)
        hosts = {host for nova, nodes in zip(self._read, self.nodes, strict=True)
                 if nova in self.look.cells for host in nodes.hosts.values()}
        return {uuid for uuid in unknown if uuid not in self._hidden and any(
            one.host in hosts for one in self.shelf.peek(uuid))}

    def _of_nobody(self, instance: Instance, moves: Iterable[Migration],
                   exports: Iterable[Export] = ()) -> Case:
        mine = self.shelf.take(instance.uuid)
        volumes = {one.volume for one in mine} | {one.volume for one in exports}
        case = Case(instance, (), mine, {name: self.shelf.of(name) for name in volumes},
                    tuple(moves), (), self.volumes, self.look.views)
        return self._told_of(case)


def _nobody(uuid: str, life: Life = Life.UNKNOWN) -> Instance:
    """An instance that no database of Nova knows; without a name, none at all."""
    return Instance(0, uuid, life=life)
