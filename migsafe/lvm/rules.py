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
"""The decision, over facts alone.

What nobody but a person can know is RECOMMEND; so is everything that this does not know.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable
from typing import Any

from migsafe.lvm import filters, roles
from migsafe.lvm.facts import Device, Facts


class Verdict(enum.Enum):
    """What the operator is told; the value is what is printed."""

    UNNEEDED = 'UNNEEDED'
    CONFIGURE = 'CONFIGURE'
    RECOMMEND = 'RECOMMEND'


class Means(enum.Enum):
    """What keeps LVM away from disks that are not the host's."""

    DEVICES_FILE = 'devices file'
    FILTER = 'global_filter'


@dataclasses.dataclass(frozen=True)
class Plan:
    """What to write.

    :param keep: the PVs that LVM goes on to use
    :param enable: whether use_devicesfile is off now
    """

    means: Means
    keep: tuple[Device, ...]
    enable: bool = False


@dataclasses.dataclass(frozen=True)
class Advice:
    """What comes out.

    :param reasons: why; what a person has to decide first
    :param plan: what would be written; with RECOMMEND, what is left of it to a person
    :param instead: a filter in place of somebody's own, which LVM has tried
    """

    verdict: Verdict
    reasons: tuple[str, ...]
    groups: tuple[roles.Judged, ...] = ()
    plan: Plan | None = None
    notes: tuple[str, ...] = ()
    instead: str = ''


_Setting = Callable[[Any], bool]
#: (setting, when, what to say of it)
NOTES: tuple[tuple[str, _Setting, str], ...] = (
    ('global/event_activation', lambda value: value == 0,
     'event_activation = 0 is set. It hides nothing: the next "vgchange -ay" or reboot activates '
     "guests' volume groups, and the host's own on late disks are not activated at all."),
    ('activation/auto_activation_volume_list', lambda value: value is not None,
     'auto_activation_volume_list is set. It goes by names, and a guest chooses the names of its '
     'volume groups.'),
    ('devices/scan_lvs', lambda value: value == 1,
     "scan_lvs = 1 is set: LVM looks for guests' volume groups inside logical volumes that Cinder "
     'or Nova keep for them. Unset it unless this host stacks LVM on LVM itself.'),
    ('devices/multipath_component_detection', lambda value: value == 0,
     'multipath_component_detection = 0 is set: LVM may use a single path of a multipath disk.'),
)

#: The first LVM whose pvscan knows a new disk's links while udev handles it (commit 17a3585cb);
#: before, a filter of links keeps a volume group of the host from being activated by event.
LINKS_SINCE = (2, 3, 19)
#: The first LVM with lvmdevices.
DEVICES_FILE_SINCE = (2, 3, 12)


def decide(facts: Facts) -> Advice:
    """The advice for a host."""
    groups = tuple(roles.judge(vg) for vg in facts.vgs)
    notes = tuple(text for name, when, text in NOTES if when(facts.effective.get(name)))
    hole = open_to(facts)
    reasons = _always(facts)
    if hole is None:
        reasons += [f'LVM is kept from new disks, but it may use {roles.shown(group)}: '
                    f'{group.why}. If it is a guest\'s, take it out of the filter or of the '
                    'devices file.'
                    for group in groups if group.role is roles.Role.GUEST
                    or any(device.duplicate for device in group.vg.devices)]
        reasons += ['An entry of the devices file lets in whatever gets its name: '
                    f'{entry}. Remove it: lvm lvmdevices --deldev.' for entry in facts.loose]
        verdict = Verdict.RECOMMEND if reasons else Verdict.UNNEEDED
        return Advice(verdict, tuple(reasons) or (
            'LVM uses the disks that it was told to, and no other.',), groups, notes=notes)
    keep = tuple(device for group in groups if group.role is roles.Role.HOST
                 for device in group.vg.devices)
    plan = Plan(_means(facts), keep, not facts.effective.get('devices/use_devicesfile'))
    reasons += [f'{roles.shown(group)} is in doubt: {group.why}. Say whether it is the '
                'host\'s, and keep it or leave it out.'
                for group in groups if group.role is roles.Role.DOUBT]
    reasons += _administrators(facts) + _impossible(facts, plan)
    verdict = Verdict.RECOMMEND if reasons else Verdict.CONFIGURE
    partial = [group for group in groups if group.role is not roles.Role.GUEST
               and any(device.missing for device in group.vg.devices)]
    reasons += [f'No commands are given while LVM misses a disk of {roles.shown(group)}: they '
                'would leave that disk out. Look whether a filter hides it.' for group in partial]
    # without all of the host's own, commands would lose the rest of it
    known = not (facts.hidden or facts.absent or facts.unfinished or partial)
    return Advice(verdict, (f'LVM takes any new disk: {hole}.', *reasons), groups,
                  plan if known else None, notes)


