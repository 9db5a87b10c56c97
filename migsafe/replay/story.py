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
"""Incident 000 in a few sentences, with the values that were found in that Nova database."""

from __future__ import annotations

import dataclasses
import json
import pathlib

# NOTE: read as a file, because importing the laboratory's package would start Nova.
_INCIDENT = pathlib.Path(__file__).parent / 'lab' / 'data' / 'incident-000.json'


@dataclasses.dataclass(frozen=True)
class Story:
    """The facts of the incident.

    :param luns: the guest's LUN numbers on the destination, root disk first.
    """

    source: str
    destination: str
    migration: int
    luns: tuple[int, ...]
    volumes: tuple[str, ...]

    def paragraphs(self) -> tuple[str, ...]:
        """What happened, for a reader who knows Nova."""
        numbers = ' and '.join(f'LUN {lun}' for lun in self.luns)
        return (
            f'A VM on {self.source} had a root and a data disk in Cinder, over iSCSI. Its live '
            f'migration to {self.destination} (number {self.migration}, the sixth attempt) '
            f'failed, and the VM kept running on {self.source}. Nobody reverted anything: both '
            f"BDM rows kept {self.destination}'s connection_info, {numbers}, and the volumes "
            f'stayed mapped to both hosts.',
            f'A LUN number means something on one host only. On {self.source}, {numbers} were '
            f'disks of other tenants. Eleven days later the VM was stopped and started. Nova '
            f'connected exactly those two: a Windows VM came up as CentOS, on a disk that '
            f'belongs to somebody else. The repair was hand-written SQL.')


def load() -> Story:
    """Read the recorded incident."""
    found = json.loads(_INCIDENT.read_text(encoding='utf-8'))
    data = sorted((info['data'] for info in found['bdm_connection_info_found_in_nova_db']),
                  key=lambda one: one['target_lun'])
    return Story(found['source_host'], found['destination_host'], int(found['migration_id']),
                 tuple(one['target_lun'] for one in data),
                 tuple(one['volume_id'] for one in data))
