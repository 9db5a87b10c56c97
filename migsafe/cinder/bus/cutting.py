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
"""Cuts a host off from its volumes, though they are attached to it, and reads back that it is.

What cannot be read back is not begun: a fence that nobody can see is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from typing import Any

from migsafe import exceptions
from migsafe.cinder.facts import attachments, mappings
from migsafe.cinder.inspectors import Reach
from migsafe.ledger.records import Thing

PAGE = 500


class CannotBeSeen(exceptions.MigsafeError):
    """The array would have to be believed without a look."""

    message = ('Host %(host)s is not cut off from the volumes of backend %(backend)s: its '
               'inspector cannot tell what the array accepts. Set migsafe_inspector in the '
               'section of the backend to one that can, or switch the host off.')


class NotItsOwn(exceptions.MigsafeError):
    """Somebody else may be cut off."""

    message = ('Host %(host)s is not cut off from the volumes of backend %(backend)s: %(others)s, '
               'at an address that is not known to be of that host alone (%(known)s). Nothing was '
               'done. If it is the address of %(host)s on the network of the storage, say so: '
               '--client-address ADDRESS. If it is somebody else, as a backup is, wait until that '
               'has ended. Of a volume that another host has as well, a client at an address of '
               'neither host is the same: let its migration end.')


def look(guard: Any, host: str, addresses: Set[str] = frozenset()) -> dict[str, Any]:
    """What the array accepts of a host.

    :param addresses: of the host, besides those in its connectors
    :returns: ``volumes`` of this backend that it has; ``open``, ``active``, ``others`` and
        ``commands`` as in
        :class:`Reach`; ``elsewhere``, the backends that have more of its volumes; ``maps``,
        whether the array can take away one volume after the other
    :raises CannotBeSeen: that cannot be told
    """
    places = attachments.of_host(host)
    own = {volume: place for volume, place in places.items() if guard.has(place)}
    volumes = sorted(own.keys() | {row.resource for row in _rows(guard, host)})
    reach = _reach(guard, host, volumes, addresses, False)
    return {'backend': guard.backend, 'maps': guard.inspector.maps, 'volumes': volumes,
            'open': list(reach.open), 'active': list(reach.active), 'others': list(reach.others),
            'commands': reach.commands,
            'elsewhere': sorted({place['cluster_name'] or place['host'].partition('#')[0]
                                 for volume, place in places.items() if volume not in own})}


def cut(guard: Any, host: str, volumes: Sequence[str], addresses: Set[str] = frozenset()
        ) -> list[str]:
    """Cut it off.

    :param addresses: as for :func:`look`
    :returns: what the array still accepts of these volumes
    :raises CannotBeSeen: it could not be told afterwards
    :raises NotItsOwn: somebody else may have one of them open
    """
    if not guard.inspector.maps:
        return list(_reach(guard, host, volumes, addresses, True).open)
    # Once before: whoever cannot be asked is not told to do anything either.
    _reach(guard, host, volumes, addresses, False)
    for volume in volumes:
        for row in guard.ledger.of(Thing('volume', volume)):
            if row.peer and row.host == host and row.state != 'gone':
                guard.recovery.one(row, cut=True)
    return list(_reach(guard, host, volumes, addresses, False).open)


def _reach(guard: Any, host: str, volumes: Sequence[str], addresses: Set[str], carry_out: bool
           ) -> Reach:
    subjects = [found for volume in volumes
                if (found := attachments.thing('volume', volume)) is not None]
    if guard.inspector.maps:
        each = [_mapped(guard, host, subject) for subject in subjects]
        return Reach(tuple(text for one in each for text in one.open),
                     tuple(text for one in each for text in one.active),
                     commands={who: count for one in each for who, count in one.commands.items()})
    rows = {str(subject['id']): attachments.of_volume(str(subject['id'])) for subject in subjects}
    known = addresses | _addresses(one for each in rows.values() for one in each
                                   if one.host == host)
    theirs = {volume: _addresses(one for one in each if one.host != host)
              for volume, each in rows.items()}
    # One that both are said to have says nothing of either.
    both = known & frozenset().union(*theirs.values())
    known -= both
    reach = guard.inspector.shut_out(
        [(subject, theirs[str(subject['id'])] - both) for subject in subjects], known,
        carry_out) if subjects else Reach()
    if not isinstance(reach, Reach):
        raise CannotBeSeen(host=host, backend=guard.backend)
    if carry_out and reach.others:
        raise NotItsOwn(host=host, backend=guard.backend, others='; '.join(reach.others),
                        known=', '.join(sorted(known)) or 'none is known')
    return reach


def _addresses(rows: Iterable[attachments.Attachment]) -> frozenset[str]:
    """Those that connectors have given."""
    return frozenset(one.address for one in rows if one.address)


def _mapped(guard: Any, host: str, subject: Any) -> Reach:
    """What is mapped to it of one volume, by the array and by the ledger, which may know more."""
    thing, inspector = Thing('volume', str(subject['id'])), guard.inspector
    found, opened = inspector.list_exports(subject), inspector.writers(subject)
    if found is None or not inspector.can_tell:
        raise CannotBeSeen(host=host, backend=guard.backend)
    known = guard.ledger.of(thing)
    rows = [row for row in known if row.peer and row.host == host]
    peers = [*rows, *(one for one in attachments.of_volume(thing.id) if one.host == host)]
    names = attachments.lower(name for peer in peers for name in peer.initiators)
    open_ = [f'{thing.id} is mapped to {mapping}' for mapping in found
             if any(mappings.is_to(inspector, mapping, peer) is not False for peer in peers)]
    having = {f'{writer.who} has {thing.id} open': writer.commands for writer in opened or ()
              if open_ and writer.initiators & names}
    return Reach(tuple(open_) or tuple(
        f'{row} is {row.state}: {row.error}' for row in rows if row.state != 'gone'),
        tuple(having), commands={
            who: count for who, count in having.items() if count is not None})


def _rows(guard: Any, host: str) -> Iterable[Any]:
    after_id = 0
    while page := guard.ledger.present(after_id, PAGE, host):
        after_id = page[-1].id
        yield from (row for row in page if row.kind == 'volume')
