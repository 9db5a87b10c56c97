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
"""What hosts say they have: findings that no database shows, and hosts that have said nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from migsafe.audit.findings import Finding, Severity
from migsafe.audit.report import Asked, Report, order
from migsafe.audit.rules.words import shown
from migsafe.journal.residue import Piece
from migsafe.text import shell

#: What a host can show and records cannot -> how bad it is to leave it.
SEEN: Mapping[str, Severity] = {
    'R4': Severity.WARNING, 'R8': Severity.WARNING, 'R9': Severity.CRITICAL,
    'R11': Severity.MINOR,
}
#: States of a piece that nothing settles any more by itself in a moment.
STAYS = frozenset(('held', 'was held', 'found'))


def add(report: Report, asked: Asked, pieces: Iterable[Piece], silent: Mapping[str, str]) -> None:
    """Add what hosts said to a report of records.

    :param pieces: of all that have answered
    :param silent: host -> why nothing is known of it; it is never taken for clean
    """
    found = {one.identity: one for one in map(_finding, filter(_counts, pieces))}
    report.findings += filter(asked.wants, found.values())
    report.findings.sort(key=order)
    report.unseen += [f'Host {host}, of which not all is known: {why}'
                      for host, why in sorted(silent.items())]
    report.failed = report.failed or bool(silent)


def _counts(piece: Piece) -> bool:
    """Whether it is of a rule that records do not show, and is not being settled."""
    return piece.kind.partition('-')[0] in SEEN and piece.state in STAYS


def _finding(piece: Piece) -> Finding:
    rule = piece.kind.partition('-')[0]
    return Finding(
        rule, SEEN[rule],
        f'{piece.host} has {" ".join(filter(None, (piece.resource, piece.key)))}: '
        f'{piece.reason or piece.state}',
        'Its nova-compute tries again by itself where that is safe; what it waits for is in the '
        f'reason. See migsafe residue list on {shell(piece.host)}.',
        piece.instance or None, None, (piece.host,),
        shown(kind=piece.kind, state=piece.state, resource=piece.resource, name=piece.key,
              since=piece.since, transaction=piece.transaction),
        key=f'{piece.host}/{piece.kind}/{piece.resource}/{piece.key}')
