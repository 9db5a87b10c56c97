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
"""The arguments and the records of the ledger."""

import dataclasses
import datetime
import hashlib
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from oslo_serialization import jsonutils

from migsafe import exceptions, masking
from migsafe.journal import records, rows, values
from migsafe.ledger import models

#: mapping: it is being made, and may be there. mapped: it is there. unmapping: it has to go, and
#: may be gone. removed: the driver says that it is gone, and that was not seen yet, or not often
#: enough. gone: it is not there.
STATES = ('mapping', 'mapped', 'unmapping', 'removed', 'gone')
#: Stands for the attachment of what Cinder's own copying maps to this host.
COPY = 'copied by cinder-volume'
KINDS = ('volume', 'snapshot')
#: What says who a connector is; the rest of it (ip, platform) may change between two calls.
NAMES = ('initiator', 'wwpns', 'wwnns', 'nqn')
#: What the names of each protocol look like, in lower case (RFC 7143 4.2.7 and NVMe Base
#: Specification 4.7; a WWPN or WWNN is 64 bits in hex).
FORMS = {'initiator': re.compile(r'(?:iqn|eui|naa)\..+'), 'nqn': re.compile(r'nqn\..+'),
         'wwpns': re.compile('[0-9a-f]{16}')}
#: A connector with all that os-brick puts into it has some 2 KiB.
CONNECTOR_LIMIT = 64 * 1024


@dataclasses.dataclass(frozen=True)
class Thing:
    """A volume or a snapshot."""

    kind: str
    id: str

    @classmethod
    def of(cls, kind: str, identifier: object) -> 'Thing':
        """Check it.

        :raises JournalBadValue: the identifier is none
        """
        return cls(kind, values.word('an export', f'the id of the {kind}', identifier, 64,
                                     empty=False))


@dataclasses.dataclass(frozen=True)
class Peer:
    """To whom something is mapped.

    :param key: the same for two connectors that are one peer; empty for the target itself
    :param connector: as JSON text, to undo the mapping with
    """

    key: str = ''
    host: str = ''
    initiators: tuple[str, ...] = ()
    connector: str | None = None

    @classmethod
    def of(cls, connector: Any) -> 'Peer':
        """The peer that a connector names; host, initiator and wwpns may all be missing.

        :raises JournalBadValue: it is no dictionary that JSON can hold, or far too large
        """
        text = values.dump('a connector', connector)
        if text is None or not isinstance(connector, Mapping):
            raise exceptions.JournalBadValue(what='a connector', reason='it is no dictionary')
        if len(text) > CONNECTOR_LIMIT:
            raise exceptions.JournalPayloadTooLarge(
                what='a connector', size=len(text), limit=CONNECTOR_LIMIT)
        host = values.word('a connector', 'its host', connector.get('host') or '', 255)
        names = tuple(sorted({str(name) for key in NAMES for name in _many(connector.get(key))}))
        # NOTE: initiators are the same whatever their case (RFC 3720 3.2.6.1; WWPNs are hex).
        told = jsonutils.dumps([host, sorted({name.lower() for name in names})])
        return cls(hashlib.sha256(told.encode()).hexdigest(), host, names, text)


def counting(names: Iterable[Any], forms: Collection[str]) -> frozenset[str]:
    """The names by which two connectors are one to the array, in lower case.

    :param forms: those that the array goes by; a name of another one does not count, unless there
        is nothing else
    """
    lower = frozenset(str(name).lower() for name in names)
    return frozenset(name for name in lower if not any(
        FORMS[form].fullmatch(name) for form in FORMS.keys() - forms)) or lower


def _many(value: Any) -> list[Any]:
    if value is None or value == '':
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


@dataclasses.dataclass(frozen=True, repr=False)
class Export(records.Row):
    """One row of the ledger; times are naive UTC."""

    id: int
    backend: str
    kind: str
    resource: str
    peer: str
    host: str
    initiators: list[str]
    connector: dict[str, Any] | None
    attachment: str
    state: str
    before: str
    target: str
    lun: str
    identity: list[str]
    service: str
    incarnation: str
    error: str
    attempts: int
    due_at: datetime.datetime | None
    created_at: datetime.datetime
    updated_at: datetime.datetime
    #: Who said when that the host of this peer is fenced; empty if nobody did.
    fenced: str
    #: See counting(); who reads the row knows them.
    forms: Collection[str] = frozenset(FORMS)

    @property
    def counting(self) -> frozenset[str]:
        """The names by which another connector may have this export, too."""
        return counting(self.initiators, self.forms)

    def __str__(self) -> str:
        """Name it in a message."""
        of = f'{self.kind} {self.resource}'
        if not self.peer:
            return f'the target of {of}'
        names = ', '.join(map(str, self.initiators)) or 'no initiator'
        return masking.one_line(f'the export of {of} to host {self.host or "(none)"} ({names})')


def peer_of(row: Export) -> Peer:
    """The peer of a row."""
    return Peer(row.peer, row.host, tuple(row.initiators),
                jsonutils.dumps(row.connector) if row.connector else None)


EXPORT: dict[str, rows.Check] = {
    'id': rows.NUMBER, 'backend': rows.TEXT, 'kind': rows.one_of(KINDS), 'resource': rows.TEXT,
    'peer': rows.TEXT, 'host': rows.TEXT, 'initiators': rows.json_of(list),
    'connector': rows.json_of(dict), 'attachment': rows.TEXT, 'state': rows.one_of(STATES),
    'before': rows.TEXT, 'target': rows.TEXT, 'lun': rows.TEXT,
    'identity': rows.json_of(list), 'service': rows.TEXT, 'incarnation': rows.TEXT,
    'error': rows.TEXT, 'attempts': rows.NUMBER, 'due_at': rows.TIME_OR_NONE,
    'created_at': rows.TIME, 'updated_at': rows.TIME, 'fenced': rows.TEXT,
}


def export(row: Any, database: str, forms: Collection[str] = frozenset(FORMS)) -> Export:
    """Return the record of a row."""
    return Export(**rows.read(EXPORT, row, database, models.EXPORTS.name), forms=forms)
