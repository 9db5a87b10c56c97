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
"""Formats an advice: the commands to type, and what is active now."""

from __future__ import annotations

from collections.abc import Iterable

from migsafe import masking
from migsafe.lvm import active, change, facts, filters, reports, roles, rules
from migsafe.text import shell

AFTER = ('The initramfs holds a copy of /etc/lvm: renew it with "update-initramfs -u -k all" or '
         '"dracut -f --regenerate-all", and reboot one host to see that all its own comes back.')
LATER = ('What LVM has activated stays active until somebody lets go of it: "migsafe lvm release '
         'DEVICE", for each device of a guest that is listed.')


def commands(advice: rules.Advice, effective: reports.Settings,
             etc: str = facts.ETC) -> list[str]:
    """What does by hand what ``--apply`` does; what is in doubt is for a person to leave out."""
    plan = advice.plan
    if plan is None:
        return []
    doubts = [(device, group) for group in advice.groups if group.role is roles.Role.DOUBT
              for device in group.vg.devices if not device.missing]
    local = f'{etc}/{change.LOCAL}'
    added = [f'in {local}, add: devices {{ {change.line(plan)} }}']
    if plan.means is rules.Means.FILTER:
        return [] if doubts else added
    file = facts.devices_file(effective, etc)
    if not plan.keep and not doubts:
        made = [f'mkdir -p -m 0700 {shell(file.parent)}', f'touch {shell(file)}']
    else:
        # one file with all of them at once: the first entry of a file in use hides all others
        made = [f'lvm lvmdevices --devicesfile {change.NEW} --adddev {shell(device.path)}'
                for device in plan.keep]
        made += [f'lvm lvmdevices --devicesfile {change.NEW} --adddev {shell(device.path)}  '
                 f'# only if {masking.one_line(roles.shown(group))} is the host\'s own'
                 for device, group in doubts]
        made.append(f'mv {shell(file.with_name(change.NEW))} {shell(file)}')
    return made + (added if plan.enable else [])


def instead(found: facts.Facts, advice: rules.Advice) -> str | None:
    """A filter to put in place of somebody's own; None if none can be.

    It is a proposal before LVM has tried it; see checking.
    """
    plan = advice.plan
    if plan is None or any(group.role is roles.Role.DOUBT for group in advice.groups):
        return None
    written = {'devices/filter', 'devices/global_filter'} & found.written.keys()
    if not written or not all(device.link for device in plan.keep):
        return None
    return filters.only(device.link for device in plan.keep)


def guests(found: facts.Facts, groups: Iterable[roles.Judged]) -> list[active.Active]:
    """The logical volumes that are active here and not the host's own."""
    whose = {group.vg.uuid: group.role for group in groups}
    return [lv for lv in found.active
            if whose.get(lv.vg) is roles.Role.GUEST or lv.vg not in whose and lv.guests]
