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
"""Deactivates what this host's LVM has activated on a guest's disk.

A guest writes the names and the uuids of its volume groups, and may choose those of the host's
own. So nothing is done by name: what is removed are the device-mapper tables that stand on
exactly the given disks and on nothing else, each by its uuid, after a second look.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import MappingProxyType
from typing import Any, Protocol

from oslo_log import log as logging

from migsafe.brick import errors
from migsafe.brick.kernel import disks, holders, host_groups, kinds
from migsafe.brick.kernel import sysfs as kernel_sysfs

LOG = logging.getLogger(__name__)


class Root(Protocol):
    """What needs root: the functions of migsafe.brick.root.privileged."""

    def look(self, name: str, exclusive: bool) -> dict[str, Any]:
        """See privileged.look."""

    def opened_by(self, numbers: list[str]) -> list[list[str]]:
        """See privileged.opened_by."""

    def remove_lv(self, name: str, uuid: str) -> dict[str, Any]:
        """See privileged.remove_lv."""


class NotReleased(errors.DeviceError):
    """Something is in the way, and nothing was released."""

    message = ('Nothing is released on %(device)s: %(reason)s. Stop what uses it, or name all '
               'disks of the volume group.')


class HostsOwn(NotReleased):
    """It could be the host's own by the name or the uuid that it bears."""

    message = ('Nothing is released on %(device)s: %(reason)s. Compare both with "vgs -o '
               '+vg_uuid,pv_name"; "migsafe lvm check" keeps LVM away from guests\' disks.')


def plan(sysfs: kernel_sysfs.Sysfs, names: Iterable[str],
         named: host_groups.Named = MappingProxyType({})) -> list[holders.Node]:
    """The logical volumes that stand on some disks, those on top first.

    :param names: kernel names of the disks, all paths of each, or of their multipath map
    :param named: see own.reason()
    :raises NotReleased: if anything else stands on them, a logical volume stands on more, or it
        could be the host's own
    :raises errors.Unsure: if sysfs does not say
    """
    names = sorted(names)
    tree = holders.climb(sysfs, names)
    words = ', '.join(names)
    found = [node for node in tree.values() if node.kind is kinds.Kind.LV]
    others = holders.blocking(tree, names, [node.name for node in found])
    if others:
        raise NotReleased(device=words, reason='what stands on it is no logical volume: '
                          + '; '.join(holders.chain(tree, node) for node in others))
    own = {node.name for node in tree.values() if node not in found}
    for node in found:
        foreign = disks.bottom(sysfs, node.name, own) - own
        if foreign:
            raise NotReleased(device=words, reason=(
                f'{node} also stands on {", ".join(sorted(foreign))}'))
    hosts = host_groups.reason(sysfs, found, named)
    if hosts:
        raise HostsOwn(device=words, reason=hosts)
    high = heights(tree)
    return sorted(found, key=lambda node: high[node.name], reverse=True)


def heights(tree: holders.Tree) -> dict[str, int]:
    """How far each node is above the disks, by the longest way; each is looked at once.

    A guest can stack logical volumes so that each doubles the ways down. Nodes of a loop, which
    no kernel makes, are as high as what is below them outside of it.
    """
    found: dict[str, int] = {}
    begun: set[str] = set()
    todo = list(tree)
    while todo:
        name = todo[-1]
        below = [under for under in tree[name].below if under not in found]
        if name not in begun and below:
            begun.add(name)
            todo += [under for under in below if under not in begun]
            continue
        todo.pop()
        found.setdefault(name, 1 + max(
            (found[under] for under in tree[name].below if under in found), default=0))
    return found


def release(sysfs: kernel_sysfs.Sysfs, root: Root, names: Iterable[str],
            named: host_groups.Named = MappingProxyType({})) -> list[str]:
    """Deactivate the logical volumes on some disks.

    :param names: see plan()
    :param named: see own.reason()
    :returns: what was released, for a message
    :raises NotReleased: if one of them is in use or does not go; those before it are gone then,
        which loses nothing: they were in no one's use
    """
    names = sorted(names)
    nodes = plan(sysfs, names, named)
    for node in nodes:
        try:
            uses = [what for _, what in root.opened_by([node.number])]
        except OSError as error:
            raise NotReleased(device=', '.join(names), reason=(
                f'who has {node} open cannot be found out: {error}')) from error
        if uses or root.look(node.name, True)['state'] == 'busy' and not _below_another(
                node, nodes):
            raise NotReleased(device=', '.join(names), reason=(
                f'{node} is in use: {"; ".join(uses) or "it has an exclusive claim"}'))
    for node in nodes:
        done = root.remove_lv(node.name, node.dm_uuid)
        if not done['done']:
            raise NotReleased(device=', '.join(names),
                              reason=f'{node} does not go: {done["reason"]}')
        LOG.info('Released %s, which stood on %s', node, ', '.join(names))
    return [str(node) for node in nodes]


def _below_another(node: holders.Node, nodes: list[holders.Node]) -> bool:
    """Whether the claim on it is another's that goes first."""
    return any(node.name in other.below for other in nodes)