def open_to(facts: Facts) -> str | None:
    """Why a volume that is attached next would be used by LVM; None if it would not."""
    effective = facts.effective
    if effective.get('devices/use_devicesfile') == 1 and facts.listed:
        # with a devices file LVM ignores both filters
        return None
    holes = []
    for name in ('filter', 'global_filter'):
        found = filters.hole(filters.patterns(effective.get(f'devices/{name}')))
        if found is None:
            return None
        if f'devices/{name}' in facts.written:
            holes.append(f'{name}: {found}')
    return '; '.join(holes) or 'there is no filter and no devices file'


def tried(advice: Advice, seen: frozenset[str]) -> Advice:
    """The advice after LVM itself has tried it.

    :param seen: uuids of the PVs that LVM sees with the plan in place of its configuration
    """
    if advice.plan is None:
        return advice
    lost = [device for device in advice.plan.keep if device.uuid not in seen]
    kept = {device.uuid for device in advice.plan.keep}
    guests = [group for group in advice.groups if group.role is not roles.Role.HOST
              and any(device.uuid in seen - kept for device in group.vg.devices)]
    reasons = [f'LVM itself would not see {device.path} of the host with that.' for device in lost]
    reasons += [f'LVM itself would still see {roles.shown(group)} with that.' for group in guests]
    if not reasons:
        return advice
    return dataclasses.replace(advice, verdict=Verdict.RECOMMEND, plan=None,
                               reasons=(*advice.reasons, *reasons))


def _always(facts: Facts) -> list[str]:
    """What a person has to look at, however LVM is configured."""
    found = []
    if facts.unfinished:
        found.append('An earlier --apply was cut off. "migsafe lvm check --apply" puts the old '
                     'files back first.')
    found += [f'The host uses a volume group that LVM does not see (uuid {use.vg}, {use.what}): '
              'it would not be activated at the next boot, or it is a guest\'s.'
              for use in facts.hidden]
    found += [f'{one.who} names the volume group {ascii(one.vg_name)[1:-1]}, and LVM sees none of '
              'that name.' for one in facts.absent]
    return found


def _administrators(facts: Facts) -> list[str]:
    """What somebody has written is not overwritten."""
    found = [f'Somebody has written {name} in the configuration of LVM: it is not overwritten.'
             for name in ('devices/filter', 'devices/global_filter') if name in facts.written]
    if facts.written.get('devices/use_devicesfile') == 0:
        found.append('Somebody has written use_devicesfile = 0 in the configuration of LVM: it is '
                     'not overwritten.')
    if facts.listed:
        found.append('There is a devices file, which LVM is configured not to use: look whether '
                     'it is right.')
    return found


def _means(facts: Facts) -> Means:
    able = facts.version >= DEVICES_FILE_SINCE and 'devices/use_devicesfile' in facts.effective
    return Means.DEVICES_FILE if able else Means.FILTER


def _impossible(facts: Facts, plan: Plan) -> list[str]:
    """What keeps a plan from being safe with this LVM."""
    if plan.means is Means.DEVICES_FILE:
        return []
    found = [f'{device.path} of the host has no name in /dev/disk/by-id that stays the same.'
             for device in plan.keep if not device.link]
    if links_come_late(facts, plan):
        found.append(f'LVM {".".join(map(str, facts.version))} has no devices file, and before '
                     '2.03.19 a filter of links can keep a volume group of the host from being '
                     'activated by event: try it on one host with a reboot.')
    return found


def links_come_late(facts: Facts, plan: Plan) -> bool:
    """Whether a filter for a plan would have names that this LVM does not know of a new disk."""
    return facts.version < LINKS_SINCE and any(device.link.startswith('/dev/disk/')
                                               for device in plan.keep)
