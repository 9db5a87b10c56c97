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
"""What the row of a volume has to say, and whether two of them lead to the same disk."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from migsafe.brick.guard import policy
from migsafe.transaction.clients import Attachment, VolumeRow
from migsafe.transaction.move import Move

#: The name of the resource, whose captures are asked for.
NAME = 'volume_connection'
#: Keys of connection_info['data'] that do not say where a volume is. Who it is,
#: is noted where it is connected, and is the same on every host; its id becomes that of the volume
#: that it takes the place of, when Nova has swapped them.
VOLATILE = frozenset((
    policy.KEY, 'access_mode', 'auth_method', 'auth_password',
    'auth_username', 'cacheable', 'device_path', 'discard',
    'discovery_auth_method', 'discovery_auth_password',
    'discovery_auth_username', 'encrypted', 'enforce_multipath', 'multipath_id', 'qos_specs',
    'target_discovered', 'volume_id'))
#: Types of which Cinder gives the path, which is where the volume is.
BY_PATH = frozenset(('local', 'gpfs'))
#: More keys that do not say it, of one type: what Nova, or os-brick's connector, writes.
DERIVED = {
    'fibre_channel': frozenset(('targets', 'initiator_target_lun_map')),
    'vzstorage': frozenset(('options',)),
}


@dataclasses.dataclass(frozen=True)
class Target:
    """What a volume's row has to say under the verdict."""

    attachment_id: str | None
    connection_info: dict[str, Any] | None = dataclasses.field(repr=False)


def address(info: Mapping[str, Any] | None) -> dict[str, Any]:
    """The part of a connection_info that leads to a disk (LUN, target, ...).

    :raises TypeError: for a connection_info whose ``data`` is no dictionary
    """
    data = (info or {}).get('data') or {}
    if not isinstance(data, Mapping):
        raise TypeError('connection_info["data"] is not a dictionary')
    kind = str((info or {}).get('driver_volume_type'))
    leave = VOLATILE | DERIVED.get(kind, frozenset())
    if kind in BY_PATH:
        leave -= {'device_path'}
    found = {key: value for key, value in data.items() if key not in leave}
    return _AS_LEFT.get(kind, dict)(found)


def _nvmeof(data: dict[str, Any]) -> dict[str, Any]:
    """The form of Cinder's older drivers, and what os-brick makes of it, are one.

    See NVMeOFConnProps.__init__() in its connectors/nvmeof.py, which converts it in place.
    """
    found = dict(data)
    if 'volume_replicas' not in found and 'target_nqn' not in found and 'nqn' in found:
        found |= {'target_nqn': found.pop('nqn'), 'vol_uuid': None, 'portals': [
            [found.pop(key, None) for key in ('target_portal', 'target_port', 'transport_type')]]}
    if isinstance(found.get('portals'), (list, tuple)):
        found['portals'] = [list(portal) if isinstance(portal, tuple) else portal
                            for portal in found['portals']]
    return found


def _fibre_channel(data: dict[str, Any]) -> dict[str, Any]:
    """An address as Cinder gives it and as os-brick leaves it behind are one.

    os-brick adds what it has derived, and writes names of ports in lower case and as a list
    (_add_targets_to_connection_properties() of its Fibre Channel connector).
    """
    found = dict(data)
    for key in ('target_wwn', 'target_wwns'):
        if key in found:
            found[key] = _names(found[key])
    zones = found.get('initiator_target_map')
    if isinstance(zones, Mapping):
        found['initiator_target_map'] = {
            str(port).lower(): _names(targets) for port, targets in zones.items()}
    return found


def _names(value: Any) -> Any:
    """One name or several, as several; what is damaged stays as it is."""
    names = [value] if isinstance(value, str) else value
    if isinstance(names, (list, tuple)) and all(isinstance(name, str) for name in names):
        return [name.lower() for name in names]
    return value


#: How an address is written after a connect, by type.
_AS_LEFT: Mapping[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    'fibre_channel': _fibre_channel, 'nvmeof': _nvmeof}


def same(one: Mapping[str, Any] | None,
         other: Mapping[str, Any] | None) -> bool:
    """Whether both lead to the same disk, by the same driver; what is damaged leads nowhere."""
    kinds = {info['driver_volume_type'] for info in (one, other)
             if info and info.get('driver_volume_type')}
    try:
        return len(kinds) < 2 and address(one) == address(other)
    except TypeError:
        return False


