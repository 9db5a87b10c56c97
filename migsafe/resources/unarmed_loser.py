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
"""A destination without migsafe that has lost: what Nova's own way lets go of there.

It keeps no journal, and nobody can look at its devices. Nova has one message by which it
disconnects a volume, and that goes by what the volume's row says when it arrives. So it is sent
before the row is put right, and only while the row leads to what was made for that host: by the
source's LUN number it would disconnect the disk of another.
"""

from __future__ import annotations

from collections.abc import Iterable

from oslo_log import log as logging

from migsafe import exceptions
from migsafe.resources import volume_target
from migsafe.text import masked, shell
from migsafe.transaction.clients import Attachment, VolumeRow
from migsafe.transaction.evidence import GuestState
from migsafe.transaction.move import Move

LOG = logging.getLogger(__name__)

#: A note: the destination has answered the request to prepare, so that it writes nothing more.
ANSWERED = 'the part of the destination is over'
#: A note: the destination has disconnected a volume at Nova's request, by this attachment. A
#: message that comes twice makes another one there.
LET_GO = 'let go of at the request of Nova: '
_STAYS = ('{host} has no migsafe, and nothing shows that it has let go of volume {volume}. It is '
          'removed once migsafe is there; or look for its device there by hand, and when it is '
          'gone: openstack --os-volume-api-version 3.27 volume attachment delete {attachment}')


def over(move: Move) -> bool:
    """Whether nothing is at work any more on a destination that has lost and has no migsafe.

    Its Nova has answered, and by this host's own libvirt the guest is here and no transfer goes
    on. No answer, or one that is late, may come from a host that still writes.
    """
    here = move.evidence.of(move.local)
    return (move.local == move.winner == move.tx.source_host and ANSWERED in move.history.notes
            and here.guest is GuestState.HERE and not here.job and move.unarmed)


def let_go(move: Move, row: VolumeRow, target: volume_target.Target,
           attachments: Iterable[Attachment]) -> None:
    """Have the destination disconnect a volume, before its row is put right.

    A failure is no reason to leave the row wrong: what it leads to stays exported.

    :param target: what the row has to say
    :param attachments: those of the instance
    :raises Overtaken: it is not this transaction's to do any more
    :raises JournalError: it was not sent, or is not known to have been; the row stays, so that it
        can be sent again
    """
    theirs = any(a.id == row.attachment_id and a.host in (None, move.loser) for a in attachments)
    legacy = row.attachment_id is None and target.attachment_id is None
    done = _noted(row.volume_id, row.attachment_id)
    if not (theirs or legacy) or done in move.history.notes or volume_target.same(
            row.connection_info, target.connection_info) or not (move.newest and over(move)):
        return
    try:
        with move.effect(volume_target.NAME, 'remove_connection', row.volume_id):
            move.clients.peer.let_go(move.loser, move.tx.instance_uuid, row.volume_id)
    except (exceptions.Overtaken, exceptions.JournalError):
        raise
    except Exception as error:
        LOG.warning('%s has no migsafe and was asked in vain to let go of volume %s of instance '
                    '%s: %s', move.loser, row.volume_id, move.tx.instance_uuid, masked(error))
        return
    move.journal.note(move.tx, done)
    move.history.notes.add(done)


def kept(move: Move, volumes: Iterable[str]) -> dict[str, str]:
    """Volumes that may have a device there, and why they stay exported.

    Where Cinder has no attachment for it any more there is nothing to be kept: its Nova has
    deleted it, as it does when it cannot prepare.
    """
    named = {row.attachment_id for row in move.clients.records.volumes(move.tx.instance_uuid)}
    left: list[tuple[str, str | None]] = [
        (a.volume_id, a.id) for a in move.clients.volumes.attachments(move.tx.instance_uuid)
        if a.id not in named and a.host in (None, move.loser)]
    left += [(volume, None) for volume, captured in
             move.history.captured(volume_target.NAME).items()
             if not captured.get('attachment_id')]
    wanted = set(volumes)
    return {volume: _STAYS.format(host=move.loser, volume=volume,
                                  attachment=shell(attachment or 'ID'))
            for volume, attachment in left if volume in wanted
            and _noted(volume, attachment) not in move.history.notes}


def _noted(volume: str, attachment: str | None) -> str:
    return f'{LET_GO}{volume} {attachment or ""}'.rstrip()
