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
"""The disks that a block device stands on in the end."""

from __future__ import annotations

from collections.abc import Container

from migsafe.brick import errors
from migsafe.brick.kernel import sysfs as kernel_sysfs


def bottom(sysfs: kernel_sysfs.Sysfs, name: str, own: Container[str] = ()) -> set[str]:
    """What a node stands on in the end; a ghost stands on nothing, and is no one's.

    :param own: nodes that count as disks, whatever is below them
    """
    seen: set[str] = set()
    todo, found = [name], set()
    while todo:
        here = todo.pop()
        if here in seen:
            continue
        seen.add(here)
        below = [] if here in own else sysfs.slaves(here)
        todo += below
        if not below:
            found.add(here)
    return found


def of_path(path: str) -> frozenset[str]:
    """The kernel's names of the disks that a block device stands on; none if that is not known.

    A multipath map that has lost all its paths stands on none.
    """
    try:
        name = kernel_sysfs.kernel_name(path)
        found = bottom(kernel_sysfs.Sysfs(), name) if name else ()
    except (kernel_sysfs.Gone, errors.Unsure):
        return frozenset()
    return frozenset(one for one in found if not one.startswith('dm-'))
