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
"""Which attachments in Cinder belong to the losing host and may be deleted.

While the instance is busy with the migration, all that its rows do not need
are. Afterwards a resize, a shelve or the next migration reserves new ones, which
for a moment no row names and no host has: then only those count that are known to
be old, or that a journal says were made for this one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from migsafe import exceptions
from migsafe.transaction import third_host
from migsafe.transaction.clients import LIVE_MIGRATION, Attachment, OtherMove, VolumeRow
from migsafe.transaction.move import Move

#: A note of the journal: an attachment that was there before the instance
#: was given back.
OLD = 'old attachment '


def remember(move: Move, left: Iterable[Attachment]) -> None:
    """Journal what could not be deleted yet; each once."""
    if not move.newest or move.superseded:
        return
    for attachment in left:
        _note(move, attachment.id)


def replaced(move: Move, wrong: str | None, right: str | None,
             attachments: Iterable[Attachment]) -> None:
    """Journal what a row named that was put right; nobody else would know whose it was.

    What a third host may have is another migration's, whose destination may have a device of it.
    """
    ours = {move.tx.source_host, move.tx.dest_host}
    elsewhere = any(other.dest_host not in ours for other in move.later)
    third = {a.id for a in attachments
             if a.host not in ours and (a.host is not None or elsewhere)}
    if wrong and wrong != right and wrong not in known(move) | third:
        _note(move, wrong)


def _note(move: Move, attachment_id: str) -> None:
    note = OLD + attachment_id
    if note not in move.history.notes:
        move.journal.note(move.tx, note)
        move.history.notes.add(note)


def losers(move: Move, attachments: Sequence[Attachment],
           rows: Iterable[VolumeRow]) -> list[Attachment]:
    """Attachments that this transaction may delete.

    :raises Unanswered: the other host has let go of all, and does not say what it had made; or
        see :func:`_unheard`
    """
    # Before a destination was chosen there is nobody who could have made anything.
    if move.loser not in ('', move.local) and move.instance is None and not move.kept:
        move.peer_attachments(needed=True)
    mine = known(move) | _unheard(move, attachments)
    if lost_too(move):
        mine |= own(move)
    touched = any(move.loser in (o.source_host, o.dest_host) for o in move.later)
    if move.instance is None or not (move.newest or move.superseded or touched):
        # Deleted, or given back and not moved to the loser since: nobody needs any of the
        # loser's there, but only those have been looked at.
        return [a for a in attachments
                if a.id in mine or a.host == move.loser]
    if not move.newest or move.superseded:
        return [a for a in attachments if a.id in mine]
    # One of the winner that no row names is of before, and may share its export with the one that
    # the guest there uses: most arrays map a volume to a host once.
    volumes = {row.volume_id for row in rows}
    return [a for a in attachments if a.id in mine or (
        a.volume_id in volumes and a.host != move.winner and not _of_another_host(move, a))]


def _of_another_host(move: Move, attachment: Attachment) -> bool:
    """Whether a third host may have a device of it, which an earlier operation has left there.

    Cinder names the host once an attachment is complete.
    """
    if attachment.host is not None:
        return attachment.host not in (move.tx.source_host, move.tx.dest_host)
    made = {one for ids in move.peer_attachments().values() for one in ids}
    return attachment.id not in made and bool(
        move.clients.volumes.connection_info(attachment.id)) and any(
            _may_be_left(move, other)
            for other in move.clients.records.moves(move.tx.instance_uuid))


def _may_be_left(move: Move, other: OtherMove) -> bool:
    """Whether an earlier move may have left something on a host that is none of these two."""
    if other.dest_host in (move.tx.source_host, move.tx.dest_host, '') \
            or (other.over and not other.came_to_nothing):
        return False
    if other.kind != LIVE_MIGRATION:
        return True
    said = move.clients.peer.describe(other.dest_host, other.uuid)
    return said is None or (said['known'] and said['state'] != 'settled')


def lost_too(move: Move) -> bool:
    """Whether this host has won, and the instance is gone from it all the same.

    It was deleted, or brought to a third host while this transaction was open. Nova has deleted
    what its rows named then, which may be what the other host had made. What is left of this
    host's own is nobody's, and no journal but its own knows of it.
    """
    if move.local != move.winner or not move.loser:
        return False  # before a destination was chosen nothing has changed
    if move.instance is None:
        return True
    comes_back = any(move.local in (other.source_host, other.dest_host) for other in move.later
                     if not (other.over or other.only_asked_for))
    return not comes_back and move.instance.task_state is None and third_host.brought_by(
        move.tx, move.instance, move.later) is not None


def _unheard(move: Move, attachments: Sequence[Attachment]) -> set[str]:
    """What was made for the destination by a process that did not learn the id: it was killed,
    or the answer was an error.

    Nothing but a move makes a second attachment of a volume that the instance has. While none
    is going on or has come after, one of the destination or of no host that no row names is
    that one. An evacuation, say, that is over makes its own without a connection, and
    has a row name it before it gets one (ComputeManager.rebuild_instance).

    :raises Unclear: something is at work on the instance, which may have made it
    """
    if move.loser != move.tx.dest_host or any(
            other.kind == LIVE_MIGRATION
            or (other.dest_host == move.loser and not other.came_to_nothing)
            for other in move.later):
        return set()
    idle = move.instance is None or (
        move.instance.task_state is None and all(other.over for other in move.later))
    if move.newest and not idle:
        return set()  # busy with this one, where more than that goes
    volumes = (move.history.unsure() if move.loser == move.local else move.peer_unsure())
    named = {row.attachment_id for row in move.clients.records.volumes(move.tx.instance_uuid)} \
        if volumes and move.instance else set()
    found = {a.id for a in attachments
             if a.host in (None, move.tx.dest_host) and a.volume_id in volumes
             and a.id not in named
             and (not move.later or move.clients.volumes.connection_info(a.id))}
    if found and move.instance is not None and not idle:
        raise exceptions.Unclear(
            attachments=', '.join(sorted(found)), instance=move.tx.instance_uuid,
            uuid=move.tx.uuid, host=move.loser,
            task=move.instance.task_state or move.later[-1])
    return found


def known(move: Move) -> set[str]:
    """What this transaction captured or made, of the host that lost."""
    if move.loser == move.tx.source_host:
        found = _captured(move)
    else:
        found = _made(move.history.attachments.values())
        # Of a deleted instance no row tells what was made.
        if move.loser != move.local and (move.instance is None or not move.newest):
            found |= _made(move.peer_attachments().values())
    return found | {note.removeprefix(OLD) for note in move.history.notes
                    if note.startswith(OLD)}


def own(move: Move) -> set[str]:
    """What this host had when the transaction began, or has made in it."""
    found = _made(move.history.attachments.values())
    return found | _captured(move) if move.local == move.tx.source_host else found


def _captured(move: Move) -> set[str]:
    return {str(captured['attachment_id']) for captured in
            move.history.captured('volume_connection').values() if captured.get('attachment_id')}


def _made(ids: Iterable[Iterable[str]]) -> set[str]:
    return {i for found in ids for i in found}
