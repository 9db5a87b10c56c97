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
"""R5: an instance has another host on record than the one where its guest is.

Hosts say it themselves, if they were asked; else it is known by the last migration.
"""

from __future__ import annotations

from collections.abc import Iterator

from migsafe.audit.activity import Clock, busy
from migsafe.audit.facts import NAMELESS, Case, Migration
from migsafe.audit.findings import Finding, Severity
from migsafe.audit.rules.words import hosts_of, shown, told, where
from migsafe.audit.whereabouts import disputed, doubtful


def judge(case: Case, clock: Clock) -> Iterator[Finding]:
    """Where the guest is, or may be, against the record of the instance."""
    instance = case.instance
    if busy(case, clock) or instance.life in NAMELESS:
        return
    if case.runs and set(case.runs) != {instance.host}:
        yield _seen(case)
    elif case.runs:
        return
    elif newest := disputed(case):
        yield _finding(case, newest, f'Migration {newest.number} to {newest.dest} has ended as '
                       f'{newest.status}, but the instance is still on record for '
                       f'{newest.source}.')
    elif newest := doubtful(case):
        yield _finding(case, newest, f'Migration {newest.number} to {newest.dest} was never '
                       'ended, and every row of the instance names that host: the guest may run '
                       f'there, while the instance is on record for {newest.source}.')


def _seen(case: Case) -> Finding:
    at = ' and '.join(sorted(case.runs))
    return Finding(
        'R5', Severity.CRITICAL,
        f'The guest is on {at}, as libvirt there says; the instance is on {where(case)}.',
        'Start, stop and evacuate nothing before this is right: a start would make one more copy. '
        + ('End the copy that its users do not see: virsh destroy.' if len(case.runs) > 1 else
           'instance.host and instance.node have to name that host; of an instance that is '
           'deleted, the guest has to be ended: virsh destroy.'),
        case.instance.uuid, None, hosts_of(case, *sorted(case.runs)),
        shown(guest_on=at, instance_host=case.instance.host,
              vm_state=case.instance.vm_state, newest_migration=told(case.newest())), key='seen')


def _finding(case: Case, newest: Migration, what: str) -> Finding:
    instance = case.instance
    return Finding(
        'R5', Severity.CRITICAL, what,
        f'Find out whether the guest runs on {newest.source} or on {newest.dest}: virsh list '
        'shows it. Start, stop and evacuate nothing before: a start would make a second copy. If '
        'it is the destination, instance.host and instance.node have to name it, and the rows '
        'that name it are right.',
        instance.uuid, None, hosts_of(case, newest.dest),
        shown(instance_host=instance.host, newest_migration=told(newest),
              migration_updated=newest.updated, vm_state=instance.vm_state,
              attachments_for=', '.join(sorted({one.host for one in case.attachments
                                                if one.host})),
              allocations_of=', '.join(sorted({one.host for one in case.allocations
                                               if one.host}))),
        certain=False, key=str(newest.number))
