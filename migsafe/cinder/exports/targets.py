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
"""Who needs a target that is to be taken away.

Cinder's manager asks for it whenever an attach fails, and at the end of its own copying, without
looking who else has the volume: in a live migration that is the host on which the guest runs. And
a target carries what others have mapped through it, of which neither Cinder nor the ledger knows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from oslo_log import log as logging

from migsafe import exceptions
from migsafe.cinder.facts import attachments, mappings
from migsafe.ledger import api, records
from migsafe.text import masked

LOG = logging.getLogger(__name__)


class Needed(exceptions.MigsafeError):
    """Somebody needs the target."""

    message = 'The target of %(kind)s %(id)s stays, since %(user)s'


class Changed(exceptions.MigsafeError):
    """Whether it is needed has to be found out again."""

    message = ('The target of %(kind)s %(id)s is not taken away: what is mapped through it '
               'changes all the time. Try again.')


def user(rows: Sequence[records.Export], attached: Iterable[attachments.Attachment],
         incarnation: str, attachment: str = '', leaving: str = '') -> str:
    """Name somebody who needs the target, as words of a message; empty if nobody does.

    :param rows: of the volume in the ledger
    :param attached: all attachments of the volume
    :param incarnation: of this process
    :param attachment: that the caller is just making, if it is
    :param leaving: that the caller is just deleting, if it is
    """
    peers = [row for row in rows if row.peer]
    for one in attached:
        if one.id and one.id == leaving:
            continue
        own = [row for row in peers if one.names(row)]
        # NOTE: the manager deletes an attachment after its export; one without any row was made
        # before the guard was switched on.
        if one.unclear or (one.peer and (not own or any(row.state != 'gone' for row in own))):
            return str(one)
    for row in peers:
        if row.state == 'mapping' and row.incarnation == incarnation and not row.error \
                and row.attachment not in ('', attachment):
            return f'{row} is being made'
    return ''


def carried(guard: Any, thing: records.Thing, subject: Any,
            rows: Sequence[records.Export]) -> str | None:
    """Name what the array has mapped through a target and is not ours to take away.

    Where its list may be late, nothing is believed to be there only if two looks, as far apart
    as it may lag, say so.

    :param guard: of the backend
    :param rows: of the volume; nobody needs what they have, see :func:`user`
    :returns: words of a message, empty if there is nothing; None if the array cannot tell
    """
    found = others(guard.inspector, subject, rows)
    if found:
        guard.looks.forget(thing)
    elif found is not None and not guard.looks.again(thing):
        return 'the array may be late with what it tells; it is looked at once more'
    return found


def others(inspector: Any, subject: Any, rows: Sequence[records.Export]) -> str | None:
    """The same, by one look."""
    if not inspector.maps:
        return ''
    try:
        found = inspector.list_exports(subject)
    except Exception as error:
        LOG.warning('What is mapped through the target of %s is not known: %s', subject['id'],
                    masked(error))
        return f'what else is mapped through it cannot be asked now ({masked(error)})'
    if found is None:
        return None
    ours = [row for row in rows if row.peer and row.state != 'gone']
    left = mappings.strangers(inspector, found, ours, surely=True) + mappings.shared(found, ours)
    if not left:
        return ''
    return (f'the array maps it to {"; ".join(map(str, left))}, which neither Cinder nor migsafe '
            'has made. Unmap that in the array by hand if nothing uses it there')


def unchanged(thing: records.Thing, seen: Sequence[records.Export]) -> api.Judge:
    """What refuses to go on if another service has mapped something since the rows were read."""
    before = _versions(seen)

    def judge(exports: Sequence[records.Export]) -> None:
        if _versions(exports) != before:
            raise Changed(kind=thing.kind, id=thing.id)
    return judge


def _versions(rows: Iterable[records.Export]) -> set[object]:
    return {(row.peer, row.updated_at) for row in rows if row.peer and row.state != 'gone'}
