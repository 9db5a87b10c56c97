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
"""Whether a volume group is the host's own, a guest's, or in doubt.

A name decides nothing: a guest may give its volume group the name or the uuid of the host's. What
decides is where a volume group's disks are and what the host does with it.
"""

from __future__ import annotations

import dataclasses
import enum

from migsafe.brick.kernel import place
from migsafe.lvm.facts import Vg

P = place.Place


class Role(enum.Enum):
    """Whether a volume group is the host's own, a guest's, or in doubt."""

    HOST = "the host's own"
    GUEST = "a guest's"
    DOUBT = 'in doubt'


@dataclasses.dataclass(frozen=True)
class Judged:
    """A volume group, whose it is, and why."""

    vg: Vg
    role: Role
    why: str


# The first row that fits decides: (place of all PVs, in use or named by a configuration, use that
# only the host has, a PV twice, a PV missing, its configured name is another's too). None fits
# anything.
_Row = tuple[P | None, bool | None, bool | None, bool | None, bool | None, bool | None]
ROLES: tuple[tuple[_Row, Role, str], ...] = (
    ((P.NETWORK, False, None, None, None, None), Role.GUEST,
     'on a disk from the network, and in no use of the host'),
    ((P.INSIDE, False, None, None, None, None), Role.GUEST,
     "inside a logical volume, as a guest's disk is that Cinder or Nova keeps there"),
    ((None, None, None, True, None, None), Role.DOUBT,
     'a physical volume of it is on two devices: a copy, or a guest with a uuid of the host'),
    ((None, None, None, None, True, None), Role.DOUBT, 'a physical volume of it is missing'),
    ((None, None, None, None, None, True), Role.DOUBT,
     'another volume group has the name that a configuration gives'),
    ((P.LOCAL, None, None, None, None, None), Role.HOST, 'on local disks'),
    ((P.NETWORK, None, True, None, None, None), Role.HOST,
     'on disks from the network, from which the host itself runs'),
    ((P.NETWORK, None, None, None, None, None), Role.DOUBT,
     "on disks from the network, as guests' volumes are, but the host uses it"),
    ((P.INSIDE, None, None, None, None, None), Role.DOUBT,
     "inside a logical volume, as a guest's disk may be, but the host uses it"),
    ((None, None, None, None, None, None), Role.DOUBT,
     'on devices that do not tell whether they are the host\'s (loop, mixed, unknown driver)'),
)


def judge(vg: Vg) -> Judged:
    """Whose a volume group is, from the table ``ROLES``."""
    found = (place.together(device.place for device in vg.devices if not device.missing),
             bool(vg.uses or vg.named), vg.system, any(device.duplicate for device in vg.devices),
             any(device.missing for device in vg.devices), vg.shared)
    for row, role, why in ROLES:
        if all(want is None or want == have for want, have in zip(row, found, strict=True)):
            return Judged(vg, role, '; '.join((why, *vg.uses, *vg.named)))
    raise AssertionError('the last row fits everything')


def shown(group: Judged) -> str:
    """A volume group for a message."""
    devices = ', '.join(device.path for device in group.vg.devices)
    if not group.vg.uuid:
        return f'the physical volume {devices}'
    return f'volume group {group.vg.name} (uuid {group.vg.uuid}, on {devices})'
