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
"""What is asked for, who judges it, and how a refusal is put."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from migsafe.brick import refusals
from migsafe.brick.identity import designators
from migsafe.brick.kernel import sysfs as kernel_sysfs
from migsafe.brick.root.interface import Root
from migsafe.text import shell


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


class Judge:
    """Compares the disks of one host with the volumes that they should be.

    :param host: its name, for messages
    :param root: what needs root
    """

    def __init__(self, host: str, root: Root,
                 sysfs: kernel_sysfs.Sysfs | None = None) -> None:
        self.host, self.root = host, root
        self.sysfs = sysfs or kernel_sysfs.Sysfs()

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
        if 'users' in done:
            return self._held(
                wanted, ', '.join(f'/dev/{used}' for used in sorted({
                    used for used, _ in done['users']})),
                '; '.join(f'{what}, which came up meanwhile' for _, what in done['users']), left)
        try:
            users = self.root.opened_by([self.sysfs.number(name)])
        except (kernel_sysfs.Gone, OSError):
            # it is refused anyway, and for another reason
            users = []
        return self._held(wanted, f'/dev/{name}', (
            f'something that came up meanwhile ({done["reason"]}): '
            f'{"; ".join(what for _, what in users) or "see lsblk"}'), left)

    def _held(self, wanted: Wanted, device: str, holder: str,
              left: str = refusals.LEFT) -> refusals.VolumeHeld:
        return refusals.VolumeHeld(
            volume=wanted.volume, host=self.host, device=device, holder=holder, left=left,
            way_out=refusals.WAYS_OUT % {'device': shell(device.split(',')[0])})

    def _unjudged(self, wanted: Wanted, device: str, reason: str) -> refusals.Unjudged:
        return refusals.Unjudged(volume=wanted.volume, host=self.host, device=device,
                                 reason=reason)
