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
"""Who needs a target that Cinder asks to take away.

Cinder's manager asks for it whenever an attach fails, and at the end of its own copying, without
looking who else has the volume: in a live migration that is the host on which the guest runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from migsafe import exceptions
from migsafe.cinder.facts import attachments
from migsafe.ledger import api, records


class Needed(exceptions.MigsafeError):
    """Somebody needs the target."""

    message = 'The target of %(kind)s %(id)s stays, since %(user)s'


class Changed(exceptions.MigsafeError):
    """Whether it is needed has to be found out again."""

    message = ('The target of %(kind)s %(id)s is not taken away: what is mapped through it '
               'changes all the time. Try again.')


def user(rows: Sequence[records.Export], attached: Iterable[attachments.Attachment],
         incarnation: str, attachment: str = '') -> str:
    """Name somebody who needs the target, as words of a message; empty if nobody does.

    :param rows: of the volume in the ledger
    :param attached: all attachments of the volume
    :param incarnation: of this process
    :param attachment: that the caller is just making, if it is
    """
    peers = [row for row in rows if row.peer]
    for one in attached:
        own = [row for row in peers if one.explains(row)]
        # NOTE: the manager deletes an attachment after its export; one without any row was made
        # before the guard was switched on.
        if one.peer and (not own or any(row.state != 'gone' for row in own)):
            return f'attachment {one.id} has it on host {one.host or "(not named)"}'
    for row in peers:
        if row.state == 'mapping' and row.incarnation == incarnation and not row.error \
                and row.attachment not in ('', attachment):
            return f'{row} is being made'
    return ''


def unchanged(thing: records.Thing, seen: Sequence[records.Export]) -> api.Judge:
    """What refuses to go on if another service has mapped something since the rows were read."""
    before = _versions(seen)

    def judge(exports: Sequence[records.Export]) -> None:
        if _versions(exports) != before:
            raise Changed(kind=thing.kind, id=thing.id)
    return judge


def _versions(rows: Iterable[records.Export]) -> set[object]:
    return {(row.peer, row.updated_at) for row in rows if row.peer and row.state != 'gone'}
