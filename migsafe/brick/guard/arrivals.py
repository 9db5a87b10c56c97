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
"""The questions after a connect: whether what has come is the volume, and has come just now."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from migsafe.brick import errors, refusals
from migsafe.brick.guard.judge import Judge, Wanted
from migsafe.brick.identity import designators, noted
from migsafe.brick.kernel import address
from migsafe.brick.kernel import sysfs as kernel_sysfs
from migsafe.brick.root.interface import Root
from migsafe.text import shell

#: Seconds for the disks of a connect to say who they are.
FIRST_ANSWER = 10.0


class Arrivals(Judge):
    """Judges what os-brick has connected."""

    def __init__(self, host: str, root: Root,
                 sysfs: kernel_sysfs.Sysfs | None = None) -> None:
        super().__init__(host, root, sysfs)
        #: Disks that were handed out: kernel name -> (diskseq, identity).
        self._handed: dict[str, tuple[str, designators.Identity]] = {}

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
            number, identity = self.instance(name), frozenset(seen[name]['identity'])
            if number and identity:
                self._handed[name] = (number, identity)

    def _handed_out(self, name: str) -> designators.Identity:
        """What a disk was when it was handed out, if it has not gone since."""
        number, identity = self._handed.get(name, ('', frozenset()))
        return identity if number and number == self.instance(name) else frozenset()

    def instance(self, name: str) -> str:
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
