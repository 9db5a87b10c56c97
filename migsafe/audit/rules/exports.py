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
"""R3: a host that does not run the guest has its volume.

Before Pike the only record of it is the connector that Nova keeps in the row: Cinder has given the
volume to that host, and nothing says that it has taken it back.
"""

from __future__ import annotations

from collections.abc import Iterator

from oslo_utils import uuidutils

from migsafe.audit import address
from migsafe.audit.activity import Clock, busy, moving
from migsafe.audit.facts import ARRAY, Attachment, Case, Export, Life
from migsafe.audit.findings import Finding, Severity
from migsafe.audit.rules.words import hosts_of, shown, told, where
from migsafe.audit.whereabouts import rightful
from migsafe.text import shell

#: Its export was taken back, though the row was not marked as deleted.
DETACHED = 'detached'
#: States of an export in which it stands, and is not just being made or taken away.
STANDS = frozenset(('mapped', ARRAY))


def judge(case: Case, clock: Clock) -> Iterator[Finding]:
    """Each attachment, and each connector of an old row, for a host without the guest."""
    if not case.comparable or busy(case, clock):
        return
    yield from _of_backends(case, rightful(case), clock)
    if case.instance.life is Life.UNKNOWN:
        return
    there = rightful(case)
    for one in case.attachments:
        if (one.host is None or one.host in there or one.status == DETACHED
                or moving(case, one.volume, clock)):
            continue
        yield Finding(
            'R3', Severity.WARNING,
            f'Attachment {one.uuid} gives volume {one.volume} to host {one.host}; the instance is '
            f'on {where(case)}.',
            ('Make sure that no other Nova has the instance. '
               if case.instance.life is Life.PURGED else '')
            + f'Make sure that the guest does not run on {one.host}, that no device of the volume '
            'is left there, and that no row names the attachment. Then: cinder '
            f'attachment-delete {shell(one.uuid)}.',
            case.instance.uuid, one.volume, hosts_of(case, one.host),
            shown(attachment=one.uuid, attachment_host=one.host, attachment_status=one.status,
                  instance_host=case.instance.host, attachment_updated=one.updated,
                  newest_migration=told(case.newest())),
            # Another cloud may have it: some share one Cinder.
            certain=case.instance.life is not Life.PURGED, key=one.uuid)
    yield from _of_old_rows(case, there, clock)


def _of_old_rows(case: Case, there: frozenset[str], clock: Clock) -> Iterator[Finding]:
    for row in case.rows:
        host = row.connection.host
        if (row.attachment is not None or not host or host in there or not there
                or row.connection.kind in address.ANYWHERE
                or moving(case, row.volume, clock)):
            continue
        yield Finding(
            'R3', Severity.WARNING,
            f'Volume {row.volume} was given to host {host} as {address.words(row.connection)}, '
            f'and no record says that it was taken back; the instance is on {where(case)}.',
            f'Ask the array whether {host} still has the volume. If so, make sure that the guest '
            f'does not run there, put the row right first, remove the devices on {host}, and take '
            'the export away last.',
            case.instance.uuid, row.volume, hosts_of(case, host),
            shown(row=row.number, connector_host=host,
                  connection_info=address.words(row.connection),
                  instance_host=case.instance.host, newest_migration=told(case.newest())),
            certain=False, key=f'{row.number}/{host}')


def _of_backends(case: Case, there: frozenset[str], clock: Clock) -> Iterator[Finding]:
    """What ledger or array has for a host without the guest, and no attachment explains."""
    for one in case.exports:
        if one.host in there or one.state not in STANDS or moving(case, one.volume, clock) \
                or any(_explains(known, one) for known in case.sharing.get(one.volume, ())):
            continue
        to, lun = one.host or 'a host that it does not name', one.lun and f' as LUN {one.lun}'
        cure = (f'Make sure that nobody has the volume open on {one.host}. Then: migsafe export '
                f'revert --backend {shell(one.backend)} --from-host {shell(one.host)} '
                f'{shell(one.volume)}.' if one.host else
                f'See migsafe export verify --backend {shell(one.backend)} {shell(one.volume)}, '
                'and take it away with migsafe export revert --initiator.')
        yield Finding(
            'R3', Severity.WARNING,
            f'Backend {one.backend} has volume {one.volume} exported to {to}{lun}'
            + (f': {one.detail}' if one.detail else '') + ', and no attachment of Cinder explains '
            f'it; {_whose(case)}.', cure,
            case.instance.uuid or None, one.volume, hosts_of(case, one.host),
            shown(backend=one.backend, export_host=one.host, export_state=one.state,
                  lun=one.lun, array=one.detail, attachment=one.attachment,
                  fenced='yes' if one.fenced else '', instance_host=case.instance.host),
            # A copy that cinder-volume makes itself has no attachment.
            certain=case.views.cinder and one.state != ARRAY and uuidutils.is_uuid_like(
                one.attachment), key=f'{one.backend}/{one.host}/{one.detail}')


def _explains(known: Attachment, one: Export) -> bool:
    """Whether an attachment has it, or is another finding about the same host already."""
    return known.status != DETACHED and (
        known.uuid == one.attachment or bool(one.host) and known.host == one.host)


def _whose(case: Case) -> str:
    return f'the instance is on {where(case)}' if case.instance.uuid else 'no instance has it'
