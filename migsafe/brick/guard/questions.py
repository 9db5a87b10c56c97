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
"""The checks before a device is removed: its identity, and what uses it.

A disk whose identity is known is asked for it first, so that nobody is told to stop the user of
another volume. Then the cheap question: sysfs alone tells, without root, what device-mapper, md
and partitions stand on it. Who has it open comes last.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Mapping
from typing import Any

from migsafe.brick import errors, refusals
from migsafe.brick.guard.arrivals import Arrivals
from migsafe.brick.guard.judge import Wanted
from migsafe.brick.identity import noted
from migsafe.brick.kernel import counters, holders
from migsafe.brick.kernel import sysfs as kernel_sysfs

#: Seconds for which a short opener (udev, blkid, a scan of LVM) gets the benefit of the doubt.
PATIENCE = 2.0
PAUSE = 0.1
#: Seconds for which the counters of I/O may move where nobody is on any list. It is longer, since
#: those openers read a disk one after the other, each gone before it could be named.
SCANS = 6.0
#: Seconds without I/O after which a device that nobody has open is not used.
QUIET = 0.5
#: Seconds for the disks of a detach to say who they are.
ANSWER = 1.0

CLAIMED = ('something with an exclusive claim that no list shows: a device-mapper table, a file '
           'system or a RAID that is just coming or going, or a driver of the kernel')
MOVING = ('something that no list shows reads or writes it: its counters of I/O do not stand '
          'still (/sys/class/block/*/stat)')


class Guard(Arrivals):
    """Judges the devices of one host, before a removal and after a connect."""

    # -- before a removal ---------------------------------------------------------------------

    def may_remove(self, names: Iterable[str], wanted: Wanted, also: Iterable[str] = (),
                   watch: bool = True) -> None:
        """Refuse if a removal of these disks would tear something away.

        :param names: the paths of one volume, by their kernel names
        :param also: what the caller takes down itself before (a RAID of os-brick's)
        :param watch: whether to look at the counters of I/O too, which takes QUIET seconds
        :raises refusals.Refused: naming what is in the way
        """
        names, also = list(names), list(also)
        if wanted.identity:
            # first of all: to whoever asks for another's disk, its holder is no business of his
            self._are(names, wanted)
        tree = self.unheld(names, wanted, also)
        paths = [name for name in names if name in tree]
        tops = holders.claimable(tree) or [name for name in also if name in tree] or paths
        self._unused(tree, tops, wanted, watch)
        self._are(paths, wanted)

    def unheld(self, names: list[str], wanted: Wanted,
               also: Iterable[str] = ()) -> holders.Tree:
        """The part of may_remove() that sysfs answers alone.

        :returns: everything above the disks
        """
        try:
            tree = holders.climb(self.sysfs, names)
        except errors.Unsure as unsure:
            raise self._unjudged(wanted, ', '.join(names), unsure.kwargs['reason']) from unsure
        found = holders.blocking(tree, names, also)
        if found:
            words = [holders.chain(tree, node) for node in found]
            words += [f'{ghost}, which is a ghost: its disk was torn away before'
                      for ghost in holders.ghosts(self.sysfs, tree)]
            raise self._held(wanted, _devices(tree, names), '; '.join(words))
        maps = holders.maps(tree)
        if len(maps) > 1 and not wanted.whoever:
            raise self._unjudged(wanted, ', '.join(names), 'its paths belong to several '
                                 f'multipath maps: {", ".join(map(str, maps))}')
        return tree

    def _unused(self, tree: holders.Tree, tops: list[str], wanted: Wanted, watch: bool) -> None:
        """Nobody has the exclusive claim, nobody has it open, and nothing moves.

        Where a table is under something else, that has the claim. While it is waited for the
        counters somebody may come: after a while all of it is asked anew.
        """
        begin, watched = time.monotonic(), counters.Watch(self.sysfs, tree if watch else ())
        while True:
            self._unclaimed(tree, tops, wanted)
            looked = time.monotonic()
            while restless := watched.restless(QUIET):
                if time.monotonic() > begin + SCANS:
                    raise self._held(wanted, _nodes(restless), MOVING)
                time.sleep(PAUSE)
            if time.monotonic() < looked + PATIENCE:
                return

    def _unclaimed(self, tree: holders.Tree, tops: list[str], wanted: Wanted) -> None:
        """Nobody has the exclusive claim, and nobody has it open."""
        end = time.monotonic() + PATIENCE
        numbers = [node.number for node in tree.values()]
        busy = {name: self.root.look(name, True) for name in tops}
        while True:
            busy = {name: seen for name, seen in busy.items()
                    if seen['state'] not in ('free', 'dead')}
            users = self._users_of(numbers, wanted)
            if not busy and not users:
                return
            if time.monotonic() > end:
                self._refuse(tree, busy, users, wanted)
            time.sleep(PAUSE)
            busy = {name: self.root.look(name, True) for name in busy}

    def _refuse(self, tree: holders.Tree, busy: Mapping[str, dict[str, Any]],
                users: list[list[str]], wanted: Wanted) -> None:
        for name, seen in busy.items():
            # whoever has it open is to be named, by whatever node he does
            if seen['state'] != 'busy' and not users:
                raise self._unjudged(wanted, f'/dev/{name}', seen['reason'])
        devices = {node.number: node.name for node in tree.values()}
        raise self._held(
            wanted, _nodes(busy or sorted({devices[number] for number, _ in users})),
            '; '.join(what for _, what in users) or CLAIMED)

    def unopened(self, names: Iterable[str], wanted: Wanted) -> None:
        """The last look, while the caller has the claim on these disks.

        :raises refusals.Refused: naming who has opened one since, and what has gone before
        """
        end = time.monotonic() + PATIENCE
        numbers: dict[str, str] = {}
        for name in names:
            with contextlib.suppress(kernel_sysfs.Gone):
                numbers[self.sysfs.number(name)] = name
        while users := self._users_of(list(numbers), wanted):
            if time.monotonic() > end:
                raise self._held(
                    wanted, _nodes(sorted({numbers[number] for number, _ in users})),
                    '; '.join(f'{what}, which came up meanwhile' for _, what in users))
            time.sleep(PAUSE)

    def _users_of(self, numbers: list[str], wanted: Wanted) -> list[list[str]]:
        try:
            return self.root.opened_by(numbers)
        except OSError as error:
            raise self._unjudged(wanted, 'its devices', 'who has them open cannot be found out: '
                                 f'{error.strerror or error}') from error

    # -- who a disk is ------------------------------------------------------------------------

    def _are(self, names: list[str], wanted: Wanted) -> None:
        if wanted.whoever:
            return
        paths = [name for name in names if self.sysfs.exists(name)]
        seen = self.root.ask(paths, ANSWER)
        for name, answer in seen.items():
            if not answer['identity']:
                # nobody to ask: what the kernel knows is what there is
                answer['identity'] = sorted(noted.noted(self.sysfs, name))
        self._is(paths, wanted, seen, refusals.STALE)


def _devices(tree: holders.Tree, names: list[str]) -> str:
    """What to call the disks in a message: the map, if there is one."""
    return ', '.join(f'/dev/{name}' for name in (
        [node.name for node in holders.maps(tree)] or names))


def _nodes(names: Iterable[str]) -> str:
    return ', '.join(f'/dev/{name}' for name in names)
