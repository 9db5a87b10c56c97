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
"""R7: a compute node is charged for an instance that it does not have."""

from __future__ import annotations

from collections.abc import Iterator

from migsafe.audit.activity import ENDED, Clock, busy
from migsafe.audit.facts import Allocation, Case, Life, Migration
from migsafe.audit.findings import Finding, Severity
from migsafe.audit.rules.words import hosts_of, shown, told, where
from migsafe.audit.whereabouts import rightful
from migsafe.text import shell

#: An evacuated host keeps what it had until its nova-compute is back and has cleaned up.
EVACUATED = 'done'


def judge(case: Case, clock: Clock) -> Iterator[Finding]:
    """Allocations of the instance on other hosts, and those that an ended migration holds."""
    instance = case.instance
    if not case.views.placement or instance.life is not Life.LIVE or busy(case, clock):
        return
    there = rightful(case) | {one.source for one in case.migrations if one.status == EVACUATED}
    ended = {one.uuid: one for one in case.migrations if one.uuid and one.status in ENDED}
    told_of: set[tuple[str, str]] = set()
    for one in case.allocations:
        if (one.consumer, one.provider) in told_of:
            continue
        told_of.add((one.consumer, one.provider))
        if one.consumer in ended:
            yield _finding(case, one, ended[one.consumer])
        elif (one.consumer == instance.uuid and one.host and there and one.host not in there
              # NOTE: another nova-compute of Ironic may have the node now.
              and instance.node not in one.node):
            yield _finding(case, one, None)


def _finding(case: Case, one: Allocation, migration: Migration | None) -> Finding:
    who = f'migration {told(migration)}, which has ended,' if migration else 'the instance'
    return Finding(
        'R7', Severity.WARNING,
        f'Placement charges {one.provider} for {who}; the instance is on {where(case)}.',
        'It only keeps others off that node. Make sure where the guest runs; then see openstack '
        f'resource provider allocation show {shell(one.consumer)}, and '
        + (f'delete it: openstack resource provider allocation delete {shell(one.consumer)}.'
           if migration else 'set it again without that provider.'),
        case.instance.uuid, None, hosts_of(case, one.host),
        shown(consumer=one.consumer, provider=one.provider, provider_host=one.host,
              instance_host=case.instance.host, newest_migration=told(case.newest())),
        key=f'{one.consumer}/{one.provider}')
