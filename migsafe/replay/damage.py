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
"""Short words for damage."""

from __future__ import annotations

import re
from collections.abc import Iterable

from migsafe.replay.outcome import Hurt

#: kind of damage -> words; {lun}, {host}. Worst first; a later one is left out if the one that
#: is named with it was said.
_DAMAGE = (
    ('double_run', 'starts a second copy of the guest on {host}', ''),
    ('guest_destroyed', 'destroys the only running copy of the guest', ''),
    ('foreign_open', "boots on another tenant's LUN {lun} of {host}", ''),
    ('foreign_connect', "connects another tenant's LUN {lun} on {host}", 'foreign_open'),
    ('foreign_yank', "removes another tenant's LUN {lun} from {host}", 'foreign_open'),
    ('guest_export_lost', 'deletes exports that the running guest uses', 'foreign_open'),
    ('guest_yank', 'removes a device under the running guest', ''),
    ('held_yank', 'removes paths under a device in use on {host}', ''),
    ('export_yank', 'removes exports under live devices of {host}', 'double_run'),
)
FOREIGN = ('foreign_open', 'foreign_connect')
SECOND = ('double_run',)


def joined(values: Iterable[str]) -> str:
    """Each value once, numbers in the order of numbers."""
    unique = set(values)
    if all(value.isdigit() for value in unique):
        return ', '.join(sorted(unique, key=int))
    return ', '.join(sorted(unique))


def damage(harms: Iterable[Hurt]) -> list[str]:
    """What was damaged, worst first."""
    listed = list(harms)
    said = {hurt.kind for hurt in listed}
    found = []
    for kind, template, unless in _DAMAGE:
        mine = [hurt for hurt in listed if hurt.kind == kind]
        if not mine or unless in said:
            continue
        luns = [m.group(1) for hurt in mine
                if (m := re.search(r'(?:LUN |-lun-)(\d+)', hurt.detail))]
        found.append(template.format(lun=joined(luns), host=joined(h.host for h in mine)))
    return found
