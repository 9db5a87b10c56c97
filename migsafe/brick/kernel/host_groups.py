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
"""Whether a volume group belongs to this host or to a guest.

A guest writes the name and the uuid of its volume groups, and may choose those of the host's. What
could be the host's own is never released: where a name says so, and where a disk does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from migsafe.brick.kernel import holders, kinds, place
from migsafe.brick.kernel import sysfs as kernel_sysfs

#: name of a volume group -> whose configuration means it
Named = Mapping[str, str]


def reason(sysfs: kernel_sysfs.Sysfs, nodes: Iterable[holders.Node], named: Named) -> str | None:
    """Why some logical volumes must be left alone; None if they need not.

    :param nodes: what is to be released
    :param named: volume groups that services of this host are configured to use
    :raises errors.Unsure: if sysfs does not say
    """
    nodes = list(nodes)
    wanted = {node.name for node in nodes}
    taken = {name: f'{who} uses a volume group of that name' for name, who in named.items()}
    for other, where in _others(sysfs, wanted):
        for mark in _marks(other):
            taken.setdefault(mark, f'{other}, on {where}, is of this host itself and has the same')
    for node in nodes:
        for mark in _marks(node):
            if mark in taken:
                return f'{node} is of volume group {ascii(mark)[1:-1]}, and {taken[mark]}'
    return None


def not_a_volume(sysfs: kernel_sysfs.Sysfs, name: str) -> str | None:
    """Why a disk cannot be a volume that Nova or Cinder has attached; None if it can.

    :param name: kernel name of a disk or a path
    :raises sysfs.Gone, errors.Unsure: see Sysfs
    """
    where = place.disk(sysfs, name)
    return None if where is place.Place.NETWORK else f'{name} is {where.value}'


def _others(sysfs: kernel_sysfs.Sysfs,
            wanted: set[str]) -> Iterator[tuple[holders.Node, str]]:
    """Active logical volumes that stand on anything but disks from the network, and on what."""
    for name in sorted(sysfs.names() - wanted):
        try:
            node = holders.node(sysfs, name)
            if node.kind is not kinds.Kind.LV:
                continue
            below = _disks(sysfs, name)
            where = place.together(place.disk(sysfs, disk) for disk in below)
        except kernel_sysfs.Gone:
            continue
        if below and where is not place.Place.NETWORK:
            yield node, ', '.join(sorted(below))


def _disks(sysfs: kernel_sysfs.Sysfs, name: str) -> set[str]:
    """What a logical volume stands on in the end; nothing for a ghost."""
    stack = place.stack(sysfs, name) - {name}
    return {here for here in stack if not sysfs.disk(here) and not sysfs.slaves(here)}


def _marks(node: holders.Node) -> tuple[str, ...]:
    """The uuid of a logical volume's group, and the name that it goes by here."""
    uuids, names = kinds.lv_uuids(node.dm_uuid), kinds.lv_names(node.dm_name)
    return tuple(found[0] for found in (uuids, names) if found)
