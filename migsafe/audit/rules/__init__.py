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
"""The rules: each is a function of one case and the clock, in a module of its own.

A rule is given everything that names an instance and returns what is wrong with it. It reads
nothing itself, so that one table of cases tests it whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from migsafe.audit.activity import Clock
from migsafe.audit.facts import Case
from migsafe.audit.findings import Finding
from migsafe.audit.rules import (
    bindings,
    connection,
    devices,
    directories,
    ended_nowhere,
    exports,
    host,
    identities,
    named_attachment,
    placement,
    stuck,
    writers,
)

Rule = Callable[[Case, Clock], Iterable[Finding]]

RULES: Mapping[str, Rule] = {
    'R1': connection.judge,
    'R2': named_attachment.judge,
    'R3': exports.judge,
    'R4': devices.judge,
    'R5': host.judge,
    'R6': stuck.judge,
    'R7': placement.judge,
    'R8': bindings.judge,
    'R9': identities.judge,
    'R10': writers.judge,
    'R11': directories.judge,
    'R12': ended_nowhere.judge,
}

#: Rule -> views that it goes by, where it has them; Nova is one of all.
USES: Mapping[str, frozenset[str]] = {
    'R1': frozenset(('Nova', 'Cinder')), 'R2': frozenset(('Nova', 'Cinder')),
    'R3': frozenset(('Nova', 'Cinder', 'exports')), 'R4': frozenset(('Nova', 'hosts')),
    'R5': frozenset(('Nova', 'hosts')), 'R6': frozenset(('Nova',)),
    'R7': frozenset(('Nova', 'Placement')), 'R8': frozenset(('Nova', 'Neutron', 'hosts')),
    'R9': frozenset(('Nova', 'hosts')), 'R10': frozenset(('Nova', 'Cinder', 'exports')),
    'R11': frozenset(('Nova', 'hosts')), 'R12': frozenset(('Nova',)),
}

#: Rule -> views of which it needs one at least: without any, it sees a part or nothing.
NEEDS: Mapping[str, frozenset[str]] = {
    **dict.fromkeys(('R1', 'R2', 'R3', 'R10'), frozenset(('Cinder',))),
    **dict.fromkeys(('R4', 'R9', 'R11'), frozenset(('hosts',))),
    'R7': frozenset(('Placement',)), 'R8': frozenset(('Neutron', 'hosts')),
}

TITLES: Mapping[str, str] = {
    'R1': "BDM connection_info names the wrong host's LUN",
    'R2': 'BDM attachment_id is wrong or gone',
    'R3': 'export or attachment for a host that does not run the guest',
    'R4': 'device left on a host',
    'R5': 'instance.host is not where the guest runs',
    'R6': 'instance stuck in migrating, or in ERROR though the guest is well',
    'R7': 'Placement allocation of the wrong host',
    'R8': 'port binding of the wrong host',
    'R9': "device whose identity is not its volume's",
    'R10': 'volume that two hosts can write',
    'R11': 'instance directory left on a host',
    'R12': 'migration record that never ended',
}
