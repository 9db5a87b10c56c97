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
"""The instance directory on a host that does not run the guest."""

from __future__ import annotations

from typing import Any

from oslo_log import log as logging

from migsafe.resources import base
from migsafe.text import shell
from migsafe.transaction.evidence import NO_QEMU, GuestState, HostEvidence
from migsafe.transaction.move import Move, Point
from migsafe.transaction.residue import Residue
from migsafe.transaction.subject import Subject
from migsafe.transaction.verdict import Verdict

LOG = logging.getLogger(__name__)

#: What an operator is told of a directory that nothing shows to be of the migration.
STAYS = ('{path} stays on {host}: its journal does not say that live migration {uuid} of instance '
         '{instance} has made it. If no storage of another host is behind it and its disks are '
         'not needed, move it away by hand; a migration to {host} is refused until then')

#: A guest whose domain is on the destination has arrived with all its disks.
ARRIVED = frozenset((GuestState.HERE, GuestState.SHUT_OFF))


class InstanceDirectory(base.Resource):
    """R11: what is left makes the next attempt fail (DestinationDiskExists).

    Removed only by the host that has it, only when this transaction made it
    (destination) or has moved it away (source), never again once it was gone,
    never when the directory may be on storage that both hosts share, and never
    while it may hold the only complete copy of a disk.
    """

    name = 'instance_directory'
    local = True
    commit_points = (Point.DEVICES,)
    revert_points = (Point.DEVICES,)

    def capture(self, subject: Subject) -> dict[str, Any]:
        found = {'exists': subject.directory_exists, 'shared': subject.directory_shared}
        if subject.directory_half_deleted is not None:
            found['half_deleted'] = subject.directory_half_deleted
        return {'': found}

    def commit(self, move: Move, point: Point) -> None:
        self._remove(move)

    def revert(self, move: Move, point: Point) -> None:
        self._remove(move)

    def inspect(self, move: Move) -> list[Residue]:
        path = self._leftover(move)
        return [] if path is None else [Residue(
            'R11', self.name, '', move.local, f'{path} still exists')]

    def _leftover(self, move: Move) -> str | None:
        if move.loser != move.local or not self._ours(move):
            return None
        return move.clients.directories.find(move.tx.instance_uuid, self._novas(move))

    def _novas(self, move: Move) -> bool:
        """Whether a half deleted one is of this migration. On a destination it has to have been
        looked for before anything was made: of an older one nobody knows what it holds."""
        return move.local == move.tx.source_host \
            or move.history.capture(self.name).get('half_deleted') is False

    def _ours(self, move: Move) -> bool:
        if (self.name, '') in move.history.settled:
            # It was gone: what is there now was made by something else.
            return False
        captured = move.history.capture(self.name)
        if captured.get('shared') is not False:
            return False
        if move.local == move.tx.source_host:
            return True
        return captured.get('exists') is False

    def _remove(self, move: Move) -> None:
        path = self._leftover(move)
        if path is None:
            self._name_what_stays(move)
            return
        guest = move.clients.guests.evidence(move.tx.instance_uuid)
        if not move.decision.teardown or guest.guest not in NO_QEMU:
            raise base.Held({'': f'{path} may be in use: {guest}'})
        if not (move.instance is None or self._copied(move, guest)):
            raise base.Held({'': (
                f'{path} may be the only copy of its disks: the guest was not '
                f'seen on {move.winner} [{move.evidence.of(move.winner)}; '
                f'{guest}]. It is removed once the guest is seen there; if the '
                'disks are not needed, move the directory away by hand')})
        with move.effect(self.name, 'directory_remove', '', {'path': path}):
            move.clients.directories.remove(move.tx.instance_uuid, self._novas(move))

    def _name_what_stays(self, move: Move) -> None:
        """A host that has no journal of the migration, or had not the plugin then, cannot tell
        whose the directory is, nor whether it is on storage that the other host uses."""
        if move.loser != move.local or (self.name, '') in move.history.settled \
                or move.history.capture(self.name).get('shared') is not None:
            return
        path = move.clients.directories.find(move.tx.instance_uuid, half_deleted=False)
        if path is None:
            return
        text = STAYS.format(path=path, host=move.local, instance=shell(move.tx.instance_uuid),
                            uuid=move.tx.uuid)
        if text not in move.history.notes:
            move.journal.note(move.tx, text)
            LOG.warning('%s', text)

    @staticmethod
    def _copied(move: Move, guest: HostEvidence) -> bool:
        """Whether the newest state of the disks is on the winner.

        :param guest: what this host's libvirt says of the guest
        """
        if move.local == move.tx.dest_host:
            # Without a domain here it has never arrived; see GuestState.
            return guest.guest is not GuestState.SHUT_OFF or \
                move.clients.peer.evidence(
                    move.winner, move.tx.uuid, move.tx.instance_uuid
                ).guest is GuestState.HERE
        # The destination commits for itself only when it has seen the guest.
        return (move.evidence.destination.guest in ARRIVED
                or move.peer_verdict() == Verdict.COMMIT.value)
