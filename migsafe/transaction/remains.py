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

from collections.abc import Sequence

from migsafe.journal.api import Journal
from migsafe.journal.records import Transaction
from migsafe.resources import instance_record
from migsafe.transaction import belief, verdict
from migsafe.transaction.clients import Clients, OtherMove
from migsafe.transaction.effect import Effect
from migsafe.transaction.history import History
from migsafe.transaction.move import FREED


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


def left(tx: Transaction, history: History, clients: Clients) -> str:
    """What is named when it ends, and not touched: on a host that has the instance again, an
    old attachment may share its export with the one that is in use."""
    rows = {row.attachment_id for row in clients.records.volumes(tx.instance_uuid)}
    mine = {str(captured.get('attachment_id')) for captured in
            history.captured('volume_connection').values()}
    mine |= {made for found in history.attachments.values() for made in found}
    found = [f'attachment {a.id} of volume {a.volume_id}'
             for a in clients.volumes.attachments(tx.instance_uuid)
             if a.id in mine and a.id not in rows]
    return f'; left, as no row names it: {", ".join(found)}' if found else ''


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
