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
"""What R4, R8, R9 and R11 have in common: hosts say themselves what they have."""

from __future__ import annotations

from collections.abc import Iterator

from migsafe.audit.activity import Clock, busy
from migsafe.audit.facts import Case
from migsafe.audit.findings import Finding, Severity
from migsafe.audit.rules.words import hosts_of, shown
from migsafe.text import shell

#: States of a piece that nothing settles any more by itself in a moment.
STAYS = frozenset(('held', 'was held', 'found'))


def judge(rule: str, severity: Severity, case: Case, clock: Clock) -> Iterator[Finding]:
    """Each piece of a rule that stays, of an instance with which nobody is at work."""
    if busy(case, clock):
        return
    for piece in case.pieces:
        if piece.kind.partition('-')[0] != rule or piece.state not in STAYS:
            continue
        yield Finding(
            rule, severity,
            f'{piece.host} has {" ".join(filter(None, (piece.resource, piece.key)))}: '
            f'{piece.reason or piece.state}',
            'Its nova-compute tries again by itself where that is safe; what it waits for is in '
            f'the reason. See migsafe residue list on {shell(piece.host)}.',
            piece.instance or None, None,
            hosts_of(case, piece.host) if case.instance.host == piece.host else (
                piece.host, *hosts_of(case)),
            shown(kind=piece.kind, state=piece.state, resource=piece.resource, name=piece.key,
                  since=piece.since, transaction=piece.transaction,
                  instance_host=case.instance.host),
            key=f'{piece.host}/{piece.kind}/{piece.resource}/{piece.key}')
