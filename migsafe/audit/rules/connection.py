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
"""R1: a row of a volume leads to what another host was given.

The next hard reboot, start or rescue connects what the row says. Where the array numbers its LUNs
for each host anew, that is somebody else's disk.
"""

from __future__ import annotations

from collections.abc import Iterator

from migsafe.audit import address
from migsafe.audit.activity import Clock, busy, moving
from migsafe.audit.facts import Attachment, Case, Row
from migsafe.audit.findings import Finding, Severity
from migsafe.audit.rules.words import hosts_of, shown, where
from migsafe.audit.whereabouts import doubtful, rightful
from migsafe.text import shell


def judge(case: Case, clock: Clock) -> Iterator[Finding]:
    """Each row whose target is not that of a host where the guest may be."""
    there = rightful(case)
    if not there or not case.comparable or busy(case, clock):
        return
    for row in case.rows:
        if row.connection.kind in address.ANYWHERE or moving(case, row.volume, clock):
            continue
        own = [one for one in case.attachments if one.volume == row.volume and one.host in there
               and one.connection.parts]
        if any(address.same(row.connection, one.connection) for one in own):
            continue
        told = row.connection.host
        if told and told not in there:
            yield _finding(case, row, told, own)
        elif different := [one for one in own
                           if address.same(row.connection, one.connection) is False]:
            yield _finding(case, row, _whose(case, row) or '', different)
        elif not told and (host := _foreign(case, row, there)):
            yield _finding(case, row, host, own)


def _foreign(case: Case, row: Row, there: frozenset[str]) -> str | None:
    """Another host, if the row's own attachment is for it and leads where the row leads."""
    named = case.named(row)
    if named is None or named.host is None or named.host in there:
        return None
    return named.host if address.same(row.connection, named.connection) is not False else None


def _whose(case: Case, row: Row) -> str | None:
    """The host that was given what the row names, by any attachment of the volume."""
    return next((one.host for one in case.sharing.get(row.volume, ())
                 if one.host and address.same(row.connection, one.connection)), None)


def _finding(case: Case, row: Row, host: str, own: list[Attachment]) -> Finding:
    instance, volume = case.instance.uuid, row.volume
    right = address.words(own[0].connection) if own else 'not in these records'
    return Finding(
        'R1', Severity.CRITICAL,
        f'The row of volume {volume} names {address.words(row.connection)}, which '
        + (f'was given to host {host}' if host else 'is not what its host was given')
        + f'; the instance is on {where(case)}.',
        f'Make sure that the guest runs on {where(case)}. While it runs, its device is right; a '
        'hard reboot or a start connects whatever disk has that number there, so do neither '
        'before the row is right. ' + _cure(case, row),
        instance, volume, hosts_of(case, host),
        shown(row=row.number, connection_info=address.words(row.connection),
              connector_host=row.connection.host, instance_host=case.instance.host,
              attachment=row.attachment, right_address=right, row_updated=row.updated),
        certain=(bool(own) or bool(row.connection.host)) and doubtful(case) is None,
        key=str(row.number))


def _cure(case: Case, row: Row) -> str:
    """How the row is put right, which Nova has a command for since it has attachments."""
    if row.attachment is None:
        return ('Before Yoga, and for a row without an attachment, Nova has no command for it: '
                'have Cinder give the volume to that host, and write its answer, with the '
                'connector of that host, into connection_info.')
    return ('Where Cinder has one attachment for that host, "migsafe repair" writes what that '
            'says into the row, while the guest runs on its right disk or with the instance '
            'stopped. Do not use nova-manage volume_attachment refresh '
            f'{shell(case.instance.uuid)} {shell(row.volume)} for it: it disconnects what the row '
            'leads to first.')
