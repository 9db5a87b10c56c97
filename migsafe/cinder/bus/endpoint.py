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
"""What a cinder-volume answers to the command ``migsafe export``.

It rides on the service's own RPC server. Arguments come from the bus and are not trusted; no
connector leaves the service, since it may carry more than names.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import oslo_messaging as messaging
from oslo_log import log as logging

from migsafe.cinder.bus import adoption, fencing, search, unrecorded, words
from migsafe.cinder.bus.fencing import USER_LIMIT, NoSuchExport
from migsafe.cinder.facts import attachments, mappings, writers
from migsafe.cinder.inspectors import Mapping, Writer
from migsafe.discreet import discreet
from migsafe.journal import values
from migsafe.ledger import records
from migsafe.ledger.records import Thing

LOG = logging.getLogger(__name__)

#: 1.1: export_fence, and export_list with a host. 1.2: export_search and export_take_up.
#: 1.3: export_unfence. 1.4: export_adopt, and export_revert with not_mapped. 1.5: export_open and
#: export_cut.
NAMESPACE, VERSION = 'migsafe', '1.5'
PAGE = 200
SHOWN = ('id', 'kind', 'resource', 'peer', 'host', 'initiators', 'attachment', 'state', 'target',
         'lun', 'identity', 'service', 'fenced', 'error', 'attempts')
#: What the column of the ids can hold.
LARGEST = 2 ** 63 - 1


class Endpoint(fencing.Fencing):
    """RPC namespace ``migsafe``, version 1.5.

    :param guard: of the backend
    """

    target = messaging.Target(namespace=NAMESPACE, version=VERSION)

    def __init__(self, guard: Any) -> None:
        self._guard = guard
        self._walks = search.Walks(guard)

    @discreet
    def export_list(self, context: Any, after_id: Any = 0, volume: Any = '', host: Any = '',
                    **_later: Any) -> dict[str, Any]:
        """A page of what is not gone, of one host if it is named, or all rows of one volume."""
        after_id = values.number('a page', 'after_id', after_id, LARGEST)
        ledger = self._guard.ledger
        rows = [row for kind in records.KINDS for row in ledger.of(Thing.of(kind, volume))] \
            if volume else ledger.present(after_id, PAGE, fencing.host_name(host))
        return {'exports': [shown(row) for row in rows],
                'next': rows[-1].id if rows and not volume else None}

    @discreet
    def export_verify(self, context: Any, volume: Any, **_later: Any) -> dict[str, Any]:
        """Compare ledger, array and attachments of one volume; say whether the array told."""
        thing, inspector = Thing.of('volume', volume), self._guard.inspector
        with self._guard.lines.waiting(thing):
            subject = attachments.thing('volume', thing.id)
            mapped, opened = (inspector.list_exports(subject), inspector.writers(subject)) \
                if subject is not None else ([], [])
            told = mapped is not None or opened is not None
            return {'differences': list(self._differences(thing, subject, mapped or [],
                                                          opened or [])),
                    'array': inspector.can_tell and told}

    def _differences(self, thing: Thing, subject: Any, mapped: list[Mapping],
                     opened: list[Writer]) -> Iterator[str]:
        rows = [row for row in self._guard.ledger.of(thing) if row.peer and row.state != 'gone']
        if subject is None:
            yield from (f'{row}: Cinder has no such volume' for row in rows)
            return
        attached = [row for row in attachments.of_volume(thing.id) if row.has]
        for row in rows:
            if not any(one.explains(row) for one in attached):
                yield f'{row} is {row.state}, but no attachment has it'
            if row.state == 'mapped' and self._guard.mapped(subject, row) is False:
                yield f'{row} is in the ledger, but not in the array'
        for one in attached:
            if one.peer and one.peer not in {row.peer for row in rows}:
                yield f'attachment {one.id} of host {one.host} is not in the ledger'
        for mapping in mappings.strangers(self._guard.inspector, mapped, [*rows, *attached]):
            yield f'the array maps it to {mapping}, which neither the ledger nor an ' \
                  'attachment has'
        for writer in writers.unexplained(opened, attached):
            yield f'{writer.who} has it open, but no attachment explains it'

    @discreet
    def export_search(self, context: Any, walk: Any = '', **_later: Any) -> dict[str, Any]:
        """Go through all that the array has, see :meth:`search.Walks.page`.

        :param walk: what the last page has given to go on with
        """
        return self._walks.page(values.word('a walk', 'its name', walk, 64))

    @discreet
    def export_take_up(self, context: Any, volume: Any, host: Any, initiator: Any,
                       **_later: Any) -> dict[str, Any]:
        """Write a mapping that only the array knows into the ledger, see :mod:`unrecorded`."""
        thing = Thing.of('volume', volume)
        name = values.word('an initiator', 'its name', initiator, 255, empty=False)
        host = values.word('a host', 'its name', host, 255, empty=False)
        with self._guard.lines.waiting(thing):
            unrecorded.take_up(self._guard, thing, host, name)
        return {}

    @discreet
    def export_revert(self, context: Any, volume: Any, host: Any, not_mapped: Any = '',
                      **_later: Any) -> dict[str, Any]:
        """Take the exports of a volume to one host away, as far as that is safe.

        The operator's word that nobody has it open there counts where the array cannot tell. It
        does not count against an attachment, nor against the array.

        :param not_mapped: who says that the array does not have them; for drivers that fail to
            unmap what is not mapped, of arrays that cannot be asked
        """
        who = values.word('an operator', 'his name', not_mapped, USER_LIMIT)
        rows = self._of_host(volume, host)
        if not rows:
            raise NoSuchExport(backend=self._guard.backend, volume=volume,
                               host=ascii(host)[:80])
        LOG.warning('An operator asks to take the exports of %s to host %s away', volume, host)
        for row in rows:
            if row.state != 'gone':
                self._guard.recovery.one(row, vouched=True)
        if who:
            words.not_mapped(self._guard, self._of_host(volume, host), who)
        for row in self._targets(rows):
            self._guard.recovery.one(row, vouched=True)
        return {'exports': [shown(row) for row in self._of_host(volume, host)]}

    def _targets(self, rows: Iterable[records.Export]) -> list[records.Export]:
        """The targets of what these are of that are there, and have nothing mapped through them.
        """
        things = dict.fromkeys(Thing(row.kind, row.resource) for row in rows)
        found = [self._guard.ledger.of(thing) for thing in things]
        return [target for target, *mapped in found if target.state != 'gone'
                and all(row.state == 'gone' for row in mapped)]

    def _of_host(self, volume: Any, host: Any) -> list[records.Export]:
        """The exports to one host of a volume, or of a snapshot of that id."""
        return [row for kind in records.KINDS
                for row in self._guard.ledger.of(Thing.of(kind, volume))
                if row.peer and row.host == host]

    @discreet
    def export_adopt(self, context: Any, after: Any = '', carry_out: Any = False,
                     user: Any = '', **_later: Any) -> dict[str, Any]:
        """Plan, or do, a page of taking Cinder's attachments as the truth, see :mod:`adoption`.

        :param after: what the last page has given to go on with
        :param carry_out: whether to do it
        :param user: who says so
        """
        who = values.word('an adoption', 'who says so', user, USER_LIMIT, empty=not carry_out)
        return adoption.page(self._guard, values.word('a page', 'its name', after, 64),
                             who if carry_out else '')


def shown(row: records.Export) -> dict[str, Any]:
    """A row as plain data; what cannot be read is named."""
    bad = row.problems()
    return {name: f'unreadable: {bad[name]}' if name in bad else getattr(row, name)
            for name in SHOWN}
