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
"""Attachments and volumes, out of the API of Cinder, where its database cannot be reached.

It tells less: for which host an attachment is only of those that are complete, and not when one
has changed. What is not told is not judged.
"""

from __future__ import annotations

import datetime
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from migsafe.audit import address
from migsafe.audit.activity import SETTLED, WORKING
from migsafe.audit.facts import Attachment, Moment, Volume
from migsafe.audit.readers.database import Unreadable, moment

#: Answers a path and a query with a body; None where there is no such thing (404).
#: It raises Unreadable.
Get = Callable[[str, Mapping[str, str]], Mapping[str, Any] | None]
#: Rows of a page that are asked for; Cinder's osapi_max_limit may give fewer.
SIZE = 1000
LABEL = "Cinder's API"


class CinderApi:
    """The API of Cinder, which has to show the account everything.

    :param get: asks it
    """

    label = LABEL
    #: The host of an attachment that is not complete is not told.
    records_hosts = False

    def __init__(self, get: Get) -> None:
        self._get = get
        # NOTE: policy gives these to those whom Cinder takes for an administrator. It leaves
        # all_tenants unheard for others, and would show a part of the cloud as if it were all.
        if get('/os-services', {}) is None:
            raise Unreadable(label=LABEL, reason='it has no list of its services')
        self._hosts: dict[str, str] = {}
        self._unusual: dict[str, Volume] = {}
        for row in self._rows('/volumes/detail', 'volumes'):
            self._volume(row)

    def missing(self) -> list[str]:
        """What it does not have and rules need: it has all of it."""
        return []

    def beats(self) -> list[datetime.datetime]:
        """Nothing: it is asked now, and is no copy."""
        return []

    def gone(self, _attachments: Iterable[str]) -> dict[str, Moment]:
        """Nothing: it does not tell of what is deleted."""
        return {}

    def attachments(self, compact: address.Compact | None = None,
                    worth: Callable[[Moment], bool] = bool) -> Iterator[Attachment]:
        """Every attachment.

        :param worth: whether a time of change is kept, which costs memory
        :raises Unreadable: it fails on the way, or does not show hosts
        """
        complete = known = 0
        for row in self._rows('/attachments/detail', 'attachments'):
            one = self._attachment(row, compact)
            complete += one.status == 'attached'
            known += one.host is not None
            yield one if worth(one.updated) else one._replace(updated=None)
        if complete and not known:
            raise Unreadable(label=LABEL, reason='it does not tell this account the host of any '
                             'attachment; use that of an administrator')

    def of(self, instances: Iterable[str], volumes: Iterable[str]) -> list[Attachment]:
        """Those of some instances, and those of some volumes; all are read for it."""
        users, theirs = set(instances), set(volumes)
        return [one for one in self.attachments()
                if one.instance in users or one.volume in theirs] if users or theirs else []

    def known(self, volumes: Iterable[str]) -> set[str]:
        """Those of these volumes that it has."""
        return {volume for volume in volumes if self._get(f'/volumes/{volume}', {}) is not None}

    def unusual(self) -> dict[str, Volume]:
        """The volumes that are shared, or with which Cinder is at work."""
        return self._unusual

    def _volume(self, row: Mapping[str, Any]) -> None:
        one = Volume(row['id'], row.get('multiattach') is True, _text(row.get('status')),
                     _text(row.get('migration_status')), moment(row.get('updated_at')))
        if one.multiattach or one.status in WORKING or (one.migration or 'none') not in SETTLED:
            self._unusual[one.uuid] = one
        for held in _mappings(row.get('attachments') or []):
            if host := _text(held.get('host_name')):
                self._hosts[str(held.get('attachment_id'))] = sys.intern(host)

    def _attachment(self, row: Mapping[str, Any], compact: address.Compact | None) -> Attachment:
        info = row.get('connection_info')
        return Attachment(
            row['id'], str(row.get('volume_id')), _text(row.get('instance')),
            self._hosts.get(row['id']), sys.intern(_text(row.get('status')) or ''),
            row.get('attach_mode') != 'ro',
            address.read(json.dumps(info) if info else None, compact),
            moment(row.get('attached_at')))

    def _rows(self, path: str, key: str) -> Iterator[Mapping[str, Any]]:
        """Every row, each once, page by page, after the last that was read.

        :raises Unreadable: it fails; how far it came is part of the reason
        """
        done, page = 0, self._page(path, key, ())
        while page:
            yield from page
            done += len(page)
            try:
                after = self._page(path, key, [row['id'] for row in page])
            except Unreadable as error:
                raise Unreadable(label=LABEL, reason=f'{error.kwargs["reason"]}, after {done} '
                                 f'{key}') from None
            before = {row['id'] for row in page}
            page = [row for row in after if row['id'] not in before]

    def _page(self, path: str, key: str, before: Sequence[str]) -> list[Mapping[str, Any]]:
        """The rows after the last of these that is still there; the first without any."""
        query = {'all_tenants': '1', 'limit': str(SIZE)}
        for marker in reversed(before or ('',)):
            body = self._get(path, {**query, 'marker': marker} if marker else query)
            if body is not None:
                rows = _mappings(body.get(key))
                if not all(isinstance(row.get('id'), str) for row in rows):
                    raise Unreadable(label=LABEL, reason=f'{path} has rows without an id')
                if marker and [row['id'] for row in rows][:1] == list(before[:1]):
                    raise Unreadable(label=LABEL, reason=f'{path} begins anew on each page')
                return rows
        raise Unreadable(label=LABEL, reason=f'{path} is not there, or a whole page of it has '
                         'gone while it was read')


def _mappings(rows: Any) -> list[Mapping[str, Any]]:
    if not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
        raise Unreadable(label=LABEL, reason='its answer is no list of objects')
    return rows


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
