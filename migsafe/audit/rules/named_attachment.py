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
"""R2: a row names an attachment that Cinder does not have, or that is not its own.

A hard reboot asks Cinder for what the attachment leads to, and deletes every attachment of the
instance that no row names: also that of the running guest.
"""

from __future__ import annotations

import collections
from collections.abc import Iterator

from migsafe.audit.activity import Clock, busy, moving, waits_for_owner
from migsafe.audit.facts import GONE, Attachment, Case, Life, Row
from migsafe.audit.findings import Finding, Severity
from migsafe.audit.rules.exports import DETACHED
from migsafe.audit.rules.words import hosts_of, shown, where
from migsafe.audit.whereabouts import doubtful, rightful
from migsafe.text import shell

#: In these an instance that has a host is connected to its volumes.
CONNECTED = frozenset(('active', 'paused', 'suspended', 'rescued', 'stopped', 'shelved'))

#: In this one it has no host and will be connected again by its rows: unshelve.
OFFLOADED = 'shelved_offloaded'


def judge(case: Case, clock: Clock) -> Iterator[Finding]:
    """Each row with another attachment, and each attachment on the right host without a row."""
    if not case.views.cinder or busy(case, clock):
        return
    if case.instance.life in GONE:
        yield from _of_the_deleted(case, clock)
    if case.instance.life is not Life.LIVE:
        return
    rows = [row for row in case.rows if not moving(case, row.volume, clock)]
    for row in rows:
        if row.attachment is not None and (why := _wrong(case, row)):
            yield why
    yield from _twice(case, rows)
    yield from _left(case, clock)


def _of_the_deleted(case: Case, clock: Clock) -> Iterator[Finding]:
    """Attachments for no host, which R3 does not tell: the volume is reserved for nobody."""
    for one in case.attachments:
        if one.host is None and one.status != DETACHED and not moving(case, one.volume, clock):
            yield Finding(
                'R2', Severity.MINOR,
                f'Attachment {one.uuid} of volume {one.volume} is {one.status}, and for no host; '
                f'the instance is on {where(case)}.',
                'Nobody else can attach the volume before it is gone. '
                + ('Make sure that no other Nova has the instance. '
                   if case.instance.life is Life.PURGED else '')
                + f'Then: cinder attachment-delete {shell(one.uuid)}.',
                case.instance.uuid, one.volume, (),
                shown(attachment=one.uuid, attachment_status=one.status,
                      attachment_updated=one.updated),
                certain=case.instance.life is not Life.PURGED, key=one.uuid)


def _wrong(case: Case, row: Row) -> Finding | None:
    """What is wrong with the attachment of a row."""
    instance, named, there = case.instance, case.named(row), rightful(case)
    if named is None and instance.host is None and instance.vm_state != OFFLOADED:
        return _of_failed_build(case, row)
    if named is None:
        return _finding(case, row, None, Severity.CRITICAL, 'which Cinder does not have')
    if named.volume != row.volume:
        return _finding(case, row, named, Severity.CRITICAL,
                        f'which is of volume {named.volume}')
    if named.instance != instance.uuid:
        return _finding(case, row, named, Severity.CRITICAL,
                        f'which is of instance {named.instance}')
    if not case.comparable or not there:
        return None
    if named.host is not None and named.host not in there:
        return _finding(case, row, named, Severity.CRITICAL, f'which is for host {named.host}')
    if named.host is None and case.views.records and instance.vm_state in CONNECTED:
        return _finding(case, row, named, Severity.WARNING, 'which was never connected')
    return None


