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
"""Marks on the exports of hosts of which an operator has said that they are off."""

from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa
from oslo_serialization import jsonutils
from oslo_utils import timeutils

from migsafe import exceptions
from migsafe.journal import values
from migsafe.ledger import records, statements
from migsafe.ledger.records import Thing
from migsafe.ledger.rows import COLUMN, ENDS, TABLE, Rows


class HostFenced(exceptions.MigsafeError):
    """Nothing is mapped to a host of which an operator has said that it is off."""

    message = ('%(kind)s %(id)s is not mapped to host %(host)s: it or its initiator is fenced '
               '(%(by)s), and what it had is still mapped there. A connector that names it does '
               'not prove that it is back. If it is: migsafe --config-file '
               '/etc/cinder/cinder.conf export unfence --backend %(shell:backend)s '
               '%(shell:fenced)s')


class Fences(Rows):
    """The marks, and what they refuse."""

    def fence(self, host: str, by: str, volumes: Sequence[str] = ()) -> int:
        """Record that a host is fenced, on its exports that are not gone, and that they are due.

        :param by: who says so, and when
        :param volumes: only these; everything that the host has, if none is named
        :returns: on how many
        """
        what = f'that host {ascii(host)[:80]} is fenced'
        values.word(what, 'its name', host, 255, empty=False)
        values.word(what, 'who says so', by, 255, empty=False)
        where = [COLUMN.backend == self.backend, COLUMN.host == host, COLUMN.peer != '',
                 COLUMN.state != 'gone']
        if volumes:
            where += [COLUMN.kind == 'volume', COLUMN.resource.in_(volumes)]
        # NOTE: a time of this host may be one ahead; what is due much too late is due, too.
        now = timeutils.utcnow()
        # NOTE: what somebody is at work on is left to him, see at_work().
        due = sa.case((sa.and_(COLUMN.state.in_(ENDS.values()), COLUMN.error == ''),
                       COLUMN.due_at), else_=sa.literal(now, COLUMN.due_at.type))
        return self._change(what, where, {'fenced': by, 'due_at': due})

    def revived(self, host: str) -> int:
        """Take back that a host is fenced, on everything it has; return on how many."""
        return self._change(f'that host {ascii(host)[:80]} is not fenced',
                            (COLUMN.backend == self.backend, COLUMN.fenced > '',
                             COLUMN.state != 'gone', COLUMN.host == host), {'fenced': ''})

    def _change(self, what: str, where: Iterable[Any], changed: dict[str, Any]) -> int:
        def work(connection: sa.Connection) -> int:
            return connection.execute(sa.update(TABLE).where(*where).values(
                **changed, updated_at=timeutils.utcnow())).rowcount
        return self._store.write(what, work)

    def _refuse_fenced(self, connection: sa.Connection, thing: Thing,
                       peers: Sequence[records.Peer]) -> None:
        """Keep what is fenced out, by each name that the array could know it by.

        :raises HostFenced: with the mark
        """
        marked = connection.execute(statements.FENCED, {'of_backend': self.backend}).all()
        for peer in peers if marked else ():
            counted = records.counting(peer.initiators, self.forms())
            names = [jsonutils.dumps(name).lower() for name in peer.initiators
                     if name.lower() in counted]
            for host, initiators, by in marked:
                known = initiators.lower()
                if (peer.host and peer.host == host) or any(name in known for name in names):
                    raise HostFenced(
                        kind=thing.kind, id=thing.id, host=ascii(peer.host)[1:-1] or '(not named)',
                        by=values.prose(by), backend=self.service, fenced=host)
