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
"""The volumes of a backend by Cinder's database, page by page, beside what its ledger has."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from cinder import context, exception
from cinder.db import api as db_api
from cinder.objects import fields

from migsafe import exceptions
from migsafe.brick.guard import policy
from migsafe.cinder.facts import attachments
from migsafe.ledger import records

PAGE = 200
DETACHED = fields.VolumeAttachStatus.DETACHED


class NoSuchPage(exceptions.MigsafeError):
    """What the last page ended with is not to be found any more."""

    message = ('The volumes of backend %(backend)s cannot be gone through from %(volume)s on: '
               'Cinder knows no such volume. Say the command again, which begins at the first '
               'one.')


def pages(guard: Any, after: str | None = None) -> Iterator[list[Any]]:
    """Rows of Cinder's table of volumes, with their attachments, by id.

    :param after: id of a volume, which may have been deleted meanwhile
    :raises NoSuchPage: it never was one, or its row has been purged
    """
    where = {'cluster_name': guard.cluster} if guard.cluster else {'host': guard.host}
    # NOTE: Cinder looks its marker up by the same rules as the rows.
    admin = context.get_admin_context(read_deleted='yes')
    while True:
        try:
            found = list(db_api.volume_get_all(
                admin, after or None, PAGE, sort_keys=['id'], sort_dirs=['asc'],
                filters=where | {'deleted': False}))
        except exception.VolumeNotFound as error:
            raise NoSuchPage(volume=after, backend=guard.backend) from error
        if found:
            yield found
        if len(found) < PAGE:
            return
        after = str(found[-1].id)


def here(guard: Any, rows: Iterable[records.Export]) -> Iterator[records.Export]:
    """Those rows of a former ledger whose volume or snapshot is in this backend."""
    rows = iter(rows)
    while page := [row for row in itertools.islice(rows, PAGE) if not row.problems()]:
        found = {volume.id for volume in attachments.rows_of(
            {row.resource for row in page if row.kind == 'volume'}) if guard.has(volume)}
        for row in page:
            if row.resource in found if row.kind == 'volume' else _has_snapshot(guard, row):
                yield row


def _has_snapshot(guard: Any, row: records.Export) -> bool:
    subject = attachments.thing(row.kind, row.resource)
    return subject is not None and bool(guard.has(subject))


def missing(ledger: Any, page: Sequence[Any], *, guarded: bool) -> Iterator[Any]:
    """Attachments with a connector that a ledger does not have.

    :param page: see :func:`pages`
    :param guarded: only those that were made with a ledger, which this one has never had; without
        it, all of which it does not have a mapping now
    """
    known = ledger.of_volumes([volume.id for volume in page])
    for volume in page:
        rows = [row for row in known.get(volume.id, ()) if row.peer]
        for one in volume.volume_attachment:
            said = attachments.read(one)
            if not said.peer or one.attach_status == DETACHED:
                continue
            if guarded and not _is_guarded(one):
                continue
            if any(_is_of(row, said) for row in rows if guarded or row.state != 'gone'):
                continue
            # NOTE: for a moment, a migration of Cinder has it under the id of another volume.
            if not ledger.has_attachment(one.id):
                yield one


def _is_of(row: records.Export, said: attachments.Attachment) -> bool:
    return row.attachment == said.id or said.names(row)


def _is_guarded(attachment: Any) -> bool:
    """Whether the connection says that a guard has made it."""
    return policy.KEY in str(attachment.connection_info or '')
