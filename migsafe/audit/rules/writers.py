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
"""R10: two hosts can write a volume that is not made for it."""

from __future__ import annotations

from collections.abc import Iterator

from migsafe.audit import address
from migsafe.audit.activity import Clock, busy, moving
from migsafe.audit.facts import Case, Life, Row
from migsafe.audit.findings import Finding, Severity
from migsafe.audit.rules.words import hosts_of, shown, where
from migsafe.audit.whereabouts import rightful

#: With these an attachment of Cinder lets nobody write.
GONE = frozenset(('detached', 'reserved', 'deleted', 'error_attaching'))


def judge(case: Case, clock: Clock) -> Iterator[Finding]:
    """Each volume of the instance that more than one host has."""
    if case.instance.life is not Life.LIVE or not case.comparable or busy(case, clock):
        return
    for volume in dict.fromkeys(row.volume for row in case.rows):
        known = case.volumes.get(volume)
        if (known and known.multiattach) or moving(case, volume, clock):
            continue
        attached, exported = _by_attachment(case, volume), _by_export(case, volume)
        told = _by_row(case, [row for row in case.rows if row.volume == volume])
        hosts = attached | exported | told
        # A resize that waits for its owner has both of its hosts.
        if len(hosts) < 2 or hosts <= rightful(case):
            continue
        yield Finding(
            'R10', Severity.CRITICAL,
            f'Volume {volume} can be written by {" and ".join(sorted(hosts))}; the instance is on '
            f'{where(case)}.',
            'Start no second guest on it. Find out which of these hosts has a device of the '
            'volume, and who uses it. Take it away from those that do not run the guest: the '
            'device first, then the export.',
            case.instance.uuid, volume, hosts_of(case, *sorted(hosts)),
            shown(by_attachments=', '.join(sorted(attached)),
                  by_exports=', '.join(sorted(exported)), by_rows=', '.join(sorted(told)),
                  instance_host=case.instance.host), certain=len(attached | exported) > 1)


def _by_attachment(case: Case, volume: str) -> frozenset[str]:
    return frozenset(one.host for one in case.sharing.get(volume, ())
                     if one.host and one.instance and one.writes
                     and one.status not in GONE)


def _by_row(case: Case, rows: list[Row]) -> frozenset[str]:
    """By a row without an attachment: its connector, and the host whose guest runs with it."""
    found = {row.connection.host for row in rows if row.attachment is None
             and row.connection.host and row.connection.kind not in address.ANYWHERE}
    if found and case.instance.vm_state == 'active' and case.instance.host:
        found.add(case.instance.host)
    return frozenset(found)


def _by_export(case: Case, volume: str) -> frozenset[str]:
    """By the ledger of the backend; a host that was fenced writes nothing."""
    return frozenset(one.host for one in case.exports
                     if one.volume == volume and one.host and one.state == 'mapped'
                     and not one.fenced)
