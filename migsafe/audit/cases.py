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
from collections.abc import Iterable, Iterator, Mapping

from migsafe.audit.activity import Clock
from migsafe.audit.address import Compact
from migsafe.audit.facts import Attachment, Case, Instance, Migration, Views, Volume
from migsafe.audit.notes import Notes
from migsafe.audit.readers import pages
from migsafe.audit.readers.cinder import Cinder
from migsafe.audit.readers.nova import Nova
from migsafe.audit.readers.placement import Placement
from migsafe.audit.whereabouts import disputed


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
    cinder: Cinder | None
    placement: Placement | None
    compact: Compact | None = None

    @property
    def views(self) -> Views:
        """What can be seen."""
        return Views(self.cinder is not None,
                     self.cinder is not None and self.cinder.records_hosts,
                     self.placement is not None)

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


#: One attachment, as most volumes have, or several.
Held = Attachment | tuple[Attachment, ...]


def _held(before: tuple[Attachment, ...], one: Attachment) -> Held:
    return (*before, one) if before else one


def _all(held: Held | None) -> tuple[Attachment, ...]:
    # NOTE: an attachment is a tuple as well.
    return () if held is None else (held,) if isinstance(held, Attachment) else held


class Shelf:
    """The attachments of Cinder, until an instance asks for them."""

    def __init__(self, found: Iterable[Attachment]) -> None:
        self._by_instance: dict[str, Held] = {}
        self._by_volume: dict[str, Held] = {}
        for one in found:
            if one.instance:
                mine = self.take(one.instance)
                # NOTE: a text that many rows have is kept once; there are a quarter million.
                one = one._replace(instance=mine[0].instance) if mine else one
                self._by_instance[str(one.instance)] = _held(mine, one)
            self._by_volume[one.volume] = _held(self.of(one.volume), one)

    def take(self, instance: str) -> tuple[Attachment, ...]:
        """Those of an instance, which are then not left."""
        return _all(self._by_instance.pop(instance, None))

    def of(self, volume: str) -> tuple[Attachment, ...]:
        """All of a volume."""
        return _all(self._by_volume.get(volume))

    def left(self) -> list[str]:
        """Instances that nobody has asked for."""
        return list(self._by_instance)


class Cases:
    """All cases of a look.

    :param notes: gets what cannot be judged
    :param clock: to find records from the future
    """

    def __init__(self, look: Look, notes: Notes, clock: Clock, only: Only | None = None) -> None:
        self.look, self.notes, self.clock, self.only = look, notes, clock, only
        self.nodes = [nova.nodes() for nova in look.cells]
        self.hosts = {name: host for nodes in self.nodes for name, host in nodes.hosts.items()}
        self.shelf = Shelf(self._attachments())
        self.volumes: Mapping[str, Volume] = look.cinder.unusual() if look.cinder else {}

    def _attachments(self) -> Iterable[Attachment]:
        cinder = self.look.cinder
        if cinder is None:
            return ()
        if self.only is not None:
            return cinder.of(self.only.instances, self.only.volumes)
        return cinder.attachments(self.look.compact, self.clock.recent)

    def pages(self) -> Iterator[list[Case]]:
        """Cases of instances that live, in pages, and then of those that do not."""
        wanted = None if self.only is None else sorted(self.only.instances)
        for nova, nodes in zip(self.look.cells, self.nodes, strict=True):
            for page in nova.instances(wanted):
                yield self._page(nova, nodes.others, page)
        yield from self._left()

    def _page(self, nova: Nova, others: frozenset[str], page: list[Instance]) -> list[Case]:
        page = [one for one in page if not one.hidden]
        uuids = [one.uuid for one in page]
        rows, migrations = nova.rows(uuids, self.look.compact), nova.migrations(uuids)
        consumers = [*uuids, *(one.uuid for found in migrations.values() for one in found
                               if one.uuid)]
        allocations = (self.look.placement.allocations(consumers, self.hosts)
                       if self.look.placement else {})
        made = []
        for one in page:
            mine, moves = rows.get(one.uuid, []), migrations.get(one.uuid, [])
            consumers = [one.uuid, *(move.uuid for move in moves if move.uuid)]
            made.append(Case(
                one, tuple(mine), self.shelf.take(one.uuid),
                {row.volume: self.shelf.of(row.volume) for row in mine}, tuple(moves),
                tuple(held for name in consumers for held in allocations.get(name, ())),
                self.volumes, self.look.views, comparable=one.host not in others))
        self._ask_for_unshelves(nova, made)
        for case in made:
            self.notes.look_at(case, self.clock)
        return made

    @staticmethod
    def _ask_for_unshelves(nova: Nova, cases: list[Case]) -> None:
        """Find out which of the disputed instances were unshelved since."""
        questioned = {case.instance.uuid: (case, newest) for case in cases
                      if (newest := disputed(case))}
        if not questioned:
            return
        times = nova.unshelved(sorted(questioned))
        for uuid, (case, newest) in questioned.items():
            began = times.get(uuid)
            case.brought = bool(began and newest.updated and began > newest.updated)

    def _left(self) -> Iterator[list[Case]]:
        """What names an instance that does not live."""
        moves: dict[str, list[Migration]] = collections.defaultdict(list)
        for nova in self.look.cells:
            for one in nova.unended():
                if self.only is None or one.instance in self.only.instances:
                    moves[one.instance].append(one)
        attached = set(self.shelf.left())
        for some in pages.chunks(sorted(attached | set(moves))):
            gone: dict[str, Instance] = {}
            for nova in self.look.cells:
                gone |= nova.deleted(some)
            unknown = [uuid for uuid in some if uuid not in gone and uuid in attached]
            self.notes.add('unknown-instance', unknown)
            yield [self._of_nobody(gone[uuid], moves[uuid]) for uuid in some if uuid in gone]

    def _of_nobody(self, instance: Instance, moves: list[Migration]) -> Case:
        mine = self.shelf.take(instance.uuid)
        return Case(instance, (), mine, {one.volume: self.shelf.of(one.volume) for one in mine},
                    tuple(moves), (), self.volumes, self.look.views)
