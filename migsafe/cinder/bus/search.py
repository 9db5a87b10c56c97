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
"""Searches all mappings of the array for those that neither ledger nor attachments explain.

Each page comes with a request of its own, and an array gives its mappings from the first to the
last: a walk stays open between two pages, in this process. Others can walk at the same time.
"""

from __future__ import annotations

import itertools
import re
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

from migsafe import exceptions
from migsafe.cinder.facts import attachments, mappings
from migsafe.cinder.facts.mappings import Named
from migsafe.cinder.inspectors import Mapping
from migsafe.journal import values
from migsafe.ledger.records import Thing

#: Mappings in a page: three queries of Cinder's database and of the ledger for all of them.
PAGE = 200
#: Walks that are open at a time, and seconds after which one was given up by who began it.
OPEN, SECONDS = 4, 600.0
#: The identifier in the name of a volume. ONTAP's newest systems have no dashes there.
UUID = '([0-9a-fA-F]{8}(?:[-_][0-9a-fA-F]{4}){3}[-_][0-9a-fA-F]{12})'


class WalkLost(exceptions.MigsafeError):
    """It cannot be gone on with."""

    message = ('the walk through the array was given up, for others or by a restart of '
               'cinder-volume; begin again')


class Walks:
    """Those of one backend.

    :param guard: of the backend
    """

    def __init__(self, guard: Any) -> None:
        self._guard = guard
        self._lock = threading.Lock()
        self._open: dict[str, tuple[float, Iterator[Mapping]]] = {}

    def page(self, token: str) -> dict[str, Any]:
        """Go on with a walk.

        :param token: which the last page has given; empty to begin one
        :returns: ``array``: whether it can be asked; ``volumes``: those that may have a mapping
            which is not explained; ``differences``: what cannot be found out of a volume of
            this backend, each with a name; ``others``: how many are not named as Cinder does;
            ``walk``: the token, empty at the end
        :raises WalkLost: there is no such walk
        """
        walk = self._take(token) if token else self._guard.inspector.list_all()
        if walk is None:
            return {'array': False, 'volumes': [], 'differences': [], 'others': 0, 'walk': ''}
        found = list(itertools.islice(walk, PAGE))
        volumes, differences, others = self._judge(found)
        return {'array': True, 'volumes': volumes, 'differences': differences, 'others': others,
                'walk': self._keep(walk) if len(found) == PAGE else ''}

    def _take(self, token: str) -> Iterator[Mapping]:
        with self._lock:
            _since, walk = self._open.pop(token, (0.0, None))
        if walk is None:
            raise WalkLost()
        return walk

    def _keep(self, walk: Iterator[Mapping]) -> str:
        token, now = uuid.uuid4().hex, time.monotonic()
        with self._lock:
            fresh = [item for item in self._open.items() if now - item[1][0] < SECONDS]
            self._open = {**dict(fresh[1 - OPEN:]), token: (now, walk)}
        return token

    def _judge(self, found: Sequence[Mapping]) -> tuple[list[str], list[list[str]], int]:
        volumes: dict[str, None] = {}
        differences, others = [], 0
        names = [self._named(mapping.volume) for mapping in found]
        known = self._volumes({one[1] for one in names if one and one[0] == 'volume'})
        recorded = self._guard.ledger.of_volumes(sorted({row.id for row in known.values()}))
        for mapping, name in zip(found, names, strict=True):
            if name is None:
                others += 1
                continue
            kind, identifier = name
            subject = known.get(identifier) if kind == 'volume' else \
                attachments.thing(kind, identifier)
            thing = Thing.of(kind, subject['id'] if subject is not None else identifier)
            rows = recorded.get(thing.id, []) if kind == 'volume' else self._guard.ledger.of(thing)
            having: list[Named] = [row for row in rows if row.peer and row.state != 'gone']
            if kind == 'volume' and subject is not None:
                having += [row for row in attachments.of_row(subject) if row.has]
            if not mappings.strangers(self._guard.inspector, [mapping], having):
                continue
            if kind == 'volume' and subject is not None and self._guard.has(subject):
                # NOTE: it may have come or gone since the array was asked; who looks at the
                # volume alone, and asks again, knows.
                volumes[thing.id] = None
            else:
                differences.append([thing.id, f'the array maps it to {values.prose(mapping)}, and '
                                              f'{_whose(thing, subject)}'])
        return list(volumes), differences, others

    @staticmethod
    def _volumes(identifiers: set[str]) -> dict[str, Any]:
        """Cinder's rows by the id in a name, in two queries; none for what it has deleted.

        Once it has been migrated, a volume's name is of its second id.
        """
        found = {str(row.id): row for row in attachments.rows_of(identifiers)}
        left = identifiers - found.keys()
        return found | {str(row._name_id): row for row in attachments.rows_of(left, '_name_id')}

    def _named(self, name: str) -> tuple[str, str] | None:
        """What a name in the array stands for, and its id; None if Cinder has not given it."""
        conf, last = self._guard.conf, name.rpartition('/')[2]
        for kind, template in (('volume', conf.volume_name_template),
                               ('snapshot', conf.snapshot_name_template)):
            pattern = '[-_]'.join(map(re.escape, re.split('[-_]', template)))
            match = re.fullmatch(pattern.replace('%s', UUID), last)
            if match:
                return kind, match[1].lower().replace('_', '-')
        return None


def _whose(thing: Thing, subject: Any) -> str:
    if subject is None:
        return f'Cinder has no such {thing.kind}'
    if thing.kind == 'snapshot':
        return 'the ledger does not have it'
    return (f'Cinder has the volume in backend {subject["host"]}, and no attachment explains it; '
            'verify that backend too')
