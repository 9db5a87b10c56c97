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
"""May these devices be removed; is this device the volume's: the questions before every step.

A disk whose identity is known is asked for it first, so that nobody is told to stop the user of
another volume. Then the cheap question: sysfs alone tells, without root, what device-mapper, md
and partitions stand on it. Who has it open comes last.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Mapping
from typing import Any

from migsafe.brick import errors, refusals
from migsafe.brick.identity import designators
from migsafe.brick.kernel import holders
from migsafe.brick.kernel import sysfs as kernel_sysfs
from migsafe.brick.root.interface import Root

#: Seconds for which a short opener (udev, blkid, a scan of LVM) gets the benefit of the doubt.
PATIENCE = 2.0
PAUSE = 0.1


@dataclasses.dataclass(frozen=True)
class Wanted:
    """The volume in question.

    :param volume: its id, or a word that stands for it
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

    # -- before a removal ---------------------------------------------------------------------

    def may_remove(self, names: Iterable[str], wanted: Wanted, also: Iterable[str] = ()) -> None:
        """Refuse if a removal of these disks would tear something away.

        :param names: the paths of one volume, by their kernel names
        :param also: what the caller takes down itself before (a RAID of os-brick's)
        :raises refusals.Refused: naming what is in the way
        """
        names, also = list(names), list(also)
        if wanted.identity:
            # first of all: to whoever asks for another's disk, its holder is no business of his
            self._are(names, wanted)
        tree = self.unheld(names, wanted, also)
        paths = [name for name in names if name in tree]
        tops = holders.claimable(tree) or [name for name in also if name in tree] or paths
        self._unclaimed(tree, tops, wanted)
        self._unopened(tree, wanted)
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

    def _unclaimed(self, tree: holders.Tree, tops: list[str], wanted: Wanted) -> None:
        """Nobody has the exclusive claim: no mount, no swap, no map that has just been made."""
        end = time.monotonic() + PATIENCE
        for name in tops:
            while True:
                seen = self.root.look(name, True)
                if seen['state'] in ('free', 'dead'):
                    break
                if time.monotonic() > end:
                    if seen['state'] != 'busy':
                        raise self._unjudged(wanted, f'/dev/{name}', seen['reason'])
                    raise self._held(wanted, f'/dev/{name}', self._users(tree, wanted))
                time.sleep(PAUSE)

    def _unopened(self, tree: holders.Tree, wanted: Wanted) -> None:
        end = time.monotonic() + PATIENCE
        numbers = [node.number for node in tree.values()]
        while found := self._users_of(numbers, wanted):
            if time.monotonic() > end:
                devices = {node.number: node.name for node in tree.values()}
                raise self._held(wanted, ', '.join(
                    f'/dev/{devices[number]}' for number in sorted({n for n, _ in found})),
                    '; '.join(what for _, what in found))
            time.sleep(PAUSE)

    def _users_of(self, numbers: list[str], wanted: Wanted) -> list[list[str]]:
        try:
            return self.root.opened_by(numbers)
        except OSError as error:
            raise self._unjudged(wanted, 'its devices', 'who has them open cannot be found out: '
                                 f'{error.strerror or error}') from error

    def _users(self, tree: holders.Tree, wanted: Wanted) -> str:
        found = self._users_of([node.number for node in tree.values()], wanted)
        return '; '.join(what for _, what in found) or (
            'something with an exclusive claim that is gone, or in another mount namespace')

    # -- who a disk is ------------------------------------------------------------------------

    def _are(self, names: list[str], wanted: Wanted) -> None:
        if wanted.whoever:
            return
        paths = [name for name in names if self.sysfs.exists(name)]
        seen = {name: self.root.look(name, False) for name in paths}
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
                  every: bool = False) -> designators.Identity:
        """Whether what came back from connect_volume is the volume.

        :param name: kernel name of the disk or the map; None if the path leads to none
        :param path: where os-brick says that it is
        :param multipath: whether a plain path is not good enough
        :param way_out: what to do if it is another one
        :param also: more paths of the volume, which the map has not taken
        :param every: whether each path has to answer, and not only one
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
                                        device=f'/dev/{name}')
        paths = list(dict.fromkeys([*(slaves if is_map else [name]), *also]))
        seen = {path: self.root.look(path, False) for path in paths}
        found = self._is(paths, wanted, seen, way_out)
        self._proved(name, wanted, seen, every)
        mapped = designators.multipath_wwid(uuid.removeprefix('mpath-')) if is_map else frozenset()
        if mapped and found and designators.agree(mapped, found) is False:
            raise refusals.WrongDisk(
                volume=wanted.volume, host=self.host, device=f'/dev/{name}',
                found=designators.words(mapped), expected=designators.words(found),
                way_out=way_out)
        return found

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
            way_out=refusals.WAYS_OUT % {'device': device.split(',')[0]})

    def _unjudged(self, wanted: Wanted, device: str, reason: str) -> refusals.Unjudged:
        return refusals.Unjudged(volume=wanted.volume, host=self.host, device=device,
                                 reason=reason)


def _devices(tree: holders.Tree, names: list[str]) -> str:
    """What to call the disks in a message: the map, if there is one."""
    return ', '.join(f'/dev/{name}' for name in (
        [node.name for node in holders.maps(tree)] or names))
