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
"""The checks before a device is removed or handed out: its identity, and what uses it.

A disk whose identity is known is asked for it first, so that nobody is told to stop the user of
another volume. Then the cheap question: sysfs alone tells, without root, what device-mapper, md
and partitions stand on it. Who has it open comes last.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from migsafe.brick import errors, refusals
from migsafe.brick.identity import designators, noted
from migsafe.brick.kernel import address, counters, holders
from migsafe.brick.kernel import sysfs as kernel_sysfs
from migsafe.brick.root.interface import Root
from migsafe.text import shell

#: Seconds for which a short opener (udev, blkid, a scan of LVM) gets the benefit of the doubt, and
#: for which the counters of I/O of a device that is used may go on.
PATIENCE = 2.0
PAUSE = 0.1
#: Seconds without I/O after which a device that nobody has open is not used.
QUIET = 0.5
#: Seconds for the disks of a detach to say who they are, and for those of a connect.
ANSWER, FIRST_ANSWER = 1.0, 10.0

CLAIMED = ('something with an exclusive claim that no list shows: a device-mapper table, a file '
           'system or a RAID that is just coming or going, or a driver of the kernel')
MOVING = ('something that no list shows reads or writes it: its counters of I/O do not stand '
          'still (/sys/class/block/*/stat)')


@dataclasses.dataclass(frozen=True)
class Wanted:
    """The volume in question.

    :param volume: its id, or a description where no id is known
    :param identity: what it is known to be; empty if that is not known
    :param whoever: what has just come instead of it is to go again, whichever disks that are
    """

    volume: str
    identity: designators.Identity = frozenset()
    whoever: bool = False


class Guard:
    """Judges the devices of one host.

    :param host: its name, for messages
    :param root: what needs root
    """

    def __init__(self, host: str, root: Root,
                 sysfs: kernel_sysfs.Sysfs | None = None) -> None:
        self.host, self.root = host, root
        self.sysfs = sysfs or kernel_sysfs.Sysfs()
        #: Disks that were handed out: kernel name -> (diskseq, identity).
        self._handed: dict[str, tuple[str, designators.Identity]] = {}

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

        All of it has one patience. Where a table is under something else, that has the claim.
        """
        end = time.monotonic() + PATIENCE
        watched = counters.Watch(self.sysfs, tree if watch else ())
        numbers = [node.number for node in tree.values()]
        busy = {name: self.root.look(name, True) for name in tops}
        while True:
            busy = {name: seen for name, seen in busy.items()
                    if seen['state'] not in ('free', 'dead')}
            users = self._users_of(numbers, wanted)
            if not busy and not users:
                break
            if time.monotonic() > end:
                self._refuse(tree, busy, users, wanted)
            time.sleep(PAUSE)
            busy = {name: self.root.look(name, True) for name in busy}
        while restless := watched.restless(QUIET):
            if time.monotonic() > end:
                raise self._held(wanted, _nodes(restless), MOVING)
            time.sleep(PAUSE)

    def _refuse(self, tree: holders.Tree, busy: Mapping[str, dict[str, Any]],
                users: list[list[str]], wanted: Wanted) -> None:
        for name, seen in busy.items():
            if seen['state'] != 'busy':
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

    def _is(self, paths: list[str], wanted: Wanted, seen: Mapping[str, dict[str, Any]],
            way_out: str) -> designators.Identity:
        """All paths are one disk, and the volume's; a path that is dead has no say."""
        known, first = wanted.identity, ''
        for name in paths:
            identity = frozenset(seen[name]['identity'])
            if identity and known and designators.agree(identity, known) is False:
                expected = designators.words(known) + (f' as {first}' if first else '')
                raise refusals.WrongDisk(
                    volume=wanted.volume, host=self.host, device=f'/dev/{name}',
                    found=designators.words(identity), expected=expected, way_out=way_out)
            if identity and not known:
                known, first = identity, f'/dev/{name}'
        return known

    # -- after a connect ----------------------------------------------------------------------

    def connected(self, name: str | None, path: str, wanted: Wanted, multipath: bool,
                  way_out: str = refusals.GIVEN_BACK, also: Iterable[str] = (),
                  every: bool = False,
                  leads: Collection[address.Lead] = ()) -> designators.Identity:
        """Whether what came back from connect_volume is the volume.

        :param name: kernel name of the disk or the map; None if the path leads to none
        :param path: where os-brick says that it is
        :param multipath: whether a plain path is not good enough
        :param way_out: what to do if it is another one
        :param also: more paths of the volume, which the map has not taken
        :param every: whether each path has to answer, and not only one
        :param leads: what the paths of a map have to lead to; empty for anything
        :returns: its identity
        :raises refusals.Refused: with both identities
        """
        if name is None:
            raise self._unjudged(wanted, ascii(path)[1:-1], 'there is no block device')
        try:
            slaves, uuid = self.sysfs.slaves(name), self.sysfs.attribute(name, 'dm', 'uuid')
        except (kernel_sysfs.Gone, errors.Unsure) as error:
            raise self._unjudged(wanted, f'/dev/{name}', f'it has gone again: {error}') from error
        is_map = uuid.startswith('mpath-')
        if multipath and not is_map and not name.startswith('nvme'):
            raise refusals.NotMultipath(volume=wanted.volume, host=self.host,
                                        device=shell(f'/dev/{name}'))
        paths = list(dict.fromkeys([*(slaves if is_map else [name]), *also]))
        seen = self.root.ask(paths, FIRST_ANSWER)
        if not every:
            self._new(paths, wanted, seen)
        found = self._is(paths, wanted, seen, way_out)
        if is_map and leads:
            self._own(name, slaves, wanted, leads)
        self._proved(name, wanted, seen, every)
        mapped = designators.multipath_wwid(uuid.removeprefix('mpath-')) if is_map else frozenset()
        if mapped and found and designators.agree(mapped, found) is False:
            raise refusals.WrongDisk(
                volume=wanted.volume, host=self.host, device=f'/dev/{name}',
                found=designators.words(mapped), expected=designators.words(found),
                way_out=way_out)
        return found

    def _new(self, paths: list[str], wanted: Wanted, seen: Mapping[str, dict[str, Any]]) -> None:
        """No path is a disk that was here as another one before.

        The array may lead its number to this volume now; who has the old one open has this one.
        The kernel's note may have been made anew by a rescan, the guard's own has not.
        """
        for name in paths:
            now = frozenset(seen[name]['identity'])
            for before in (noted.noted(self.sysfs, name), self._handed_out(name)):
                if now and designators.agree(before, now) is False:
                    raise refusals.WrongDisk(
                        volume=wanted.volume, host=self.host, device=f'/dev/{name}',
                        found=f'{designators.words(before)} of before',
                        expected=designators.words(now), way_out=refusals.OLD_DISK)
        for name in paths:
            number, identity = self._instance(name), frozenset(seen[name]['identity'])
            if number and identity:
                self._handed[name] = (number, identity)

    def _handed_out(self, name: str) -> designators.Identity:
        """What a disk was when it was handed out, if it has not gone since."""
        number, identity = self._handed.get(name, ('', frozenset()))
        return identity if number and number == self._instance(name) else frozenset()

    def _instance(self, name: str) -> str:
        """What no two disks have as long as the kernel runs; '' before Linux 5.15."""
        try:
            return self.sysfs.attribute(name, 'diskseq')
        except (kernel_sysfs.Gone, errors.Unsure):
            return ''

    def _own(self, name: str, slaves: list[str], wanted: Wanted,
             leads: Collection[address.Lead]) -> None:
        """Each path of a map leads to what the connection of the volume does."""
        found = address.strangers(self.sysfs, slaves, leads)
        if found:
            raise refusals.MixedMap(
                volume=wanted.volume, host=self.host, device=f'/dev/{name}', paths=', '.join(
                    f'{path} ({where})' for path, where in sorted(found.items())))

    def _proved(self, name: str, wanted: Wanted, seen: Mapping[str, dict[str, Any]],
                every: bool) -> None:
        """Of a volume that is known, at least one path says so, and none anything else."""
        known = wanted.identity
        said = {path: frozenset(answer['identity']) for path, answer in seen.items()}
        heard = {path: identity for path, identity in said.items() if identity}
        answers = said if every else heard or said
        silent = [path for path, identity in answers.items()
                  if not (designators.agree(identity, known) if known else identity)]
        if (known or every) and (silent or not seen):
            raise refusals.Unproven(
                volume=wanted.volume, host=self.host, device=f'/dev/{name}',
                expected=designators.words(known), reason='; '.join(
                    f'{path} is {designators.words(said[path])} '
                    f'({seen[path]["reason"] or seen[path]["state"]})' for path in silent)
                or 'it has no path')

    def refusal(self, wanted: Wanted, name: str, done: Mapping[str, Any],
                gone: Iterable[str] = ()) -> refusals.Refused:
        """Why a removal by privileged.remove_scsi was refused, as an error.

        :param gone: what the detach has removed before
        """
        left = refusals.HALFWAY % ', '.join(gone) if gone else refusals.LEFT
        if 'identity' in done:
            return refusals.WrongDisk(
                volume=wanted.volume, host=self.host, device=f'/dev/{name}',
                found=designators.words(frozenset(done['identity'])),
                expected=designators.words(wanted.identity),
                way_out=f'{left}.' if gone else refusals.STALE)
        try:
            users = self.root.opened_by([self.sysfs.number(name)])
        except (kernel_sysfs.Gone, OSError):
            # it is refused anyway, and for another reason
            users = []
        return self._held(wanted, f'/dev/{name}', (
            f'something that came up meanwhile ({done["reason"]}): '
            f'{"; ".join(what for _, what in users) or "see lsblk"}'), left)

    # -- messages -----------------------------------------------------------------------------

    def _held(self, wanted: Wanted, device: str, holder: str,
              left: str = refusals.LEFT) -> refusals.VolumeHeld:
        return refusals.VolumeHeld(
            volume=wanted.volume, host=self.host, device=device, holder=holder, left=left,
            way_out=refusals.WAYS_OUT % {'device': shell(device.split(',')[0])})

    def _unjudged(self, wanted: Wanted, device: str, reason: str) -> refusals.Unjudged:
        return refusals.Unjudged(volume=wanted.volume, host=self.host, device=device,
                                 reason=reason)


def _devices(tree: holders.Tree, names: list[str]) -> str:
    """What to call the disks in a message: the map, if there is one."""
    return ', '.join(f'/dev/{name}' for name in (
        [node.name for node in holders.maps(tree)] or names))


def _nodes(names: Iterable[str]) -> str:
    return ', '.join(f'/dev/{name}' for name in names)
