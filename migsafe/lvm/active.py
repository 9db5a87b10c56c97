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
"""The logical volumes that are active on this host, as the kernel has them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from migsafe.brick.kernel import kinds, place
from migsafe.brick.kernel import sysfs as kernel_sysfs


@dataclasses.dataclass(frozen=True)
class Active:
    """A logical volume that is active here.

    :param label: VG/LV, fit for a message
    :param below: kernel names of what it stands on in the end, none for a ghost
    :param guests: whether what is below is not the host's by where it is
    """

    label: str
    name: str
    vg: str
    below: tuple[str, ...]
    guests: bool


def active(sysfs: kernel_sysfs.Sysfs) -> Iterable[Active]:
    """All of them, whoever's they are."""
    for name in sorted(sysfs.names()):
        try:
            uuid = sysfs.attribute(name, 'dm', 'uuid')
            uuids = kinds.lv_uuids(uuid)
            if uuids:
                yield _lv(sysfs, name, uuids[0])
        except kernel_sysfs.Gone:
            # it was deactivated while we looked, and is no news any more
            continue


def _lv(sysfs: kernel_sysfs.Sysfs, name: str, vg: str) -> Active:
    below = place.stack(sysfs, name)
    disks = sorted(here for here in below - {name}
                   if not sysfs.disk(here) and not sysfs.slaves(here))
    others = {uuids[0] for here in below
              if (uuids := kinds.lv_uuids(sysfs.attribute(here, 'dm', 'uuid')))} - {vg}
    where = place.together(place.disk(sysfs, here) for here in disks)
    label = kinds.lv_label(sysfs.attribute(name, 'dm', 'name'))
    return Active(label, name, vg, tuple(disks), bool(others) or where is not place.Place.LOCAL)
