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
"""R6: an instance that no operation will take out of its state."""

from __future__ import annotations

from collections.abc import Iterator

from migsafe.audit.activity import QUEUED, Clock, under_way
from migsafe.audit.facts import Case, Life
from migsafe.audit.findings import Finding, Severity
from migsafe.audit.rules.words import hosts_of, shown, told
from migsafe.text import shell

RUNNING = 1
FAILED = frozenset(('error', 'failed'))


def judge(case: Case, clock: Clock) -> Iterator[Finding]:
    """Migrating without a migration, or in ERROR with a guest that runs."""
    instance, newest = case.instance, case.newest()
    if instance.life is not Life.LIVE or any(under_way(one, clock) for one in case.migrations):
        return
    if instance.task_state == 'migrating':
        if not clock.recent(instance.updated):
            yield _finding(
                case, f'The instance is in task_state migrating, and no migration goes on; the '
                f'newest is {told(newest)}.', Severity.WARNING,
                # It may wait for a source that does not write down what it is at work on.
                not any(one.status == QUEUED for one in case.migrations))
        return
    if (instance.vm_state == 'error' and instance.power == RUNNING and newest is not None
            and newest.kind == 'live-migration' and newest.status in FAILED
            and not instance.task_state and not clock.recent(instance.updated)):
        yield _finding(
            case, 'The instance is in vm_state error since a live migration failed, but its guest '
            f'ran when nova-compute last looked; the newest migration is {told(newest)}.',
            Severity.MINOR, False)


def _finding(case: Case, what: str, severity: Severity, certain: bool) -> Finding:
    instance, newest = case.instance, case.newest()
    return Finding(
        'R6', severity, what,
        'Find out with virsh on which host the guest runs, and put instance.host and the rows '
        'right first if they are not. Then: openstack server set --state active '
        f'{shell(instance.uuid)}.',
        instance.uuid, None,
        hosts_of(case, *((newest.source, newest.dest) if newest else ())),
        shown(task_state=instance.task_state, vm_state=instance.vm_state,
              power_state=instance.power, instance_updated=instance.updated,
              instance_host=instance.host, newest_migration=told(newest)), certain=certain)
