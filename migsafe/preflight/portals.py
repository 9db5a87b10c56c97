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
"""Which portals a connection_info names, and whether this host reaches them."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Mapping
from typing import Any

from migsafe.brick.kernel import bounded
from migsafe.preflight import path
from migsafe.preflight.path import Reached
from migsafe.preflight.report import MAX_ITEMS
from migsafe.preflight.surroundings import Way

#: Seconds for all portals of a guest together.
WHOLE = 3.0
#: More different portals than this are not tried.
MOST = 64
#: Numbers of questions, so that what one guest asks is never in the way of another.
_NUMBER = itertools.count()


def named(info: Mapping[str, Any]) -> list[tuple[str, int]]:
    """Address and port of each portal of a connection_info, as os-brick's connectors read it.

    :raises ValueError, TypeError: it is not what Cinder gives
    """
    data = info.get('data') or {}
    kind = info.get('driver_volume_type')
    if kind in ('iscsi', 'iser'):
        return [_split(one) for one in data.get('target_portals') or [data['target_portal']]]
    if kind == 'nvmeof':
        return [(str(address), int(port)) for address, port, transport in _nvme(data)
                if str(transport).lower() == 'tcp']
    if kind == 'rbd':
        return [(str(host).strip('[]'), int(port))
                for host, port in zip(data['hosts'], data['ports'], strict=True)]
    return []


def _nvme(data: Mapping[str, Any]) -> Any:
    return data.get('portals') or [
        (data['target_portal'], data['target_port'], data.get('transport_type', ''))]


def _protocol(info: Mapping[str, Any]) -> str:
    """driver_volume_type, with the transports of an NVMe-oF that has none of TCP.

    :raises KeyError, ValueError, TypeError: it is not what Cinder gives
    """
    kind = str(info.get('driver_volume_type') or '')
    if kind != 'nvmeof':
        return kind
    transports = {str(transport) for _address, _port, transport in _nvme(info.get('data') or {})}
    return kind if {'', 'tcp'} & set(map(str.lower, transports)) else (
        f'{kind} over {" and ".join(sorted(transports))}')


def _split(portal: str) -> tuple[str, int]:
    address, _colon, port = portal.rpartition(':')
    return address.strip('[]'), int(port)


def look(connections: Iterable[tuple[str, Mapping[str, Any]]],
         seconds: float = WHOLE) -> tuple[Way, ...]:
    """Connect to each portal once, to all at the same time; nothing is sent.

    :param connections: a volume's id, and its connection_info; empty if there is none
    :returns: for each volume, without a portal if its connection names none; one that was not
        tried in place of what does not fit into a report
    """
    found: list[tuple[Way, tuple[str, int] | None]] = []
    for volume, info in connections:
        kind = str(info.get('driver_volume_type') or '')
        try:
            portals, kind = named(info), _protocol(info)
        except (KeyError, TypeError, ValueError, AttributeError):
            portals = []
        found += [(Way(volume, kind, f'{address} {port}'), (address, port))
                  for address, port in portals] or [(Way(volume, kind), None)]
    tried = list(dict.fromkeys(portal for _way, portal in found if portal))[:MOST]
    number = next(_NUMBER)
    answers = bounded.ask({(number, 'portal', *portal): _question(*portal) for portal in tried},
                          seconds)
    return _fitting([dataclasses.replace(way, reached=_said(answers.get(
        (number, 'portal', *portal)))) if portal else way for way, portal in found])


def _fitting(ways: list[Way]) -> tuple[Way, ...]:
    """What a report takes: a volume is in it with all of its portals, or is among the untried."""
    if len(ways) <= MAX_ITEMS:
        return tuple(ways)
    rest = {way.volume for way in ways[MAX_ITEMS - 1:]}
    untold = next(way for way in ways if way.volume in rest)
    return (*(way for way in ways if way.volume not in rest),
            Way(untold.volume, untold.protocol, f'of {len(rest)} more volumes'))


def _question(address: str, port: int) -> Any:
    return lambda: path.reach(address, port)


def _said(answer: Any) -> str:
    """Silent is what let the time go by; what could not be asked is not tried."""
    if isinstance(answer, bounded.Silent):
        return Reached.SILENT.value
    return answer.value if isinstance(answer, Reached) else ''
