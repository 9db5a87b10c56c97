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
"""What holds a set of block devices, from sysfs alone: no fork, no open, no root.

It answers with everything or not at all: what vanishes in the middle of a walk makes it begin
again, and what cannot be read is an error, never "nothing there".
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

from migsafe.brick import errors
from migsafe.brick.kernel import kinds
from migsafe.brick.kernel import sysfs as kernel_sysfs

#: A walk that meets a vanishing device begins again this often.
TRIES = 5
#: More than any host has above one volume: a walk ends, whatever sysfs says.
MOST = 20_000

K = kinds.Kind
#: What os-brick itself takes away with the paths, if nothing is above it: ``multipath -f``
#: removes the map and its partition maps, and a disk takes its partitions along.
_TAKEN_ALONG = frozenset((K.MULTIPATH, K.PARTITION_MAP, K.PARTITION))


@dataclasses.dataclass(frozen=True)
class Node:
    """One block device.

    :param name: kernel name
    :param number: major:minor
    :param dm_name: name of a device-mapper table, else ''. Who writes to the disk may choose it
    :param dm_uuid: uuid of a device-mapper table, else ''
    :param below: names of the nodes it was reached from
    """

    name: str
    kind: kinds.Kind
    number: str = ''
    dm_name: str = ''
    dm_uuid: str = ''
    below: tuple[str, ...] = ()

    def __str__(self) -> str:
        """For a message: what it is, and what an operator's tools call it."""
        words = f'{self.kind.value} {self.name}'
        names = kinds.lv_names(self.dm_name) if self.kind is K.LV else None
        if names:
            # a guest names its own volume groups: nothing of that goes into a log as it is
            words = f'{self.kind.value} {ascii("/".join(names))[1:-1]} ({self.name})'
        elif self.dm_name:
            words = f'{self.kind.value} {ascii(self.dm_name)[1:-1]} ({self.name})'
        uuids = kinds.lv_uuids(self.dm_uuid)
        return f'{words} of VG uuid {uuids[0]}' if uuids else words


Tree = Mapping[str, Node]


def climb(sysfs: kernel_sysfs.Sysfs, names: Iterable[str]) -> Tree:
    """Everything that stands on some devices, and the devices themselves.

    :param names: kernel names; one that is not there is left out
    :returns: name -> node
    :raises errors.Unsure: if sysfs does not hold still, or does not answer
    """
    wanted = list(dict.fromkeys(names))
    for _ in range(TRIES):
        try:
            return _climb(sysfs, wanted)
        except kernel_sysfs.Gone as gone:
            wanted = [name for name in wanted if sysfs.exists(name)]
            last = str(gone)
    raise errors.Unsure(device=', '.join(wanted), host='this host',
                        reason=f'devices above it come and go ({last} was the last); try again')


def _climb(sysfs: kernel_sysfs.Sysfs, names: list[str]) -> Tree:
    below: dict[str, set[str]] = {name: set() for name in names if sysfs.exists(name)}
    todo, found = list(below), {}
    while todo:
        name = todo.pop()
        if name in found:
            continue
        found[name] = node(sysfs, name)
        if len(found) > MOST:
            raise errors.Unsure(device=', '.join(names), host='this host',
                                reason=f'more than {MOST} devices stand on it')
        for above in (*sysfs.holders(name), *_partitions(sysfs, found[name])):
            below.setdefault(above, set()).add(name)
            todo.append(above)
    return {name: dataclasses.replace(node, below=tuple(sorted(below[name])))
            for name, node in found.items()}


def _partitions(sysfs: kernel_sysfs.Sysfs, node: Node) -> list[str]:
    return [] if node.kind is K.PARTITION or node.dm_uuid else sysfs.partitions(node.name)


def node(sysfs: kernel_sysfs.Sysfs, name: str) -> Node:
    """One device, by itself.

    :raises sysfs.Gone, errors.Unsure: see Sysfs
    """
    number = sysfs.number(name)
    if name.startswith('dm-'):
        uuid = sysfs.attribute(name, 'dm', 'uuid')
        return Node(name, kinds.kind(name, uuid), number, sysfs.attribute(name, 'dm', 'name'),
                    uuid)
    return Node(name, kinds.kind(name, '', bool(sysfs.attribute(name, 'partition'))), number)


def blocking(tree: Tree, roots: Iterable[str], also: Iterable[str] = ()) -> list[Node]:
    """What a removal of some devices would tear away.

    :param tree: of those devices
    :param roots: the devices
    :param also: nodes that the caller takes down itself, a RAID of os-brick's for instance
    :returns: the lowest nodes that are in the way, in order of their names
    """
    expected = {*roots, *also}
    found = {name: node for name, node in tree.items()
             if name not in expected and node.kind not in _TAKEN_ALONG}
    lowest = [node for node in found.values() if not found.keys() & set(node.below)]
    # a loop, which no kernel makes, has no lowest
    return sorted(lowest or found.values(), key=lambda node: node.name)


def maps(tree: Tree) -> list[Node]:
    """The multipath maps over the devices; more than one means that they are not one disk's."""
    return [node for node in tree.values() if node.kind is K.MULTIPATH]


def claimable(tree: Tree) -> list[str]:
    """The multipath map, or what kpartx has put on it: whatever is below is claimed by them.

    A claim on a disk covers its partitions, so that without a map the disks are to be asked.
    """
    mapped = [node for node in tree.values() if node.kind in (K.MULTIPATH, K.PARTITION_MAP)]
    covered = {below for node in mapped for below in node.below}
    return sorted(node.name for node in mapped if node.name not in covered)


def ghosts(sysfs: kernel_sysfs.Sysfs, tree: Tree) -> list[Node]:
    """Logical volumes of the VGs of a tree that have lost their disk, for a message.

    They stand on nothing, so that no walk from a disk leads to them.
    """
    groups = {uuids[0] for one in tree.values() if (uuids := kinds.lv_uuids(one.dm_uuid))}
    found = []
    for name in sorted(sysfs.names() - tree.keys()) if groups else ():
        try:
            if name.startswith('dm-') and not sysfs.slaves(name):
                found.append(node(sysfs, name))
        except (kernel_sysfs.Gone, errors.Unsure):
            # a message tells what there is to tell
            continue
    return [one for one in found if (kinds.lv_uuids(one.dm_uuid) or ('',))[0] in groups]


def chain(tree: Tree, node: Node) -> str:
    """How a node reaches down to the devices, for a message."""
    words, seen = [str(node)], {node.name}
    while node.below and node.below[0] not in seen:
        node = tree[node.below[0]]
        seen.add(node.name)
        words.append(str(node))
    return ' on '.join(words)
