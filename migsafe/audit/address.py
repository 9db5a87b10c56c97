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
"""Which disk a connection_info leads to, as far as records can tell.

The same disk is written down in many ways: Cinder keeps one flat dictionary, Nova one with
``data`` in it, os-brick adds portals that it found, and a portal that was away is missing. What
stays is the target with the number of the disk behind it, which is compared here. Portals are not.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

#: One way to name a disk: a target or port, and the number behind it.
Part = tuple[str, str]
#: What makes small ones out of what is only compared.
Compact = Callable[[Part], Any]
_BYTES, _PLAIN = (bytes, bytearray, memoryview), (str, int)


class Connection(NamedTuple):
    """What is left of a connection_info.

    :ivar kind: driver_volume_type
    :ivar host: of the connector that Nova writes beside it, where it does
    :ivar parts: ways to name the disk; empty if they cannot be told
    :ivar problem: why it cannot be read, in words
    """

    kind: str = ''
    host: str | None = None
    parts: tuple[Any, ...] = ()
    problem: str = ''


NOTHING = Connection(problem='empty')


def read(text: object, compact: Compact | None = None) -> Connection:
    """A connection_info as a database has it, in either form.

    :param text: JSON of any quality
    :param compact: replaces each part by something smaller that compares the same
    """
    found = parsed(text)
    if isinstance(found, str):
        return Connection(problem=found) if found != NOTHING.problem else NOTHING
    data = found.get('data', found)
    if not isinstance(data, dict):
        return Connection(problem='its data is no dictionary')
    kind = found.get('driver_volume_type')
    if not isinstance(kind, str) or not kind:
        # What a volume that was never connected has: Nova writes an empty one.
        return Connection(problem='no driver_volume_type' if data else 'empty',
                          host=host_of(found.get('connector')))
    parts = tuple(sorted(set(_PARTS.get(kind, _unknown)(data))))
    return Connection(sys.intern(kind), host_of(found.get('connector')),
                      tuple(map(compact, parts)) if compact else parts)


def parsed(text: object) -> Mapping[str, Any] | str:
    """A JSON object out of a column, or why it is none."""
    if isinstance(text, _BYTES):
        text = bytes(text).decode('utf-8', 'replace')
    if not isinstance(text, str) or not text or text.isspace():
        return NOTHING.problem
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return 'not JSON, or cut short'
    if isinstance(found, dict):
        return found or NOTHING.problem
    return NOTHING.problem if found is None else 'no JSON object'


def host_of(connector: object) -> str | None:
    """The host in a connector."""
    host = connector.get('host') if isinstance(connector, dict) else None
    return sys.intern(host) if isinstance(host, str) and host else None


def same(one: Connection, other: Connection) -> bool | None:
    """Whether both lead to one disk; None if that cannot be told."""
    if not one.parts or not other.parts or one.kind != other.kind:
        return None
    return not set(one.parts).isdisjoint(other.parts)


def words(connection: Connection) -> str:
    """The disk, for people."""
    if connection.problem:
        return f'a connection_info that is {connection.problem}'
    shown = ', '.join(map(_part, connection.parts[:2]))
    more = len(connection.parts) - 2
    return f'{shown or "a disk of type " + connection.kind}' + (
        f' and {more} more paths' if more > 0 else '')


def _part(part: Any) -> str:
    if not isinstance(part, tuple):
        return str(part)
    target, number = part
    return f'LUN {number} of {target}' if number else str(target)


#: The address of these is the same whichever host it was made for.
ANYWHERE = frozenset(('rbd', 'nfs', 'glusterfs', 'quobyte', 'vzstorage', 'smbfs', 'cephfs'))


def _strings(value: object) -> list[str]:
    """One or several, as several."""
    if isinstance(value, _PLAIN) and not isinstance(value, bool):
        return [str(value)]
    # NOTE: JSON has no other kind of several.
    return [str(one) for one in value if isinstance(one, _PLAIN)] if isinstance(value, list) \
        else []


def _iscsi(data: Mapping[str, Any]) -> Iterator[Part]:
    """target_iqn and target_lun, or as many of both in target_iqns and target_luns."""
    yield from zip(_strings(data.get('target_iqn')), _strings(data.get('target_lun')),
                   strict=False)
    targets, luns = _strings(data.get('target_iqns')), _strings(data.get('target_luns'))
    yield from zip(targets, luns or _strings(data.get('target_lun')) * len(targets), strict=False)


def _fibre_channel(data: Mapping[str, Any]) -> Iterator[Part]:
    """Ports of the array are written in either case, one or several, and have one LUN or each
    their own.
    """
    for ports, luns in (('target_wwn', 'target_lun'), ('target_wwns', 'target_luns')):
        names = [name.lower() for name in _strings(data.get(ports))]
        found = _strings(data.get(luns)) or _strings(data.get('target_lun'))
        yield from zip(names, found * len(names) if len(found) == 1 else found, strict=False)


def _nvmeof(data: Mapping[str, Any]) -> Iterator[Part]:
    """The namespace by its UUID or NGUID, which no host changes; else nothing is told."""
    replicas = data.get('volume_replicas')
    for replica in (data, *(replicas if isinstance(replicas, list) else ())):
        if isinstance(replica, Mapping):
            subsystem = replica.get('target_nqn') or replica.get('nqn')
            namespace = replica.get('vol_uuid') or replica.get('volume_nguid') \
                or replica.get('ns_id')
            if isinstance(subsystem, str) and namespace is not None:
                yield subsystem, str(namespace)


def _by(*keys: str) -> Callable[[Mapping[str, Any]], Iterator[Part]]:
    """A disk that has its name in some keys."""
    def parts(data: Mapping[str, Any]) -> Iterator[Part]:
        found = [data.get(key) for key in keys]
        if all(isinstance(value, str | int) for value in found):
            yield '/'.join(map(str, found)), ''
    return parts


def _unknown(_data: Mapping[str, Any]) -> Iterator[Part]:
    """A type that nothing is known of cannot be compared."""
    return iter(())


_PARTS: Mapping[str, Callable[[Mapping[str, Any]], Iterator[Part]]] = {
    'iscsi': _iscsi, 'iser': _iscsi, 'fibre_channel': _fibre_channel, 'nvmeof': _nvmeof,
    'rbd': _by('name'), 'nfs': _by('export', 'name'), 'glusterfs': _by('export', 'name'),
    'quobyte': _by('export', 'name'), 'local': _by('device_path'), 'gpfs': _by('device_path'),
}
