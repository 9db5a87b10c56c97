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
"""R5: an instance has another host on record than the one that its last migration ended on."""

from __future__ import annotations

from collections.abc import Iterator

from migsafe.audit.activity import Clock, busy
from migsafe.audit.facts import Case
from migsafe.audit.findings import Finding, Severity
from migsafe.audit.rules.words import hosts_of, shown, told
from migsafe.audit.whereabouts import disputed


def judge(case: Case, clock: Clock) -> Iterator[Finding]:
    """The record of the newest migration against that of the instance."""
    newest = disputed(case)
    if newest is None or busy(case, clock):
        return
    instance = case.instance
    yield Finding(
        'R5', Severity.CRITICAL,
        f'Migration {newest.number} to {newest.dest} has ended as {newest.status}, but the '
        f'instance is still on record for {newest.source}.',
        f'Find out whether the guest runs on {newest.source} or on {newest.dest}: virsh list '
        'shows it. Start, stop and evacuate nothing before: a start would make a second copy. If '
        'it is the destination, instance.host and instance.node have to name it.',
        instance.uuid, None, hosts_of(case, newest.dest),
        shown(instance_host=instance.host, newest_migration=told(newest),
              migration_updated=newest.updated, vm_state=instance.vm_state,
              attachments_for=', '.join(sorted({one.host for one in case.attachments
                                                if one.host})),
              allocations_of=', '.join(sorted({one.host for one in case.allocations
                                               if one.host}))),
        certain=False, key=str(newest.number))