def _of_failed_build(case: Case, row: Row) -> Finding:
    """A build that fails deletes the attachments, keeps the rows and takes the host away.

    _shutdown_instance() and _nil_out_instance_obj_host_and_node() of nova/compute/manager.py; a
    build on another host makes attachments anew.
    """
    return Finding(
        'R2', Severity.MINOR,
        f'The row of volume {row.volume} names attachment {row.attachment}, which Cinder does not '
        'have; the instance is on no host, as after a build that failed.',
        'If it was never built, its owner may delete it, which takes the row away: openstack '
        f'server show {shell(case.instance.uuid)} has the fault.',
        case.instance.uuid, row.volume, (),
        shown(row=row.number, attachment=row.attachment, attachment_status='not there',
              vm_state=case.instance.vm_state, row_updated=row.updated),
        certain=False, key=str(row.number))


def _finding(case: Case, row: Row, named: Attachment | None, severity: Severity,
             why: str) -> Finding:
    own = [one.uuid for one in case.attachments if one.volume == row.volume
           and one.host is not None and one.host == case.instance.host
           and one.uuid != row.attachment]
    cure = (f'Cinder has {", ".join(own)} for that host: the row has to name it.' if own else
            'Cinder has none for that host, which has to be made: with the instance stopped, '
            f'nova-manage volume_attachment refresh {shell(case.instance.uuid)} '
            f'{shell(row.volume)} CONNECTOR_FILE.')
    return Finding(
        'R2', severity,
        f'The row of volume {row.volume} names attachment {row.attachment}, {why}; the instance '
        f'is on {where(case)}.',
        f'Make sure that the guest runs on {where(case)}. Do not hard reboot it before. {cure}',
        case.instance.uuid, row.volume, hosts_of(case, named.host if named else None),
        shown(row=row.number, attachment=row.attachment,
              attachment_host=named.host if named else None,
              attachment_status=named.status if named else 'not there',
              attachments_of_its_host=', '.join(own), instance_host=case.instance.host,
              row_updated=row.updated), certain=doubtful(case) is None, key=str(row.number))


def _twice(case: Case, rows: list[Row]) -> Iterator[Finding]:
    """A volume that is in two rows of one instance."""
    of_volume: dict[str, list[Row]] = collections.defaultdict(list)
    for row in rows:
        of_volume[row.volume].append(row)
    for volume, found in of_volume.items():
        if len(found) > 1:
            numbers = ', '.join(str(row.number) for row in found)
            yield Finding(
                'R2', Severity.WARNING,
                f'Volume {volume} is in {len(found)} rows of the instance: {numbers}.',
                'Find out which device of the guest it is. The row with that device_name and with '
                'the attachment of its host stays; the other has to be marked as deleted.',
                case.instance.uuid, volume, hosts_of(case),
                shown(rows=numbers, attachments=', '.join(
                    str(row.attachment) for row in found)), certain=False, key='twice')


def _left(case: Case, clock: Clock) -> Iterator[Finding]:
    """Attachments of the instance on its own host that no row names.

    Where a row has no attachment at all it is from before Nova kept them, and that of Cinder
    belongs to it. Where a row names a wrong one, this may be the one that it has to name.
    """
    if not case.comparable:
        return
    named = {row.attachment for row in case.rows}
    # A resize that waits for its owner may keep what its source had.
    there = {case.instance.host} if any(
        waits_for_owner(case.instance, one) for one in case.migrations) else rightful(case)
    wanting = {row.volume for row in case.rows if row.attachment is None or _wrong(case, row)}
    for one in case.attachments:
        if (one.uuid in named or one.volume in wanting or one.host is None
                or one.host not in there or moving(case, one.volume, clock)):
            continue
        yield Finding(
            'R2', Severity.MINOR,
            f'Attachment {one.uuid} of volume {one.volume} is for host {one.host}, which has the '
            'instance, but no row names it.',
            'The array may have one export for it and for the attachment that is named: delete it '
            f'only while the volume is not in use there: cinder attachment-delete '
            f'{shell(one.uuid)}.',
            case.instance.uuid, one.volume, hosts_of(case, one.host),
            shown(attachment=one.uuid, attachment_host=one.host, attachment_status=one.status,
                  attachment_updated=one.updated), certain=False, key=one.uuid)
