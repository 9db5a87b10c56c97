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
"""Is there I/O on a device that nobody seems to have open?

A list of the ways to use a device is never complete: a descriptor on its way through a socket, a
ring of io_uring without one, a user in the kernel. What is used moves the counters of I/O, and
what is not used stays quiet. See Documentation/block/stat.rst of the kernel for the fields;
``iorequest_cnt`` of SCSI counts commands as well that go past the block layer.
"""

from __future__ import annotations

import glob
import os
import re
import time
from collections.abc import Iterable, Mapping

from migsafe.brick import errors
from migsafe.brick.kernel import sysfs as kernel_sysfs

#: Completed reads, writes, discards and flushes; and those that are under way.
_COMPLETED, _UNDER_WAY = (0, 4, 11, 15), 8
_NAMESPACE = re.compile(r'nvme(\d+)n(\d+)\Z')
Counts = tuple[str, ...]


def counts(sysfs: kernel_sysfs.Sysfs, names: Iterable[str]) -> Mapping[str, tuple[Counts, bool]]:
    """name -> (what was done so far, whether something is under way); what is gone is left out."""
    found = {}
    for name in names:
        try:
            fields = sysfs.attribute(name, 'stat').split()
            if not fields:
                continue
            done = [fields[place] for place in _COMPLETED if place < len(fields)]
            found[name] = ((*done, sysfs.attribute(name, 'device', 'iorequest_cnt')),
                           fields[_UNDER_WAY] != '0')
        except (kernel_sysfs.Gone, errors.Unsure):
            continue
    return found


def with_hidden(sysfs: kernel_sysfs.Sysfs, names: Iterable[str]) -> list[str]:
    """Some devices and, of the kernel's own multipath for NVMe, what counts the I/O for them."""
    found = list(names)
    for match in filter(None, map(_NAMESPACE.match, list(found))):
        found += map(os.path.basename, glob.glob(
            f'{sysfs.root}/class/block/nvme{match[1]}c*n{match[2]}'))
    return found


class Watch:
    """When each of some devices was last seen to do something.

    :param names: kernel names
    """

    def __init__(self, sysfs: kernel_sysfs.Sysfs, names: Iterable[str]) -> None:
        self._sysfs, self._names = sysfs, with_hidden(sysfs, names)
        self._last = counts(sysfs, self._names)
        self._since = dict.fromkeys(self._last, time.monotonic())

    def restless(self, seconds: float) -> list[str]:
        """Look again: the devices that have not been quiet for that long."""
        now, seen = time.monotonic(), counts(self._sysfs, self._names)
        for name, (done, under_way) in seen.items():
            if under_way or done != self._last.get(name, ((), False))[0]:
                self._since[name] = now
        self._last = seen
        return sorted(name for name in seen if now - self._since.get(name, now) < seconds)
