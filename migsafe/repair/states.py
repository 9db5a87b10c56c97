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
"""R5, R6 and R12: where an instance is, in which state, and how its migration has ended."""

from __future__ import annotations

from typing import Any

from migsafe.audit.activity import ENDED, TRANSFERRING
from migsafe.audit.facts import Life, Migration
from migsafe.audit.whereabouts import disputed, doubtful
from migsafe.repair.acts import Act
from migsafe.repair.ground import Ground
from migsafe.repair.hosts import LIVE, Undecided, Words
from migsafe.text import shell

#: power_state -> vm_state of a guest that is there: nova/compute/power_state.py.
STATES = {1: 'active', 3: 'paused'}
MIGRATING, ERROR = 'migrating', 'error'


def host(ground: Ground, words: Words) -> list[Act]:
    """The instance becomes that of the host which has the guest.

    :raises Undecided: it is not that of its last migration
    """
    case, instance = ground.case, ground.case.instance
    newest = disputed(case) or doubtful(case)
    if newest is None or words.at is None or words.at.host != newest.dest:
        raise Undecided(
            f'The guest runs on {words.at.host if words.at else "no host"}, and the instance is '
            f'on record for {instance.host}. '
            + ('That is right; the record of its last migration is not.' if words.at
               and words.at.host == instance.host else 'Find out what has ended it before it is '
               'started anywhere.'))
    node = ground.nodes.get(words.at.host)
    if node is None or ground.claims:
        raise Undecided(
            'PCI devices or NUMA cells are claimed for its move, which only nova-compute gives to '
            'the instance.' if ground.claims else
            f'{words.at.host} has not one compute node, but several or none. Find out which of '
            'them has the guest.')
    before: dict[str, Any] = {'host': instance.host, 'node': instance.node}
    after: dict[str, Any] = {'host': words.at.host, 'node': node.name}
    if 'compute_id' in ground.columns:
        before['compute_id'], after['compute_id'] = ground.compute_id, node.key
    acts = [_of_instance(ground, before, after,
                         f'The instance becomes that of {words.at.host}, where its guest runs.')]
    if newest.status in TRANSFERRING:
        acts.append(_of_migration(newest, 'completed'))
    return acts


def state(ground: Ground, words: Words) -> Act:
    """The instance is free again, and active if its guest runs.

    :raises Undecided: its guest is not there
    """
    instance = ground.case.instance
    if words.at is None or words.at.host != instance.host:
        raise Undecided(
            f'The guest runs on {words.at.host if words.at else "no host"}, and the instance is '
            f'on record for {instance.host}. Where it is has to be right first; if it runs '
            f'nowhere: openstack server set --state active {shell(instance.uuid)}, and start it.')
    before: dict[str, Any] = {}
    after: dict[str, Any] = {}
    if instance.task_state == MIGRATING:
        before['task_state'], after['task_state'] = MIGRATING, None
    if instance.vm_state == ERROR:
        if words.at.power not in STATES:
            raise Undecided(f'{words.at.host} does not say whether the guest runs or is paused. '
                            'Find out with virsh domstate.')
        before['vm_state'], after['vm_state'] = ERROR, STATES[words.at.power]
    return _of_instance(ground, before, after, 'The instance is given back to its owner: '
                        + ', '.join(f'{name} {value or "none"}' for name, value in after.items())
                        + f'; its guest runs on {instance.host}.')


def migration(ground: Ground, words: Words, number: int) -> Act:
    """A live migration that nobody works on has failed.

    :raises Undecided: it is of another kind, or its guest is not where the record says
    """
    instance = ground.case.instance
    found = next(one for one in ground.case.migrations if one.number == number)
    if found.kind != LIVE or found.status in ENDED:
        raise Undecided(
            f'Migration {number} is of type {found.kind or "unknown"}, which leaves more behind '
            'than its record. Find out on both hosts what it has made there.')
    if not words.gone_but_from(instance.host):
        raise Undecided('The guest is not on the host that has it on record. That has to be right '
                        'first.')
    if instance.life is Life.LIVE and words.at is None and instance.vm_state != 'stopped':
        raise Undecided('The guest runs nowhere. Find out what has ended it.')
    return _of_migration(found, ERROR)


def _of_instance(ground: Ground, before: dict[str, Any], after: dict[str, Any], says: str) -> Act:
    return Act('instances', ground.case.instance.number, before, after, says)


def _of_migration(one: Migration, status: str) -> Act:
    return Act('migrations', one.number, {'instance_uuid': one.instance, 'status': one.status},
               {'status': status}, f'Migration {one.number} is on record as ended: {status}.')
