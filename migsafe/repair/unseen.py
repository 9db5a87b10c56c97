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
"""What a change of a row hides and does not mend.

Before Pike nothing but the row says which host was given a volume (R3, R10). When it names the
right host, no record has the other one any more, and the array may still have the export.
"""

from __future__ import annotations

from collections.abc import Iterable

from migsafe.audit import address
from migsafe.audit.findings import Finding
from migsafe.repair.acts import Act
from migsafe.repair.ground import Ground
from migsafe.repair.hosts import Words


def why(ground: Ground, words: Words, one: Finding, acts: Iterable[Act]) -> str:
    """Why a finding is not mended that is not found after these acts; empty if it is."""
    changed = {act.key for act in acts if act.table == 'block_device_mapping'}
    rows = [row for row in ground.case.rows if row.attachment is None
            and row.volume == one.volume and row.number in changed]
    if one.rule not in ('R3', 'R10') or not rows:
        return ''
    host, was = str(rows[0].connection.host), address.words(rows[0].connection)
    devices = words.by_host[host].devices if host in words.by_host else None
    if one.rule == 'R10' and devices == ():
        # Without a guest and without a disk it cannot write.
        return ''
    return (f'When the row is right it names {host} no more, so that no later audit of the '
            f'records finds this. {host} has ' + (
                f'{", ".join(devices)}, which leads there or may lead there' if devices else
                'no disk of it' if devices == () else 'not said whether it has a disk of it')
            + f'. Ask the array whether it still gives the volume to {host} as {was}, and take '
            'that away.')
