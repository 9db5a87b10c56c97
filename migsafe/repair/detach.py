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
"""R3, and R10 with it: an attachment of Cinder for a host that has nothing of the volume.

Deleting it ends the export to that host. That harms nobody if the host itself has shown that it
has no such guest and no disk that leads there, if everybody else's connection stays on record, and
if the array has no other connection of the volume with that host. Cinder asks Nova besides, and
refuses where Nova's row names the attachment (CVE-2023-2088).
"""

from __future__ import annotations

from collections.abc import Iterable

from migsafe.audit import address
from migsafe.audit.facts import Attachment, Case, Row
from migsafe.repair import requests
from migsafe.repair.acts import State
from migsafe.repair.ground import Ground
from migsafe.repair.hosts import SCSI, Undecided, Words
from migsafe.repair.requests import GONE, OK, Call, Request
from migsafe.repair.rows import HELD
from migsafe.text import shell

KIND, SERVICE = 'attachment', 'block-storage'
#: QEMU itself has an image of this type open, and no kernel; Cinder takes nothing away then.
IMAGE = 'rbd'


def made(ground: Ground, words: Words, case: Case, uuid: str, call: Call | None) -> Request:
    """What Cinder is asked for.

    :param case: as it is when all rows are made right
    :raises Undecided: the host may have something of it, or somebody else loses something
    """
    one = next(known for known in case.attachments if known.uuid == uuid)
    host = str(one.host)
    if not words.gone_but_from(case.instance.host) or not words.by_host[host].gone:
        raise Undecided('The guest is not on the host that has it on record. That has to be right '
                        'first (R5).')
    _others(ground, case, one)
    _nothing_there(words, one, host)
    requests.asked(call, 'Cinder')
    return Request(
        KIND, uuid, {'volume_id': one.volume, 'instance': one.instance, 'host': host,
                     'status': one.status}, {},
        f'Cinder deletes attachment {uuid} of volume {one.volume} for {host}, which has no such '
        'guest and no disk of it.')


def _others(ground: Ground, case: Case, one: Attachment) -> None:
    """:raises Undecided: what somebody else has of the volume may go with it"""
    known = {other.uuid: other for other in ground.sharing.get(one.volume, ())
             if other.uuid != one.uuid}
    for other in known.values():
        if other.host == one.host:
            raise Undecided(
                f'Attachment {other.uuid} gives volume {one.volume} to {one.host} as well, and '
                'the array may have one export for both. Find out which of them is in use.')
    for row in _rows(ground, case, one.volume):
        if row.attachment == one.uuid:
            raise Undecided(f'The row of instance {row.instance} names it. That has to be right '
                            'first (R2).')
        named = known.get(str(row.attachment))
        if named is None or named.status != HELD:
            raise Undecided(
                f'Row {row.number} of instance {row.instance} has the volume without an '
                'attachment that Cinder has as attached. Without one, what it uses may be taken '
                'away with this. That has to be right first (R2).')


def _rows(ground: Ground, case: Case, volume: str) -> Iterable[Row]:
    yield from (row for row in case.rows if row.volume == volume)
    yield from (row for row in ground.users if row.volume == volume
                and row.instance != case.instance.uuid)


def _nothing_there(words: Words, one: Attachment, host: str) -> None:
    """:raises Undecided: the host has a disk of it, or has not said that it has none"""
    if one.connection.kind == IMAGE:
        return
    if one.connection.kind not in SCSI or not one.connection.parts or not all(
            lun.isdigit() for _target, lun in one.connection.parts):
        raise Undecided(
            f'It leads to {address.words(one.connection)}, which {host} cannot be asked for. Find '
            'out there that nothing of the volume is left. ' + _by_hand(one))
    devices = words.by_host[host].devices
    if devices is None:
        raise Undecided(
            f'{host} has not said whether it has a disk of {address.words(one.connection)}. '
            'Upgrade migsafe there and restart nova-compute, or find out with multipath -ll and '
            'lsscsi on that host. ' + _by_hand(one))
    if devices:
        raise Undecided(
            f'{host} has {", ".join(devices)}, which leads to {address.words(one.connection)} or '
            'may lead there. Take it away first: see migsafe residue list and lsscsi on that '
            'host.')


def _by_hand(one: Attachment) -> str:
    return f'Then: cinder attachment-delete {shell(one.uuid)}.'


def state(request: Request, call: Call) -> State:
    """Whether Cinder has it still."""
    found = requests.answer(call, SERVICE, f'/attachments/{request.key}')
    if found is None:
        return State.AFTER
    inner = found.get('attachment')
    return State.BEFORE if isinstance(inner, dict) and all(
        inner.get(name) == request.before[name] for name in ('volume_id', 'instance')) \
        else State.OTHER


def send(request: Request, call: Call) -> tuple[int, str]:
    """Ask for it; Cinder has ended the export when it answers."""
    status, body = call(SERVICE, 'DELETE', f'/attachments/{request.key}', None)
    return status, '' if status in OK or status == GONE else requests.reason(body)
