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
"""What LVM sees: of the host's own it must be all, of guests' nothing."""

from __future__ import annotations

import dataclasses

from migsafe.lvm import reports, roles, rules
from migsafe.lvm.client import Client


@dataclasses.dataclass(frozen=True)
class Seen:
    """What LVM sees of the host's own: uuids of PVs, (VG, LV) uuids of LVs."""

    pvs: frozenset[str]
    lvs: frozenset[tuple[str, str]]


def own(client: Client, plan: rules.Plan, advice: rules.Advice) -> Seen:
    """What LVM sees of the host's own, as it is configured now."""
    own = {group.vg.uuid for group in advice.groups if group.role is roles.Role.HOST}
    lvs = reports.lvs(client.lvs())
    return Seen(frozenset(device.uuid for device in plan.keep),
                frozenset((lv.vg, lv.uuid) for lv in lvs if lv.vg in own))


def missing(client: Client, before: Seen, strangers: set[str], *more: str) -> str:
    """What is not as it was; '' if all is well.

    :param strangers: uuids of PVs that LVM must not see
    :param more: arguments for LVM, to try something out
    """
    pvs = reports.pvs(client.pvs(*more))
    seen = {pv.uuid for pv in pvs if not pv.missing}
    if lost := before.pvs - seen:
        return f'LVM does not see the host\'s physical volumes {", ".join(sorted(lost))}'
    lvs = {(lv.vg, lv.uuid) for lv in reports.lvs(client.lvs(*more))}
    if gone := before.lvs - lvs:
        return ('LVM does not see the host\'s logical volumes '
                + ', '.join(sorted(uuid for _, uuid in gone)))
    if left := strangers & seen:
        return f'LVM still sees physical volumes of guests: {", ".join(sorted(left))}'
    return ''


def others(advice: rules.Advice) -> set[str]:
    """The uuids of the PVs that are not the host's own."""
    return {device.uuid for group in advice.groups for device in group.vg.devices
            if group.role is not roles.Role.HOST}
