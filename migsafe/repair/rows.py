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
"""R1 and R2: what the row of a volume has to say.

For a guest that runs, its own kernel is believed: what it has open was opened by what the row
said then. If that is what Cinder gave this host, the row becomes what Cinder gave. If it is what
the row says now, and the row is another host's, then the guest may have somebody else's disk.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from migsafe.audit import address
from migsafe.audit.facts import Attachment, Row
from migsafe.brick.guard import policy
from migsafe.repair.acts import Act
from migsafe.repair.ground import Ground
from migsafe.repair.hosts import Undecided, Words
from migsafe.repair.word import Disk, Lead, Word
from migsafe.text import shell

#: In the flat space of SAM-5 4.7.7.3 an array numbers a LUN with this bit beside the number.
FLAT, NUMBER = 0x4000, 0x3FFF
#: Of an attachment that a host was given, and has.
HELD = 'attached'
#: In this a guest that runs nowhere is meant to.
STOPPED = 'stopped'


def made_right(ground: Ground, words: Words, number: int) -> Act:
    """The change that makes a row lead to what the instance's host has.

    :raises Undecided: nothing shows what that is
    """
    row = next(one for one in ground.case.rows if one.number == number)
    if sum(one.volume == row.volume for one in ground.case.rows) > 1:
        raise Undecided(f'Volume {row.volume} is in several rows. That has to be right first.')
    host = host_of(ground, words)
    disk = _disk(words.at, row) if words.at is not None else None
    if row.attachment is None:
        # NOTE: of a row from before Nova had attachments, Cinder's own record says no address.
        return _by_kernel(ground, words, row, disk)
    own = [one for one in ground.case.attachments if one.volume == row.volume
           and one.host == host and one.status == HELD]
    if len(own) > 1:
        raise Undecided(
            f'Cinder has {len(own)} attachments of volume {row.volume} for {host}: '
            f'{", ".join(one.uuid for one in own)}. Find out which of them is the older, which '
            'the guest was started with, and delete the other.')
    if not own:
        raise Undecided(
            f'Cinder has no attachment of volume {row.volume} for {host}. With the instance '
            f'stopped, nova-manage volume_attachment refresh {shell(row.instance)} '
            f'{shell(row.volume)} CONNECTOR_FILE makes one; the file is what nova-manage '
            'volume_attachment get_connector says there.')
    _agree(own[0], row, disk)
    return _by_attachment(ground, row, own[0], disk)


def one_of(ground: Ground, words: Words, volume: str) -> list[Act]:
    """The changes after which a volume is in one row of the instance.

    The row stays that names what Cinder gave the instance's host. The others go if Cinder has
    nothing of what they name.

    :raises Undecided: that is not one row, or the guest has another disk open
    """
    case, host = ground.case, _host(ground, words)
    found = [row for row in case.rows if row.volume == volume]
    own = {one.uuid: one for one in case.attachments
           if one.volume == volume and one.host == host and one.status == HELD}
    stays = [row for row in found if row.attachment in own]
    goes = [row for row in found if case.named(row) is None]
    if len(stays) != 1 or len(goes) != len(found) - 1 or 'deleted' not in ground.row_columns:
        raise Undecided(
            f'{len(stays)} of the rows of volume {volume} name an attachment that Cinder has for '
            f'{host}. Find out which device of the guest it is, by virsh dumpxml '
            f'{shell(case.instance.uuid)}: the row with that device_name stays, and the others '
            'have to be marked as deleted.')
    disk = _disk(words.at, stays[0]) if words.at else None
    _agree(own[str(stays[0].attachment)], stays[0], disk)
    return [_gone(ground, row, stays[0]) for row in goes]


def _gone(ground: Ground, row: Row, stays: Row) -> Act:
    """A row that is marked as deleted, as Nova does it."""
    return Act('block_device_mapping', row.number, {**_before(ground, row), 'deleted': 0},
               {'deleted': row.number},
               f'Row {row.number} of volume {row.volume} is marked as deleted; row '
               f'{stays.number} has the attachment.')


def host_of(ground: Ground, words: Words) -> str:
    """The host of an instance whose guest runs there, or that is stopped and runs nowhere.

    :raises Undecided: it is neither
    """
    host, instance = _host(ground, words), ground.case.instance
    if words.at is None and instance.vm_state != STOPPED:
        raise Undecided(
            f'The guest runs nowhere, and the instance is {instance.vm_state}. Find out what has '
            'ended it, and stop the instance: openstack server stop '
            f'{shell(instance.uuid)}.')
    return host


def _host(ground: Ground, words: Words) -> str:
    host = ground.case.instance.host
    if host is None or not words.gone_but_from(host):
        raise Undecided(
            f'The guest runs on {words.at.host if words.at else "no host"}, and the instance is '
            f'on record for {host or "no host"}. That has to be right first (R5).')
    return host


def _disk(word: Word, row: Row) -> Disk:
    disk = word.disk(row.volume)
    if disk is None or not disk.leads:
        raise Undecided(
            f'{word.host} does not say which disk the guest has open for volume {row.volume}'
            + (f' ({disk.path})' if disk else '') + f'. Find out on {word.host} with virsh '
            f'dumpxml {shell(row.instance)} and lsscsi which target and LUN it is.')
    return disk


def _agree(own: Attachment, row: Row, disk: Disk | None) -> None:
    """:raises Undecided: the guest has another disk open than its host was given"""
    if not own.connection.parts:
        raise Undecided(
            f'Attachment {own.uuid} leads to {address.words(own.connection)}, which cannot be '
            'compared. Find out with Cinder what the array has for that host.')
    if disk is not None and not _same(disk.leads, own.connection.parts):
        what = (', which is what the row says: it may be the disk of somebody else. Stop it at '
                'once if it is' if _same(disk.leads, row.connection.parts) else '')
        raise Undecided(
            f'The guest has {_leads(disk)} open for volume {row.volume}{what}. Cinder gave its '
            f'host {address.words(own.connection)}. Compare the serial numbers of both disks with '
            'the array before anything is written.')


def _by_attachment(ground: Ground, row: Row, own: Attachment, disk: Disk | None) -> Act:
    """The row as Nova makes it of an attachment: _translate_attachment_ref() of
    nova/volume/cinder.py."""
    data = address.parsed(ground.given.get(own.uuid))
    if isinstance(data, str):
        raise Undecided(f'The connection_info of attachment {own.uuid} is {data}.')
    data = {name: value for name, value in data.items() if name not in (
        'attachment_id', 'driver_volume_type')}
    if disk is not None and disk.path:
        data['device_path'] = disk.path
    old = _old(ground, row)
    if noted := _noted(old, row.volume):
        data.setdefault(policy.KEY, noted)
    info = {**old, 'driver_volume_type': own.connection.kind, 'data': data, 'serial': row.volume}
    info.pop('connector', None)
    leads = address.same(row.connection, own.connection)
    return _act(ground, row, own.uuid, ground.rows[row.number] if leads else json.dumps(info),
                f'The row of volume {row.volume} becomes that of attachment {own.uuid}: '
                f'{address.words(own.connection)}.')


def _by_kernel(ground: Ground, words: Words, row: Row, disk: Disk | None) -> Act:
    """A row without an attachment, as before Pike, by what the guest has had open all along."""
    if disk is None or words.at is None:
        raise Undecided(
            f'Nothing has volume {row.volume} open, and no record says where it is for '
            f'{ground.case.instance.host}. Have Cinder give the volume to that host, and write '
            'the answer, with the connector of that host, into the row.')
    if _same(disk.leads, row.connection.parts):
        raise Undecided(
            f'The guest has {_leads(disk)} open for volume {row.volume}, which is what the row '
            f'says and {row.connection.host} was given: it may be the disk of somebody else. Stop '
            'it at once if it is, and ask the array which LUN its host was given.')
    info = _old(ground, row)
    data, luns = info.get('data'), {lun for _target, lun in disk.leads}
    targets = {target for target, _lun in map(_flat, disk.leads)}
    if row.connection.kind != 'iscsi' or not isinstance(data, dict) or len(luns) != 1 or \
            targets != {target for target, _lun in map(_flat, row.connection.parts)} or \
            not words.at.connector:
        raise Undecided(
            f'The guest has {_leads(disk)} open for volume {row.volume}, and no record has the '
            'rest of that connection. Have Cinder give the volume to its host, and write the '
            'answer into the row.')
    lun = int(luns.pop())
    data = {**data, 'target_lun': lun, 'device_path': disk.path}
    if 'target_luns' in data:
        data['target_luns'] = [lun] * len(data['target_luns'])
    info = {**info, 'data': data, 'connector': dict(words.at.connector)}
    return _act(ground, row, None, json.dumps(info),
                f'The row of volume {row.volume} becomes what the guest on {words.at.host} has '
                f'open: {_leads(disk)}.')


def _act(ground: Ground, row: Row, attachment: str | None, info: str | None, says: str) -> Act:
    before = _before(ground, row)
    after = {'attachment_id': attachment, 'connection_info': info}
    return Act('block_device_mapping', row.number, before,
               {name: value for name, value in after.items()
                if name in before and value != before[name]}, says)


def _before(ground: Ground, row: Row) -> dict[str, Any]:
    """A row as it was judged."""
    before = {'instance_uuid': row.instance, 'volume_id': row.volume,
              'attachment_id': row.attachment, 'connection_info': ground.rows[row.number]}
    if 'attachment_id' not in ground.row_columns:
        del before['attachment_id']
    return before


def _noted(old: Mapping[str, Any], volume: str) -> Any:
    """Which disk the volume is, as the row has it, which Cinder mostly does not know: the number
    that it gives now may lead to another one. Not of a row that is another volume's as a whole.
    """
    data = old.get('data')
    if not isinstance(data, Mapping):
        return None
    whose = data.get('volume_id') or old.get('serial')
    return data.get(policy.KEY) if whose in (None, volume) else None


def _old(ground: Ground, row: Row) -> dict[str, Any]:
    found = address.parsed(ground.rows[row.number])
    return {} if isinstance(found, str) else dict(found)


def _same(leads: frozenset[Lead], parts: tuple[Lead, ...]) -> bool:
    """Whether the kernel's paths lead to what is written; an array shows more ports than that."""
    kernel, written = set(map(_flat, leads)), set(map(_flat, parts))
    return bool(kernel & written) and {lun for _target, lun in kernel} <= {
        lun for _target, lun in written}


def _flat(lead: Lead) -> Lead:
    """A lead as both the kernel and an array write it."""
    target, lun = lead
    number = int(lun) if lun.isdigit() else None
    if number is not None and number & ~NUMBER == FLAT:
        number &= NUMBER
    return target.lower().removeprefix('0x'), lun if number is None else str(number)


def _leads(disk: Disk) -> str:
    target, lun = min(disk.leads)
    return f'LUN {lun} of {target}' if lun else target
