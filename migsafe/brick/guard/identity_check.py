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
"""Checks that the disk that a guest uses still is its volume (R9).

When an array maps another volume to a LUN number that is in use, the guest reads and writes the
other one from that moment on. The kernel, udev and multipathd go on naming the old one: only the
disk itself tells.
"""

from __future__ import annotations

from collections.abc import Callable

from migsafe.brick import errors, refusals
from migsafe.brick.guard.judge import Wanted
from migsafe.brick.guard.questions import Guard
from migsafe.brick.identity import designators, noted
from migsafe.brick.kernel import sysfs as kernel_sysfs

KIND = 'R9'

REMAPPED = ('What uses it reads and writes another volume now. Stop that first ("openstack server '
            'pause"); then compare what the array maps to this host for both volumes, have it '
            'map the right one, and attach again or reboot the server with --hard. Nothing was '
            'changed here, and a detach is refused as long as it would remove the wrong disk.')

#: dm-crypt, and whatever else Nova may put between a disk and its guest, is not this deep.
DEPTH = 8


class Patrol:
    """Looks at disks in use, and touches nothing.

    :param guard: the guard of this host
    :param kernel_name: path -> kernel name of a block device, None if there is none
    """

    def __init__(self, guard: Guard,
                 kernel_name: Callable[[str], str | None] = kernel_sysfs.kernel_name) -> None:
        self._guard, self._kernel_name = guard, kernel_name

    def look(self, path: str, wanted: Wanted) -> str | None:
        """What is wrong with the disk of a volume that is in use.

        :param path: the device that the guest was given
        :param wanted: the volume; where its identity is not known, what the kernel has noted
            when it found the disk stands for it
        :returns: a sentence for an operator; '' if every path says that it is the volume; None
            if that cannot be told now
        """
        try:
            name = self._disk(self._kernel_name(path))
            if name is None:
                return None
            known = wanted.identity or self._noted(name)
            self._guard.connected(name, path, Wanted(wanted.volume, known),
                                  multipath=False, way_out=REMAPPED, every=True)
        except refusals.WrongDisk as wrong:
            return str(wrong)
        except (refusals.Unjudged, kernel_sysfs.Gone, errors.Unsure):
            # it is being detached, or does not answer: that is no other disk
            return None
        return ''

    def _disk(self, name: str | None) -> str | None:
        """The disk or multipath map at the bottom of what the guest was given."""
        sysfs = self._guard.sysfs
        for _ in range(DEPTH):
            if name is None or sysfs.attribute(name, 'dm', 'uuid').startswith('mpath-'):
                return name
            below = sysfs.slaves(name)
            if not below:
                return name
            # of what stands on several disks, none is the volume
            name = below[0] if len(below) == 1 else None
        return None

    def _noted(self, name: str) -> designators.Identity:
        """What the kernel has noted of a disk, or of the first path of a map that has one."""
        sysfs = self._guard.sysfs
        for path in sysfs.slaves(name) or [name]:
            if found := noted.noted(sysfs, path):
                return found
        return frozenset()
