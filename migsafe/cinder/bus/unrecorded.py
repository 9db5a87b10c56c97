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
"""Writes a mapping that only the array knows into the ledger, so that it can be reverted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from oslo_log import log as logging

from migsafe import exceptions
from migsafe.cinder.facts import attachments
from migsafe.cinder.inspectors import Mapping
from migsafe.ledger import records
from migsafe.ledger.records import Thing
from migsafe.text import shell

LOG = logging.getLogger(__name__)

#: Stands for the attachment that there is none of: it was never Cinder's own copying.
FOUND = 'found in the array'
#: Of what a connector can have several.
SEVERAL = ('wwpns',)


class NotTakenUp(exceptions.MigsafeError):
    """It must not be reverted by a command."""

    message = ('The mapping of volume %(volume)s to initiator %(initiator)s is left as it is: '
               '%(reason)s')


def take_up(guard: Any, thing: Thing, host: str, initiator: str) -> None:
    """Write a mapping of the array into the ledger as an export to a host; again is harmless.

    What takes it away then is the driver's terminate_connection, with a connector made of what
    the array and the operator tell. Some drivers look at other fields of a connector, and unmap
    more than one host if they miss them. So nothing else may be mapped or attached.

    The caller is alone at the volume.

    :param initiator: one of the mapping
    :raises NotTakenUp: the reason says what to do
    """
    def refused(reason: str) -> NotTakenUp:
        return NotTakenUp(volume=thing.id, initiator=initiator, reason=reason)
    subject = attachments.thing(thing.kind, thing.id)
    if subject is None or not guard.has(subject):
        raise refused('Cinder has no such volume in this backend. Look for it with "openstack '
                      'volume show", or unmap it in the array by hand.')
    found = guard.inspector.list_exports(subject)
    if found is None:
        raise refused('the inspector of this backend cannot ask the array (migsafe_inspector). '
                      'Unmap it in the array by hand.')
    mapping = next((one for one in found if initiator.lower() in one.initiators), None)
    if mapping is None:
        if any(_is(row, host, (initiator,)) for row in guard.ledger.of(thing)):
            return
        raise refused('the array does not have it. It has: '
                      f'{"; ".join(map(str, found)) or "no mapping of this volume"}.')
    by_hand = f'Unmap it in the array by hand: {mapping}.'
    attached = [row for row in attachments.of_volume(thing.id) if row.has]
    if attached:
        raise refused(f'the volume is attached to host {attached[0].host or "(not named)"}, which '
                      f'could lose it too. {by_hand}')
    connector = _connector(host, mapping.initiators)
    if connector is None:
        raise refused(f'it is to initiators of which no single host has a connector. {by_hand}')
    _write(guard, thing, mapping, records.Peer.of(connector), refused)


def _write(guard: Any, thing: Thing, mapping: Mapping, peer: records.Peer, refused: Any) -> None:
    ledger = guard.ledger
    present = [row for row in ledger.of(thing) if row.peer and row.state != 'gone']
    if present and all(_is(row, peer.host, mapping.initiators) for row in present):
        return

    def judge(exports: Sequence[records.Export]) -> None:
        if exports:
            raise refused(f'the ledger has {exports[0]} ({exports[0].state}). Revert that first: '
                          f'export revert --from-host {shell(exports[0].host or "HOST")}.')
    LOG.warning('An operator takes up in the ledger, as an export to host %s, that the array '
                'maps volume %s to %s', peer.host, thing.id, mapping)
    ledger.intend(thing, [peer], 'mapping', attachment=FOUND, judge=judge)
    ledger.settle(thing, [peer.key], 'mapped', target=mapping.target, lun=mapping.lun)


def _is(row: records.Export, host: str, initiators: Iterable[str]) -> bool:
    return row.host == host and bool(
        attachments.lower(row.initiators) & attachments.lower(initiators))


def _connector(host: str, initiators: frozenset[str]) -> dict[str, Any] | None:
    """What a host with these initiators would give; None if there can be no such host."""
    made: dict[str, Any] = {'host': host, 'multipath': False}
    left = set(initiators)
    for key, pattern in records.FORMS.items():
        names = sorted(name for name in left if pattern.fullmatch(name))
        left.difference_update(names)
        if names:
            if key not in SEVERAL and len(names) > 1:
                return None
            made[key] = names if key in SEVERAL else names[0]
    return None if left else made
