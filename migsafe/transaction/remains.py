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
"""What a transaction still has when its instance has moved on without it."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

from migsafe import exceptions
from migsafe.journal.api import Journal
from migsafe.journal.records import Transaction
from migsafe.resources import instance_record
from migsafe.text import shell
from migsafe.transaction import belief, verdict
from migsafe.transaction.clients import Attachment, Clients, OtherMove
from migsafe.transaction.effect import Effect
from migsafe.transaction.history import History
from migsafe.transaction.move import FREED

#: The kind of residue on the list.
KIND = 'R2-left'
_LEFT = ('attachment %(id)s of volume %(volume)s to %(host)s is of live migration %(uuid)s, which '
         'a later operation has overtaken; no row of instance %(instance)s names it. It is left, '
         'because it may share its export with the attachment that the instance uses on that '
         'host. Once the instance is on another host: openstack --os-volume-api-version 3.27 '
         'volume attachment delete %(typed)s')
#: The list is read, changed and written by one thread at a time.
_LISTED = threading.Lock()


def moved_on(tx: Transaction, history: History, later: Sequence[OtherMove],
             clients: Clients) -> bool:
    """The instance was usable again and has been moved to the loser.

    What is left there is in use by it, and is no longer the transaction's.

    :param later: what Nova has recorded of the instance after it, the oldest first
    """
    ends = _end(tx, later)
    if ends is None:
        return False
    loser = tx.source_host if ends is verdict.Verdict.COMMIT else tx.dest_host
    if FREED not in history.notes and not any(
            other.over and not other.came_to_nothing and other.dest_host == loser
            for other in later):
        return False
    now = clients.records.instance(tx.instance_uuid)
    return now is not None and now.host == loser


def _end(tx: Transaction, later: Sequence[OtherMove]) -> verdict.Verdict | None:
    if tx.verdict in verdict.DECIDED:
        return verdict.Verdict(tx.verdict)
    return belief.recorded(tx, later)


def left(tx: Transaction, history: History, clients: Clients) -> list[Attachment]:
    """What is named when it ends, and not touched: on a host that has the instance again, an
    old attachment may share its export with the one that is in use.

    :raises Unanswered: the destination, which has the instance, does not say what it had made
    """
    peer = _destinations(tx, clients)
    rows = {row.attachment_id for row in clients.records.volumes(tx.instance_uuid)}
    mine = {str(captured.get('attachment_id')) for captured in
            history.captured('volume_connection').values()}
    for made in (history.attachments, peer.get('attachments') or {}):
        mine |= {one for found in made.values() for one in found}
    unsure = {*history.unsure(), *(peer.get('unsure') or ())}
    return [attachment for attachment in clients.volumes.attachments(tx.instance_uuid)
            if attachment.id not in rows and (attachment.id in mine or (
                attachment.volume_id in unsure and attachment.host in (None, tx.dest_host)))]


def _destinations(tx: Transaction, clients: Clients) -> Mapping[str, Any]:
    """What the destination says that it has made, if it has the instance and is another host."""
    now = clients.records.instance(tx.instance_uuid)
    if tx.role != 'source' or now is None or now.host != tx.dest_host:
        return {}
    said = clients.peer.describe(tx.dest_host, tx.uuid)
    if said is None and not clients.peer.unarmed(tx.dest_host, tx.uuid):
        raise exceptions.Unanswered(
            host=tx.dest_host, uuid=tx.uuid, instance=tx.instance_uuid)
    return said or {}


def named(found: Sequence[Attachment]) -> str:
    """The same, for a reason."""
    names = ', '.join(f'attachment {a.id} of volume {a.volume_id}' for a in found)
    return f'; left, as no row names it: {names}' if names else ''


def note(journal: Journal, tx: Transaction, found: Sequence[Attachment]) -> None:
    """Have what is left on the list of residue, when the transaction is not any more."""
    if not found:
        return
    with _LISTED:
        journal.set_findings(KIND, _noted(journal) | {
            (tx.instance_uuid, attachment.id): _LEFT % {
                'id': attachment.id, 'volume': attachment.volume_id, 'uuid': tx.uuid,
                'instance': tx.instance_uuid, 'host': attachment.host or 'no host',
                'typed': shell(attachment.id)}
            for attachment in found})


def look_again(journal: Journal, clients: Clients) -> None:
    """Take from the list what Cinder does not have any more, and what a row names again."""
    with _LISTED:
        noted = _noted(journal)
        still = {}
        for instance in {instance for instance, _ in noted}:
            rows = {row.attachment_id for row in clients.records.volumes(instance)}
            there = {a.id for a in clients.volumes.attachments(instance)} - rows
            still.update({thing: text for thing, text in noted.items()
                          if thing[0] == instance and thing[1] in there})
        if still != noted:
            journal.set_findings(KIND, still)


def _noted(journal: Journal) -> dict[tuple[str, str], str]:
    return {(one.instance_uuid, one.key): one.text for one in journal.findings(kind=KIND)
            if one.kind == KIND}


def give_back(tx: Transaction, later: Sequence[OtherMove], clients: Clients,
              journal: Journal) -> None:
    """What goes by the migration's own uuid is no other operation's: its claim in Placement,
    and its record."""
    if tx.role == 'source' and clients.allocations.held(tx.uuid):
        with Effect(journal, tx, 'allocation', 'allocation_delete', tx.uuid):
            clients.allocations.delete(tx.uuid)
    status = clients.records.migration_status(tx.uuid)
    if tx.role == 'source' and status is not None and status not in instance_record.TERMINAL:
        final = instance_record.FINAL[_end(tx, later) or verdict.Verdict.ABORT]
        with Effect(journal, tx, 'instance_record', 'migration_status', '', {'status': final}):
            clients.records.finish_migration(tx.uuid, final)
