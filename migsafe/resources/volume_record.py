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
"""Whether the row of a volume leads to that volume (incident 000).

A number of a LUN says nothing of who is behind it. The identity that was noted does, and the disk
is asked for it when it comes. A row without one, of a guest from before migsafe was there or
written by hand, has nothing that the disk could be compared with: then Cinder is, which made the
connection and keeps it beside the attachment.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from migsafe.audit import address
from migsafe.brick import errors
from migsafe.brick.guard import policy
from migsafe.brick.identity import designators
from migsafe.resources import volume_target
from migsafe.transaction.clients import ConnectionInfo


@dataclasses.dataclass(frozen=True)
class Word:
    """What is to be thought of a row.

    :param why: why nothing may be done by it; '' if it may
    :param certain: whether it is wrong; else it is only not known to be right
    :param gone: whether that is since its attachment is
    :param identity: what Cinder has noted as the volume's identity, for a row that has none
    """

    why: str = ''
    certain: bool = False
    gone: bool = False
    identity: tuple[str, ...] = ()


RIGHT = Word()


def judge(instance_uuid: str, volume_id: str, row: ConnectionInfo,
          cinders: ConnectionInfo | None) -> Word:
    """What a row says, against what Cinder has of the attachment that it names.

    ==============  ===============  ==============================================================
    row's identity  the targets      so
    ==============  ===============  ==============================================================
    noted           the same         the disk is asked when it comes
    noted           elsewhere        the same, unless the row is another volume's, by an id in it
                                     or by what Cinder has noted: then wrong
    none            the same         right, and what Cinder has noted is what the disk is asked for
    none            elsewhere        wrong
    none            cannot be told   not known
    ==============  ===============  ==============================================================

    An attachment of another instance is wrong whatever else is said, and so is not known one of
    another volume where no identity is.

    :param cinders: as Nova has translated it; None where Cinder has no such attachment
    """
    if cinders is not None and cinders.get('instance') not in (None, instance_uuid):
        return Word(f'that is of instance {cinders["instance"]}', certain=True)
    elsewhere = _elsewhere(row, cinders)
    if noted(row):
        wrong = elsewhere and _another(volume_id, row, cinders)
        return Word(_leads(row, cinders), certain=True) if wrong else RIGHT
    if cinders is None:
        return Word('Cinder has no such attachment any more', gone=True)
    if elsewhere:
        return Word(_leads(row, cinders), certain=True)
    return _unproven(volume_id, row, cinders)


def _unproven(volume_id: str, row: ConnectionInfo, cinders: ConnectionInfo) -> Word:
    """The same of a row without an identity that does not lead elsewhere."""
    if not cinders.get('driver_volume_type'):
        return Word('that is connected to no host')
    if cinders.get('volume_id') not in (None, volume_id):
        return Word(f'that is of volume {cinders["volume_id"]}')
    if _elsewhere(row, cinders) is None and not volume_target.same(row, cinders):
        return Word('whether both lead to one disk cannot be told: ' + _leads(row, cinders))
    return Word(identity=tuple(sorted(_identity(cinders) or ())))


def noted(info: ConnectionInfo | None) -> bool:
    """Whether an identity has been noted in a connection_info."""
    return bool(_data(info).get(policy.KEY))


def _data(info: ConnectionInfo | None) -> Mapping[str, Any]:
    data = (info or {}).get('data')
    return data if isinstance(data, Mapping) else {}


def _identity(info: ConnectionInfo | None) -> designators.Identity | None:
    """Empty if there is none; None if it is damaged."""
    try:
        return designators.read(_data(info).get(policy.KEY) or ())
    except errors.BadPage:
        return None


def _read(info: ConnectionInfo | None) -> address.Connection:
    return address.read(json.dumps(info, default=str))


def _elsewhere(row: ConnectionInfo, cinders: ConnectionInfo | None) -> bool | None:
    """Whether the two lead to two disks; None if that cannot be told."""
    one, other = _read(row), _read(cinders)
    same = address.same(one, other)
    if same is None and one.kind and other.kind and one.kind != other.kind:
        return True
    return None if same is None else not same


def _another(volume_id: str, row: ConnectionInfo, cinders: ConnectionInfo | None) -> bool:
    """Whether a row that has an identity names another volume than it should.

    One alone is no proof: Cinder's migration of a volume changes its id, and an array that has
    failed over its identity.
    """
    named = {_data(row).get('volume_id'), row.get('volume_id'), row.get('serial')}
    mine, theirs = _identity(row), _identity(cinders)
    return bool(named - {None, volume_id}
                or mine and theirs and designators.agree(mine, theirs) is False)


def _leads(row: ConnectionInfo, cinders: ConnectionInfo | None) -> str:
    return (f'the row leads to {address.words(_read(row))}, and that to '
            f'{address.words(_read(cinders))}')
