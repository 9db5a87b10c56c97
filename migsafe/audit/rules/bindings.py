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
"""R8: a port is bound to a host that does not run its guest.

The guest has no network then; or a binding that a migration had made waits for none any more, and
the next migration to that host finds it there.
"""

from __future__ import annotations

from collections.abc import Iterator

from migsafe.audit.activity import Clock, busy
from migsafe.audit.facts import Binding, Case, Life
from migsafe.audit.findings import Finding, Severity
from migsafe.audit.rules import said
from migsafe.audit.rules.words import hosts_of, shown, told, where
from migsafe.audit.whereabouts import rightful
from migsafe.text import shell


def judge(case: Case, clock: Clock) -> Iterator[Finding]:
    """Each binding to a host where the guest may not be, and what hosts say themselves."""
    yield from said.judge('R8', Severity.WARNING, case, clock)
    there = rightful(case)
    if case.instance.life is not Life.LIVE or not there or not case.comparable \
            or busy(case, clock):
        return
    for one in case.bindings:
        if one.host not in there:
            yield _finding(case, one)


def _finding(case: Case, one: Binding) -> Finding:
    what, cure = ('is bound to', 'Make sure where the guest runs. If the record is right, bind it '
                  f'there: openstack port set --host {shell(case.instance.host)} '
                  f'{shell(one.port)}.') if one.active else (
        'has a binding that waits for a migration to', 'No migration goes on. Neutron takes it '
        f'away by DELETE /v2.0/ports/{one.port}/bindings/{one.host}, which the client has no '
        'command for.')
    return Finding(
        'R8', Severity.WARNING if one.active else Severity.MINOR,
        f'Port {one.port} {what} {one.host}; the instance is on {where(case)}.', cure,
        case.instance.uuid, None, hosts_of(case, one.host),
        shown(port=one.port, binding_host=one.host,
              binding='active' if one.active else 'inactive', instance_host=case.instance.host,
              newest_migration=told(case.newest())), key=f'{one.port}/{one.host}')
