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
"""Who else has what Cinder asks to unmap from a host, and loses it if the driver is asked.

Drivers seldom look: two instances on one host, or two hosts with one initiator, share a mapping.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from oslo_utils import timeutils

from migsafe import exceptions
from migsafe.cinder.exports import ports
from migsafe.cinder.facts import attachments, calls, mappings
from migsafe.cinder.facts.attachments import Attachment
from migsafe.ledger import records
from migsafe.ledger.records import Thing
from migsafe.ledger.rows import at_work


class SharedMapping(exceptions.MigsafeError):
    """More is mapped by it than what is to be unmapped."""

    message = ('Volume %(id)s is not unmapped from host %(host)s: the array maps it to '
               '%(mapping)s, and with that to others, which would lose it too: %(others)s. If '
               'nothing uses it there, take them out of that group in the array, or unmap it by '
               'hand; then try again.')


class AllHosts(exceptions.MigsafeError):
    """No connector was given, and somebody else has the volume."""

    message = ('Volume %(id)s is not unmapped from all hosts, since no connector says from which '
               'one, and others would lose it: %(who)s. Name the host (os-force_detach with the '
               'attachment and its connector, or "openstack volume attachment delete").')


def needs(thing: Thing, peer: records.Peer, rows: Sequence[records.Export],
          forms: Collection[str]) -> str:
    """Name somebody else who needs the mapping of a peer, as words of a message, or nobody.

    An attachment that the manager is just deleting does not. Where it has not said which one that
    is, one of them counts as the one that goes, but for Cinder's own copying, which has none.

    :param forms: see :func:`migsafe.ledger.records.counting`
    """
    if thing.kind != 'volume':
        return ''
    leaving = calls.leaving()
    for row in rows:
        if _is_made(row) and row.attachment not in ('', leaving) and meet(row, peer):
            return f'{row} is being made for another attachment'
    having = [one for one in attachments.of_volume(thing.id)
              if one.has and one.id != leaving and _of(one, peer, forms)]
    going = 0 if leaving or calls.copying() else 1
    return str(having[0]) if len(having) > going else ''


def _is_made(row: records.Export) -> bool:
    """Whether a call makes it, here or in the cinder-volume that is just ending."""
    return bool(row.peer and row.state == 'mapping' and at_work(row)
                and row.due_at is not None and row.due_at > timeutils.utcnow())


def _of(one: Attachment, peer: records.Peer, forms: Collection[str]) -> bool:
    """Whether an attachment may be by the mapping of a peer; without a connector, it may be by
    any on its host."""
    if one.unclear:
        return one.host in ('', peer.host)
    return one.peer == peer.key or bool(one.initiators & records.counting(peer.initiators, forms))


def meet(row: records.Export, peer: records.Peer) -> bool:
    """Whether the array has one mapping for both."""
    return row.peer == peer.key or bool(row.counting & attachments.lower(peer.initiators))


def refuse_if_shared(inspector: Any, thing: Thing, subject: Any, peer: records.Peer,
                     rows: Sequence[records.Export] = ()) -> None:
    """Ask the array what else the mapping of a peer carries, right before it is taken away.

    :param rows: of the volume; what they have for the same host is its own
    :raises SharedMapping: it carries more
    """
    found = inspector.list_exports(subject) if peer.initiators else None
    own: list[mappings.Named] = [peer, *ports.of_host(rows, peer)]
    for mapping in mappings.shared(found or (), own):
        names = mapping.initiators.difference(*(attachments.lower(one.initiators) for one in own))
        raise SharedMapping(id=thing.id, host=peer.host or '(not named)', mapping=mapping,
                            others=', '.join(sorted(names)))


def rest(inspector: Any, thing: Thing, subject: Any,
         rows: Sequence[records.Export]) -> list[records.Export]:
    """The exports of a volume that go when all hosts are to lose it: those that nobody else has.

    :raises AllHosts: somebody has each of them, or the driver would have to be asked for all, and
        somebody else has the volume
    """
    leaving = calls.leaving()
    having = [one for one in attachments.of_volume(thing.id) if one.has and one.id != leaving] \
        if thing.kind == 'volume' else []
    going = len(having) == 1 and not leaving
    if going:
        having = []
    left = [row for row in rows if not any(one.explains(row) for one in having)]
    who = [str(one) for one in having]
    if not rows:
        found = mappings.strangers(inspector, inspector.list_exports(subject) or (), ())
        who += [f'the array maps it to {mapping}' for mapping in found[int(going):]]
    if who and not left:
        raise AllHosts(id=thing.id, who='; '.join(who))
    return left
