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
"""R12: a migration record that nothing will end.

nova-compute keeps resources for such a record on both hosts, and refuses operations because of it.
"""

from __future__ import annotations

from collections.abc import Iterator

from migsafe.audit.activity import ENDED, QUEUED, WAITS, Clock, waits_for_owner
from migsafe.audit.facts import NAMELESS, Case, Life, Migration
from migsafe.audit.findings import Finding, Severity
from migsafe.audit.rules.words import hosts_of, shown, told, where


def judge(case: Case, clock: Clock) -> Iterator[Finding]:
    """Each migration that is in no final status, and that nobody works on."""
    instance = case.instance
    if instance.life in NAMELESS:
        return
    for one in case.migrations:
        if one.status in ENDED or clock.recent(one.updated) or waits_for_owner(instance, one):
            continue
        if _may_go_on(case, one, clock):
            continue
        yield Finding(
            'R12', Severity.MINOR,
            f'Migration {told(one)} shows no progress and has no end; the instance is on '
            f'{where(case)}.',
            'Find out with virsh that neither host migrates the guest'
            + (f', and that it does not wait for others in the queue of nova-compute on '
               f'{one.source}: a restart of that ends all that wait' if one.status == QUEUED
               else '')
            + '. Then set its status to error; nova-manage has no command for it.',
            instance.uuid, None, hosts_of(case, one.source, one.dest),
            shown(migration=told(one), migration_updated=one.updated,
                  task_state=instance.task_state, vm_state=instance.vm_state,
                  instance_updated=instance.updated),
            certain=one.status != QUEUED or not instance.task_state, key=str(one.number))


def _may_go_on(case: Case, one: Migration, clock: Clock) -> bool:
    """Whether something stands behind it: a task that is not a day old, or a queue that moves."""
    instance = case.instance
    if instance.life is Life.DELETED:
        return False
    if one.status == WAITS:
        # The resize is done; without the state that waits for the owner nothing will confirm it.
        return clock.recent(instance.updated) or bool(instance.task_state)
    if one.kind == 'evacuation' or instance.task_state:
        return one.waiting or clock.alive(one.updated) or clock.alive(instance.updated)
    return clock.recent(instance.updated) or (one.status == QUEUED and clock.alive(one.updated))
