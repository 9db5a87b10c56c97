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
"""Mendings of migsafe that can be taken out, to see what it did without them.

Each is what one way to lose a disk is kept from by; the same fault is replayed with and without.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from unittest import mock

from migsafe.journal.records import Transaction
from migsafe.nova.clients import records
from migsafe.nova.host import lease, participant, release, word
from migsafe.nova.seams import left, rollback
from migsafe.resources import loser_attachments, volume_connection
from migsafe.transaction import belief
from migsafe.transaction.clients import Attachment, InstanceRow, OtherMove, VolumeRow
from migsafe.transaction.evidence import Evidence
from migsafe.transaction.move import Move
from migsafe.transaction.verdict import Decision, Verdict

#: (object, attribute, what stands there instead) of each.
Without = tuple[tuple[Any, str, Any], ...]


def _until_it_is_free(connection: volume_connection.VolumeConnection, move: Move,
                      attachments: list[Attachment]) -> list[VolumeRow]:
    """Rows are looked at until the instance is given back to its owner, and never again."""
    return [] if move.freed or move.superseded else connection._volumes(move)


def _told(tx: Transaction, evidence: Evidence, later: Sequence[OtherMove],
          said: tuple[str, str] | None, instance: InstanceRow | None) -> Decision:
    """What the other host says is the verdict."""
    if said is None:
        return belief.judge(tx, evidence, later)
    return Decision(Verdict(said[0]), True, f'decided by {said[1]}')


def _unheard(*_asked: Any, **_named: Any) -> str:
    """Nothing speaks against what another host asks for."""
    return ''


#: An older transaction sees that it is not the newest operation of the instance, and none takes
#: an attachment of a third host for its own.
_OVERTAKEN: Without = (
    (records.Records, 'later', lambda _records, _tx: []),
    (loser_attachments, '_of_another_host', lambda _move, _attachment: False))

#: name -> what it is about
MENDINGS: Mapping[str, Without] = {
    # nobody writes a row who may not lead the instance any more, what he did write is undone, by
    # Nova's own message of the end as well, and nothing is done to an instance here while a row
    # leads to another host
    'late': (
        (lease.Lease, 'overdue', lambda _lease: False),
        (lease, 'waited', lambda _sent: False),
        (release, '_busy', _unheard),
        (volume_connection.VolumeConnection, '_wrong_ones', _until_it_is_free),
        (left, '_another', lambda *_asked: None),
        (rollback, '_heard', lambda _participant, _here, own: own)),
    'overtaken': _OVERTAKEN,
    # and so does one that comes back out of a backup: what its source has settled was given back
    'restored': (
        *_OVERTAKEN,
        (participant, 'FREED', 'given back, and forgotten')),
    # this host's own libvirt comes before the other host's word
    'told': (
        (belief, 'weighed', _told),
        (word, 'refusal', _unheard)),
}


@contextlib.contextmanager
def without(mendings: Without) -> Iterator[None]:
    """Take them out for a while."""
    with contextlib.ExitStack() as stack:
        for target, name, instead in mendings:
            stack.enter_context(mock.patch.object(target, name, instead))
        yield
