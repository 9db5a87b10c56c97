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
"""Takes connections and secrets out of what is settled, a page of transactions at a time."""

import datetime
import functools

import sqlalchemy as sa
from oslo_serialization import jsonutils

from migsafe.journal import models, redact, store

LINE = models.RECORDS.c
COLUMN = models.TRANSACTIONS.c
PAGE = 100
#: When the last transaction of a page was settled, and its id.
Place = tuple[datetime.datetime, int]
# NOTE: in the order of the index of what is settled. By the lines' own order, a database reads
# all that is settled once for each page.
_SETTLED = sa.select(COLUMN.settled_at, COLUMN.id).where(
    COLUMN.host == sa.bindparam('host'), COLUMN.state == 'settled',
    COLUMN.settled_at < sa.bindparam('until'),
    COLUMN.settled_at >= sa.bindparam('at'),
    sa.or_(COLUMN.settled_at > sa.bindparam('at'), COLUMN.id > sa.bindparam('after_id'))
).order_by(COLUMN.settled_at, COLUMN.id).limit(PAGE)


def blank(opened: store.Store, host: str, since: datetime.datetime,
          until: datetime.datetime) -> None:
    """Blank what was settled between two moments; each page is a commit, if there is something.

    :param since: naive UTC, as is ``until``
    """
    place: Place | None = (since, 0)
    while place is not None:
        find = functools.partial(_find, host=host, place=place, until=until)
        lines, after = opened.read('looking for secrets', find)
        if lines:
            # NOTE: looked for once more, since others write meanwhile.
            opened.write('forgetting secrets', functools.partial(_write, find=find))
        place = after


def _find(connection: sa.Connection, host: str, place: Place,
          until: datetime.datetime) -> tuple[dict[int, str], Place | None]:
    """Return what to write to which lines of a page, and where the next page begins."""
    found = connection.execute(_SETTLED, {
        'host': host, 'at': place[0], 'after_id': place[1], 'until': until}).all()
    lines = connection.execute(sa.select(LINE.id, LINE.payload).where(
        LINE.transaction_id.in_([number for _at, number in found]), LINE.payload.isnot(None)))
    changed = {}
    for line, payload in lines:
        left = _left(payload)
        if left != payload:
            changed[line] = left
    return changed, (found[-1].settled_at, found[-1].id) if len(found) == PAGE else None


def _left(payload: str) -> str:
    try:
        left: str = jsonutils.dumps(redact.forget(jsonutils.loads(payload)))
    except (ValueError, RecursionError):
        # what cannot be read is left as it is, for whoever repairs it
        return payload
    return left


def _write(connection: sa.Connection, find: functools.partial[
        tuple[dict[int, str], Place | None]]) -> None:
    for line, left in find(connection)[0].items():
        connection.execute(sa.update(models.RECORDS).where(LINE.id == line).values(payload=left))
