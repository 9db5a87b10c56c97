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
"""A volume's BDM row and its Cinder attachment, which change together."""

from __future__ import annotations

from typing import Any

from migsafe.resources import base, loser_attachments, unarmed_loser, volume_target
from migsafe.transaction.clients import Attachment, VolumeRow
from migsafe.transaction.evidence import PRESENT
from migsafe.transaction.move import QUIET, Move, Point
from migsafe.transaction.residue import Residue
from migsafe.transaction.subject import Subject


class VolumeConnection(base.Resource):
    """R1, R2 and the Cinder half of R3."""

    name = volume_target.NAME
    third_host = True
    alone = True
    commit_points = (Point.RECORDS, Point.EXPORTS)
    revert_points = (Point.RECORDS, Point.EXPORTS)

    def capture(self, subject: Subject) -> dict[str, Any]:
        return {row.volume_id: {'attachment_id': row.attachment_id,
                                'connection_info': row.connection_info}
                for row in subject.volumes}

    def commit(self, move: Move, point: Point) -> None:
        self._act(move, point)

    def revert(self, move: Move, point: Point) -> None:
        self._act(move, point)

    def _act(self, move: Move, point: Point) -> None:
        if point is Point.RECORDS:
            self._rows(move)
        else:
            held: dict[str, str] = {}
            try:
                self._exports(move)
            except base.Held as kept:
                held.update(kept.keys)
            finally:
                # Above all where the loser has not let go: then it may be at work, and write.
                held.update(self._look_again(move))
            if held:
                raise base.Held(held)

    def inspect(self, move: Move) -> list[Residue]:
        attachments = move.clients.volumes.attachments(move.tx.instance_uuid)
        found = []
        for row in self._wrong_ones(move, attachments):
            found += self._inspect_row(move, row, attachments)
        found += [
            Residue('R3', self.name, a.volume_id, a.host or move.loser,
                       f'attachment {a.id} still exists'
                       + _because(move.kept.get(a.volume_id)))
            for a in self._not_kept(move, attachments)]
        return found

    def _inspect_row(self, move: Move, row: VolumeRow,
                     attachments: list[Attachment]) -> list[Residue]:
        target = volume_target.target(move, row, attachments)
        if target is None:
            return [Residue(
                'R2', self.name, row.volume_id, volume_target.owner(move),
                f'no attachment of {volume_target.owner(move)} found in Cinder')]
        if row.attachment_id != target.attachment_id:
            return [Residue(
                'R2', self.name, row.volume_id, move.winner,
                f'row has attachment {row.attachment_id}, '
                f'{move.winner} has {target.attachment_id}')]
        if not volume_target.same(row.connection_info, target.connection_info):
            return [Residue('R1', self.name, row.volume_id, move.winner,
                               'connection_info is not that of the host '
                               'that runs the guest')]
        return []

    def _wrong_ones(self, move: Move, attachments: list[Attachment]) -> list[VolumeRow]:
        """The rows that this transaction has to answer for.

        As long as it is the instance's newest operation, all of them. Afterwards one that names
        what was made for the loser, which is not right for anybody any more; and one that names
        something else although the winner has the guest and its attachment is still there, and
        nothing else has moved the instance since: a host that keeps no journal may have written
        it. What leads to the winner's is asked of Cinder then, as its owner may have had it
        changed.
        """
        rows = self._volumes(move)
        if move.newest and not move.superseded:
            return rows
        if move.instance is None:
            return []
        mine = loser_attachments.known(move)
        quiet = not move.superseded and move.instance.task_state in QUIET \
            and move.evidence.of(move.winner).guest in PRESENT
        found = []
        for row in rows:
            if row.attachment_id in mine:
                found.append(row)
            elif quiet and row.attachment_id:
                target = volume_target.target(move, row, attachments)
                if target and target.connection_info and not self._agrees(row, target):
                    found.append(row)
        return found

    def _rows(self, move: Move) -> None:
        """Compare and swap every row that is not the winner's."""
        if move.instance is None:
            return
        attachments = move.clients.volumes.attachments(move.tx.instance_uuid)
        move.listed = attachments
        held = {}
        for row in self._wrong_ones(move, attachments):
            target = volume_target.target(move, row, attachments)
            if target is None or target.connection_info is None:
                held[row.volume_id] = (
                    f'no attachment of {volume_target.owner(move)} found in Cinder; '
                    f'row {row.bdm_id} is left as it is')
            elif not self._agrees(row, target):
                unarmed_loser.let_go(move, row, target, attachments)
                held.update(self._swap(move, row, target))
        move.unrighted |= held.keys()
        if held:
            raise base.Held(held)

    def _look_again(self, move: Move) -> dict[str, str]:
        """Until its devices were let go of, the loser may have been writing rows, and a write
        that had been on its way comes after the rows were put right.

        :returns: volume id -> why its row is wrong again; the next attempt puts it right, and
            takes away what was made for it
        """
        rows = self._wrong_ones(move, move.listed)
        wrong = {}
        for row in rows:
            target = volume_target.target(move, row, move.listed)
            if target and target.connection_info and not self._agrees(row, target) \
                    and row.volume_id not in move.unrighted:
                wrong[row.volume_id] = (
                    f'row {row.bdm_id} names attachment {row.attachment_id}, and was right '
                    f'before {move.loser} had let go of its devices')
        move.rows_wrong |= bool(wrong)
        return wrong

    def _agrees(self, row: VolumeRow, target: volume_target.Target) -> bool:
        return (row.attachment_id == target.attachment_id
                and volume_target.same(row.connection_info, target.connection_info))

    def _swap(self, move: Move, row: VolumeRow,
              target: volume_target.Target) -> dict[str, str]:
        info = volume_target.with_what_was_noted(move, row, target.connection_info or {})
        with move.effect(self.name, 'bdm_restore', row.volume_id,
                         {'from': row.attachment_id,
                          'to': target.attachment_id}):
            done = move.clients.records.replace_connection(
                move.tx.instance_uuid, row, target.attachment_id, info)
        if done and not move.newest:
            loser_attachments.replaced(move, row.attachment_id, target.attachment_id,
                                       move.listed)
        return {} if done else {
            row.volume_id: f'row {row.bdm_id} was changed by something else '
                           'in the meantime; looked at again later'}

    def _exports(self, move: Move) -> None:
        """Delete the loser's attachments, each once its device is gone."""
        todo, held = self._todo(move), {}
        try:
            for attachment in tuple(todo):
                reason = self._why_not(move, attachment)
                if reason:
                    held[attachment.volume_id] = reason
                    continue
                with move.effect(self.name, 'attachment_delete', attachment.volume_id,
                                 {'attachment_id': attachment.id}):
                    if not self._named(move, attachment):
                        move.clients.volumes.delete_attachment(attachment.id)
                todo.remove(attachment)
        finally:
            # Once the instance is its owner's, new ones look just like them.
            loser_attachments.remember(move, todo)
        if held:
            raise base.Held(held)

    def _todo(self, move: Move) -> list[Attachment]:
        try:
            attachments = move.clients.volumes.attachments(
                move.tx.instance_uuid)
        except Exception:
            loser_attachments.remember(move, self._not_kept(move, move.listed))
            raise
        move.listed = attachments
        return self._not_kept(move, attachments)

    def _not_kept(self, move: Move, attachments: list[Attachment]
                  ) -> list[Attachment]:
        keep = self._kept_ids(move, attachments)
        return [a for a in loser_attachments.losers(move, attachments, self._volumes(move))
                if a.id not in keep]

    def _named(self, move: Move, attachment: Attachment) -> bool:
        """Whether a row names it by now: since they were read, the one
        before it may have taken long to delete."""
        return any(row.attachment_id == attachment.id
                   for row in self._volumes(move))

    def _why_not(self, move: Move,
                 attachment: Attachment) -> str | None:
        if not move.released:
            return f'devices of {move.loser} have not been looked at'
        return move.kept.get(attachment.volume_id)

    def _kept_ids(self, move: Move,
                  attachments: list[Attachment]) -> set[str]:
        """Attachments that stay: what rows name, and what the winner has."""
        rows = self._volumes(move)
        keep = {row.attachment_id for row in rows if row.attachment_id}
        if move.superseded or not move.newest:
            return keep  # only what is known to be the loser's goes then
        for row in rows:
            target = volume_target.target(move, row, attachments)
            if target and target.attachment_id:
                keep.add(target.attachment_id)
            else:
                # Unknown which one is the winner's: touch none of them.
                keep.update(a.id for a in attachments
                            if a.volume_id == row.volume_id)
        return keep

    def _volumes(self, move: Move) -> list[VolumeRow]:
        if move.instance is None:
            return []
        return move.clients.records.volumes(move.tx.instance_uuid)


def _because(reason: str | None) -> str:
    return f' ({reason})' if reason else ''
