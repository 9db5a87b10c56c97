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
"""The history of one transaction, read from its journal records."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from migsafe.journal.records import Record

CREATE = 'attachment_create'
CONNECT = 'connect_volume'
DISCONNECT = 'disconnect_volume'
#: An operator's request to take back a verdict, or that a host is dead.
WITHDRAW = 'withdraw'
#: What migsafe-manage db restore writes to all that was not settled when the backup was made.
RESTORED = 'restored'
#: A note: no device of a volume was there when it was looked for.
GONE = 'no device of volume '
LEGACY_CONNECT = 'initialize_connection'
#: What became of an intent that was written ahead of its turn, which then did not come.
NOT_BEGUN = {'error': 'NotBegun'}


@dataclasses.dataclass
class History:
    """One participant's knowledge of one transaction.

    :param captures: (resource, key) -> what was captured at the beginning
    :param attachments: volume id -> attachment ids made here for it
    :param connections: volume id -> connection_info that may be connected here
    :param open_intents: intents with no outcome: they may have happened
    :param failed: effects whose outcome is not ``ok``
    :param uncreated: volumes for which the answer to attachment_create was an error, which
        does not say that nothing was made
    :param holds: (resource, key) that is held
    :param settled: (resource, key) that was verified
    :param ended: volumes whose device here was seen to be gone after a disconnect
    :param undone: volumes whose last disconnect here did not go well
    :param dead_hosts: hosts that an operator declared dead
    :param guest_on: the host on which an operator says that the guest is, against a verdict
        or against the other host's word
    """

    captures: dict[tuple[str, str], Any] = dataclasses.field(
        default_factory=dict)
    attachments: dict[str, list[str]] = dataclasses.field(
        default_factory=dict)
    connections: dict[str, dict[str, Any]] = dataclasses.field(
        default_factory=dict, repr=False)
    open_intents: dict[int, Record] = dataclasses.field(
        default_factory=dict)
    failed: list[str] = dataclasses.field(default_factory=list)
    uncreated: set[str] = dataclasses.field(default_factory=set)
    ended: set[str] = dataclasses.field(default_factory=set)
    undone: set[str] = dataclasses.field(default_factory=set)
    dead_hosts: set[str] = dataclasses.field(default_factory=set)
    guest_on: str = ''
    holds: set[tuple[str, str]] = dataclasses.field(default_factory=set)
    settled: set[tuple[str, str]] = dataclasses.field(default_factory=set)
    notes: set[str] = dataclasses.field(default_factory=set)

    def capture(self, resource: str, key: str = '') -> dict[str, Any]:
        """A capture as a dictionary, empty when there is none."""
        found = self.captures.get((resource, key))
        return found if isinstance(found, dict) else {}

    def may_be_connected(self, source: bool) -> dict[str, dict[str, Any]]:
        """volume id -> connection_info by which this host may have it, by the journal alone.

        :param source: whether this host is the source, which had all that was captured
        """
        found = dict(self.connections)
        for volume, captured in self.captured('volume_connection').items() if source else ():
            info = captured.get('connection_info')
            if isinstance(info, dict):
                found.setdefault(volume, info)
        return found

    def unsure(self) -> list[str]:
        """Volumes for which an attachment may have been made that nobody knows the id of."""
        return sorted(self.uncreated | {record.key for record in self.open_intents.values()
                                        if record.effect == CREATE})

    def captured(self, resource: str) -> dict[str, dict[str, Any]]:
        """All captures of one resource, by key."""
        return {key: value for (name, key), value in self.captures.items()
                if name == resource and isinstance(value, dict)}


def _on_intent(history: History, record: Record) -> None:
    history.open_intents[record.id] = record
    if record.effect == CONNECT and isinstance(record.payload, dict):
        # Durable before the effect: from here on it may be connected.
        history.connections[record.key] = record.payload
        history.ended.discard(record.key)
        history.undone.discard(record.key)


def _on_outcome(history: History, record: Record) -> None:
    intent = history.open_intents.pop(record.ref or 0, None)
    if record.payload == NOT_BEGUN:
        return
    effect = intent.effect if intent else record.effect
    if record.status != 'ok':
        history.failed.append(f'{record.effect or "effect"} {record.key}')
        if effect == DISCONNECT:
            history.undone.add(record.key)
        elif effect == CREATE:
            history.uncreated.add(record.key)
        return
    payload = record.payload if isinstance(record.payload, dict) else {}
    if effect == CREATE and payload.get('attachment_id'):
        history.attachments.setdefault(record.key, []).append(
            str(payload['attachment_id']))
    elif effect == CONNECT and payload:
        history.connections[record.key] = payload
    elif effect == DISCONNECT:
        # What has that number from now on is somebody else's.
        history.connections.pop(record.key, None)
        history.ended.add(record.key)
        history.undone.discard(record.key)


def _on_capture(history: History, record: Record) -> None:
    history.captures[(record.resource, record.key)] = record.payload


def _on_request(history: History, record: Record) -> None:
    payload = record.payload if isinstance(record.payload, dict) else {}
    if record.effect == 'peer_is_dead' and payload:
        history.dead_hosts.add(str(payload.get('host', '')))
    elif record.effect == WITHDRAW:
        history.guest_on = str(payload.get('host') or '')
        history.dead_hosts.discard(history.guest_on)
    elif record.effect == RESTORED:
        # What an operator has said may have been taken back since the backup was made.
        history.dead_hosts.clear()
        history.guest_on = ''


def _on_verdict(history: History, record: Record) -> None:
    """What is decided after the request is the answer to it."""
    if record.status != 'HOLD':
        history.guest_on = ''


def _on_note(history: History, record: Record) -> None:
    history.notes.add(record.text)
    if record.text.startswith(GONE):
        history.ended.add(record.text.removeprefix(GONE))


def _on_hold(history: History, record: Record) -> None:
    history.holds.add((record.resource, record.key))
    history.settled.discard((record.resource, record.key))


def _on_settled(history: History, record: Record) -> None:
    history.holds.discard((record.resource, record.key))
    history.settled.add((record.resource, record.key))


HANDLERS = {'intent': _on_intent, 'outcome': _on_outcome,
            'capture': _on_capture, 'request': _on_request, 'note': _on_note,
            'verdict': _on_verdict,
            'hold': _on_hold, 'settled': _on_settled}


def read(records: Iterable[Record]) -> History:
    """Fold a transaction's records, oldest first, into a History."""
    history = History()
    for record in records:
        handler = HANDLERS.get(record.kind)
        if handler is not None:
            handler(history, record)
    return history
