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
"""Ledgers that a backend may have had under a former name: in its database, and in files beside.

A ledger belongs to a name, which ``cinder-manage volume update_host``, a cluster that is switched
on and ``backend_host`` change.
"""

from __future__ import annotations

import contextlib
import dataclasses
import glob
import os
from collections.abc import Callable, Iterator
from typing import Any

import sqlalchemy as sa
from oslo_config import cfg
from oslo_serialization import jsonutils

from migsafe.journal import opening as journal_opening
from migsafe.ledger import opening, records, rows
from migsafe.ledger.api import Ledger
from migsafe.ledger.records import Thing

SUFFIX = '.sqlite'


@dataclasses.dataclass(frozen=True)
class Former:
    """What was recorded under another name.

    :param name: of the backend, then
    :param rows: of that name, wherever they are
    """

    name: str
    rows: rows.Rows

    def __str__(self) -> str:
        """Name it in a message."""
        return f'the ledger of {self.name}, {self.rows.database}'


@contextlib.contextmanager
def ledgers(conf: cfg.ConfigOpts, own: Ledger,
            served: Callable[[str], bool]) -> Iterator[list[Former]]:
    """Those with anything that is not gone, of names that nobody has any more.

    :param served: whether a name is another backend's, which has its own cinder-volume
    :raises JournalUnavailable: a file cannot be read, so that it is not known what is in it
    """
    with contextlib.ExitStack() as opened:
        stores = [own, *(opened.enter_context(_open(path, own))
                         for path in _files(conf, own) if not served(_stem(path)))]
        # NOTE: a file of the same name is another controller's, brought here.
        yield [Former(name, rows.Rows(store._store, name, own.service, own.incarnation))
               for store in stores for name in _names(store)
               if (store is not own if name == own.backend else not served(name))]


def _files(conf: cfg.ConfigOpts, own: Ledger) -> list[str]:
    found = glob.glob(os.path.join(glob.escape(conf.migsafe.ledger_path), f'*{SUFFIX}'))
    return sorted(path for path in map(os.path.abspath, found) if path != own.database)


def _stem(path: str) -> str:
    return os.path.basename(path).removesuffix(SUFFIX)


@contextlib.contextmanager
def _open(path: str, own: Ledger) -> Iterator[rows.Rows]:
    url = sa.URL.create('sqlite', database=path)
    # NOTE: nobody else will upgrade the tables of a name that nobody has.
    store = journal_opening.open_store(url, own.service, create=True, chain=opening.CHAIN)
    try:
        yield rows.Rows(store, _stem(path), own.service, own.incarnation)
    finally:
        store.close()


def _names(found: rows.Rows) -> list[str]:
    query = sa.select(rows.COLUMN.backend).where(rows.COLUMN.state != 'gone').distinct()
    return sorted(found._store.read('reading the names of backends', lambda connection: list(
        connection.execute(query).scalars())))


def take_over(own: Ledger, former: Former, export: records.Export) -> None:
    """Record under the own name what was recorded under a former one; again is harmless.

    It is written here before it is gone there. What is known here by itself is newer.

    :param export: a readable row of the former ledger
    """
    thing = Thing(export.kind, export.resource)

    def take(connection: sa.Connection) -> None:
        own._lock(connection, thing)
        there = {row.peer: row for row in own._of(connection, thing, [export.peer])}
        mine = there.get(export.peer)
        if mine is not None and (mine.state != 'gone' or (
                export.peer and mine.updated_at > export.updated_at)):
            return
        own._put(connection, thing, export.peer,
                 {**_values(export), 'service': own.service}, bool(mine))

    def leave(connection: sa.Connection) -> None:
        connection.execute(sa.update(rows.TABLE).where(
            rows.COLUMN.id == export.id, rows.COLUMN.updated_at == export.updated_at).values(
                state='gone', due_at=None, error=f'taken over by backend {own.backend}'))
    what = f'that {export.kind} {export.resource} was in the ledger of {former.name}'
    own._store.write(what, take)
    former.rows._store.write(what, leave)


def _values(export: records.Export) -> dict[str, Any]:
    """A row as its columns have it; what is in doubt is due at once."""
    kept = ('host', 'attachment', 'state', 'before', 'target', 'lun', 'incarnation', 'error',
            'attempts', 'created_at', 'updated_at', 'fenced')
    return {**{name: getattr(export, name) for name in kept},
            'initiators': jsonutils.dumps(export.initiators),
            'identity': jsonutils.dumps(export.identity),
            'connector': jsonutils.dumps(export.connector) if export.connector else None,
            'due_at': export.due_at if export.state == 'mapped' else export.updated_at}