def owner(move: Move) -> str:
    """The host whose attachments the rows have to name: the winner, or where the instance
    has gone since."""
    if move.superseded and move.instance and move.instance.host:
        return move.instance.host
    return move.winner


def target(move: Move, row: VolumeRow,
           attachments: list[Attachment]) -> Target | None:
    """What a row has to say under the verdict; None where it cannot be told.

    :param attachments: those of the instance that Cinder has now
    """
    if move.superseded:
        return _owners_target(move, row, attachments)
    captured = move.history.capture(NAME, row.volume_id)
    if row.attachment_id is None and not captured.get('attachment_id'):
        return _legacy_target(move, row, captured)
    mine = [a for a in attachments if a.volume_id == row.volume_id]
    found = _pick(move, row, captured, mine)
    if found is None:
        return None
    if move.newest and found.id == captured.get('attachment_id') \
            and captured.get('connection_info'):
        return Target(found.id, captured.get('connection_info'))
    if move.newest and found.id == row.attachment_id and move.winner == \
            move.tx.dest_host and row.connection_info and not same(
                row.connection_info, captured.get('connection_info')):
        return Target(found.id, row.connection_info)
    info = move.clients.volumes.connection_info(found.id)
    if info is not None:
        info.setdefault('serial', row.volume_id)
    return Target(found.id, info)


def _owners_target(move: Move, row: VolumeRow,
                   attachments: list[Attachment]) -> Target | None:
    """What a row has to say of an instance that has gone on, by Cinder alone."""
    if move.overtaken and not move.overtaken.over:
        return None
    theirs = [a for a in attachments if a.volume_id == row.volume_id
              and a.host == owner(move) and a.id != row.attachment_id]
    if len(theirs) != 1:
        return None
    info = move.clients.volumes.connection_info(theirs[0].id)
    if info is not None:
        info.setdefault('serial', row.volume_id)
    return Target(theirs[0].id, info)


def _pick(move: Move, row: VolumeRow, captured: dict[str, Any],
          mine: list[Attachment]) -> Attachment | None:
    """The winner's attachment of a volume, among those that exist."""
    source_id = captured.get('attachment_id')
    by_id = {a.id: a for a in mine}
    if move.winner == move.tx.source_host and source_id:
        return by_id.get(str(source_id))
    if move.winner == move.tx.dest_host:
        for attachment_id in _made(move, row.volume_id):
            if attachment_id in by_id:
                return by_id[attachment_id]
    hosts = [a for a in mine if a.host == move.winner
             and a.id != (source_id if move.winner != move.tx.source_host
                          else None)]
    if len(hosts) == 1:
        return hosts[0]
    named = by_id.get(row.attachment_id or '')
    if named and named.id != source_id and named.host in (
            None, move.winner) and move.winner == move.tx.dest_host:
        return named
    return None


def _made(move: Move, volume_id: str) -> list[str]:
    """What the destination's journal says it made for a volume."""
    if move.local == move.tx.dest_host:
        return move.history.attachments.get(volume_id, [])[::-1]
    return move.peer_attachments().get(volume_id, [])[::-1]


def _legacy_target(move: Move, row: VolumeRow,
                   captured: dict[str, Any]) -> Target | None:
    """Without attachments the row's connection_info is all there is."""
    source_info = captured.get('connection_info')
    if move.winner == move.tx.source_host:
        return Target(None, source_info) if source_info else None
    if source_info and same(row.connection_info, source_info):
        return Target(None, move.history.connections.get(row.volume_id))
    return Target(None, row.connection_info)


def with_what_was_noted(move: Move, row: VolumeRow,
                         info: dict[str, Any]) -> dict[str, Any]:
    """A connection_info with what Cinder, where it may be from, does not know.

    That is the identity of the volume, and the device that the winner, if it
    is this host, has found it as; the loser's device says nothing about that.
    """
    given = info.get('data') or {}
    if not isinstance(given, Mapping):
        return info
    data = dict(given)
    here = (move.history.connections.get(row.volume_id)
            if move.winner == move.local else None)
    for known in (here, row.connection_info):
        noted = (known or {}).get('data')
        if not isinstance(noted, Mapping):
            continue
        if noted.get(policy.KEY):
            data.setdefault(policy.KEY, noted[policy.KEY])
        if known is here and same(here, info) and noted.get('device_path'):
            data.setdefault('device_path', noted['device_path'])
    return {**info, 'data': data}
