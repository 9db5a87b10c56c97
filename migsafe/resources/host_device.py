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
"""SCSI, multipath, NVMe and RBD devices of a guest on one host."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from migsafe import exceptions
from migsafe.resources import (
    base,
    device_connection,
    loser_attachments,
    unarmed_loser,
    unclaimed,
)
from migsafe.text import masked
from migsafe.transaction import answers, history
from migsafe.transaction.clients import Attachment
from migsafe.transaction.evidence import NO_QEMU, HostEvidence
from migsafe.transaction.move import Move, Point
from migsafe.transaction.residue import Residue


class HostDevice(base.Resource):
    """R4: only the host that has a device can remove it, and it looks first."""

    name = 'host_device'
    local = True
    commit_points = (Point.DEVICES,)
    revert_points = (Point.DEVICES,)

    def commit(self, move: Move, point: Point) -> None:
        self._release(move)

    def revert(self, move: Move, point: Point) -> None:
        self._release(move)

    def inspect(self, move: Move) -> list[Residue]:
        if move.loser and not (move.released or move.loser == move.local):
            return [Residue('R4', self.name, '', move.loser,
                               'its devices have not been looked at')]
        if move.loser != move.local or move.loser_is_dead:
            return [Residue('R4', self.name, volume, move.loser, reason)
                    for volume, reason in move.kept.items()]
        return [
            Residue('R4', self.name, volume, move.local,
                       f'{", ".join(paths)} still connected'
                       f'{_because(move.kept.get(volume))}')
            for volume, info in self.connections(move).items()
            if volume not in move.history.ended
            and (paths := self._paths(move, info))]

    def _release(self, move: Move) -> None:
        if not move.loser_is_dead:
            move.kept = dict(self._kept(move))
        if loser_attachments.lost_too(move):
            move.kept.update(self._own_kept(move))
        move.released = True
        if move.kept:
            raise base.Held(move.kept)

    def _kept(self, move: Move) -> dict[str, str]:
        if not move.decision.teardown:
            if unarmed_loser.over(move):
                return unarmed_loser.kept(move, self._all_volumes(move))
            reason = (f'{move.loser} is not safe to touch: '
                      f'{move.decision.reason}')
            return dict.fromkeys(self._all_volumes(move), reason)
        if not move.loser:
            return {}  # no destination was ever chosen
        if move.loser != move.local:
            reply = move.clients.peer.release(
                move.loser, move.tx.uuid, move.tx.instance_uuid,
                move.decision.verdict.value)
            move.seen = reply.get('state') == 'done'
            move.settling = reply.get('reason') == answers.SETTLING
            return peer_kept(reply, self._all_volumes(move))
        move.seen = True
        return self._release_here(move)

    def _own_kept(self, move: Move) -> dict[str, str]:
        """What this host has to keep of an instance that it has won, and that is gone.

        Only what is still exported to it: what is not was let go of by whatever took the instance
        away, and its number may be somebody else's.
        """
        return {volume: f'{move.local}: {reason}' for volume, reason in self._let_go(
            move, self._mapped(move)).items()}

    def _all_volumes(self, move: Move) -> list[str]:
        volumes = set(move.history.captured('volume_connection'))
        volumes |= set(move.history.connections)
        if move.instance is not None:
            volumes |= {row.volume_id for row in
                        move.clients.records.volumes(move.tx.instance_uuid)}
        return sorted(volumes)

    def connections(self, move: Move) -> dict[str, dict[str, Any]]:
        """volume id -> connection_info that may be connected on this host.

        What this host journalled; where it has no journal of it (older than
        the plugin), what Cinder holds for this host, or what a device says of itself.
        See ``ended`` of the history for what it has seen go: whatever has that number by now
        is another disk.
        """
        found = move.history.may_be_connected(move.local == move.tx.source_host)
        for attachment in self._attachments(move):
            if attachment.host == move.local \
                    and attachment.volume_id not in found:
                info = move.clients.volumes.connection_info(attachment.id)
                if info:
                    found[attachment.volume_id] = info
        for one in unclaimed.devices(move, self._attachments(move)):
            if one.proven and one.attachment.volume_id not in found:
                found[one.attachment.volume_id] = one.info
        return found

    def _attachments(self, move: Move) -> list[Attachment]:
        return move.clients.volumes.attachments(move.tx.instance_uuid)

    def _release_here(self, move: Move) -> dict[str, str]:
        kept = self._let_go(move)
        for one in unclaimed.devices(move, self._attachments(move)):
            kept.setdefault(one.attachment.volume_id, unclaimed.why(move, one))
        return kept

    def _let_go(self, move: Move, only: set[str] | None = None) -> dict[str, str]:
        """Disconnect here what is connected; volume id -> why it has to stay."""
        kept = {}
        guest = move.clients.guests.evidence(move.tx.instance_uuid)
        mapped = self._mapped(move)
        for volume, info in self.connections(move).items():
            if only is not None and volume not in only:
                continue
            try:
                reason = self._disconnect(move, volume, info, guest, mapped)
            except Exception as error:  # one volume must not hold the others
                reason = f'disconnect failed: {masked(error)}'
                if isinstance(error, exceptions.JournalError):
                    move.unwritten.add(volume)
            if reason:
                kept[volume] = reason
        return kept

    def _mapped(self, move: Move) -> set[str]:
        """Volumes whose export to this host is still there, by Cinder.

        Cinder does not name the host of an attachment that is not complete. Such a one counts
        only where it is not known which one this host had: otherwise it is the other host's, and
        what was exported here may be gone, and its number somebody else's.
        """
        mine = {volume: set(ids) for volume, ids in move.history.attachments.items()}
        for volume, captured in move.history.captured('volume_connection').items():
            if move.local == move.tx.source_host and captured.get('attachment_id'):
                mine.setdefault(volume, set()).add(str(captured['attachment_id']))
        unsure = set(move.history.unsure())
        return {a.volume_id for a in self._attachments(move)
                if a.host == move.local or a.host is None and (
                    a.id in mine.get(a.volume_id, ()) or a.volume_id not in mine
                    or a.volume_id in unsure)}

    def _legacy(self, move: Move, volume: str) -> bool:
        captured = move.history.capture('volume_connection', volume)
        if captured:
            return captured.get('attachment_id') is None
        return volume not in move.history.attachments and not any(
            a.volume_id == volume for a in self._attachments(move))

    def _disconnect(self, move: Move, volume: str, info: dict[str, Any],
                    guest: HostEvidence, mapped: set[str]) -> str | None:
        """Disconnect one volume here; the reason if it has to stay."""
        paths = [] if volume in move.history.ended else self._paths(move, info)
        legacy = self._legacy(move, volume)
        connected = device_connection.connected(move, volume, info, paths,
                                                legacy or volume in mapped)
        if (connected or legacy) and guest.guest not in NO_QEMU:
            # Also what has no device to see: RBD and NFS live in QEMU.
            return f'{", ".join(paths) or volume} may be in use: {guest}'
        if paths and volume not in mapped and not legacy:
            return (f'{", ".join(paths)} exists but volume {volume} has no '
                    f'export to {move.local} any more: its LUN may lead to '
                    'another volume now; check the device by hand')
        if connected:
            with move.effect(self.name, history.DISCONNECT, volume):
                self._look_again(move, volume, info, legacy, paths)
                move.clients.devices.disconnect(move.tx.instance_uuid, info)
                # Part of the effect: it went well if the device was seen to be gone.
                paths = self._paths(move, info)
                if paths:
                    raise exceptions.StillThere(paths=', '.join(paths))
            move.history.ended.add(volume)
        elif volume not in move.history.ended:
            self._gone(move, volume)
        if legacy:
            with move.effect(self.name, 'terminate_connection', volume):
                move.clients.volumes.terminate(move.tx.instance_uuid, volume)
        return None

    def _look_again(self, move: Move, volume: str, info: dict[str, Any], legacy: bool,
                    before: list[str]) -> None:
        """The journal's disk, or a volume before this one, may have kept it waiting, and whoever
        has no migsafe deletes an export without asking.

        :raises LetGo: its number may be somebody else's by now
        """
        exported = legacy or volume in self._mapped(move)
        now = self._paths(move, info)
        if (now and not exported) or not device_connection.connected(
                move, volume, info, now, exported):
            raise exceptions.LetGo(volume=volume, host=move.local,
                                   paths=', '.join(before) or volume)

    @staticmethod
    def _gone(move: Move, volume: str) -> None:
        """No device is there: a process that was killed has removed it, or the host was
        rebooted. Whatever has that LUN number from now on is another disk."""
        unheard = [number for number, intent in move.history.open_intents.items()
                   if intent.effect == history.DISCONNECT and intent.key == volume]
        for number in unheard:
            move.journal.outcome(move.tx, number, 'ok')
        if not unheard:
            move.journal.note(move.tx, history.GONE + volume)
        move.history.ended.add(volume)

    def _paths(self, move: Move, info: dict[str, Any]) -> list[str]:
        return move.clients.devices.paths(move.tx.instance_uuid, info)


def peer_kept(reply: Mapping[str, Any], volumes: list[str]) -> dict[str, str]:
    """What the other host says it had to keep, by volume.

    :param reply: the answer of the endpoint's ``release``
    :param volumes: the volumes that this host knows of
    """
    if reply.get('state') != 'done':
        reason = str(reply.get('reason') or 'no answer')
        return dict.fromkeys(volumes, reason)
    kept = reply.get('kept')
    if not isinstance(kept, Mapping):
        return dict.fromkeys(volumes, 'the other host gave no account of it')
    return {str(volume): str(reason) for volume, reason in kept.items()}


def _because(reason: str | None) -> str:
    return f' ({reason})' if reason else ''
