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
"""The instance's own columns and the migration's status."""

from __future__ import annotations

from typing import Any

from migsafe import exceptions
from migsafe.resources import base, stopped_guest
from migsafe.text import shell
from migsafe.transaction.clients import InstanceRow
from migsafe.transaction.move import MIGRATING, Move, Point
from migsafe.transaction.residue import Residue
from migsafe.transaction.subject import Subject
from migsafe.transaction.verdict import Verdict

#: Statuses of a live migration that Nova will not touch again
#: (nova.objects.fields.MigrationStatus; the API calls the rest in progress).
TERMINAL = frozenset(('cancelled', 'completed', 'done', 'error', 'failed',
                      'finished', 'reverted', 'confirmed'))
FINAL = {Verdict.COMMIT: 'completed', Verdict.ABORT: 'failed'}


#: key of what is taken for the state before, where it could not be captured then
ADOPTED = 'adopted'


class InstanceRecord(base.Resource):
    """R5, R6 and R12."""

    name = 'instance_record'
    commit_points = (Point.RECORDS, Point.DONE)
    revert_points = (Point.RECORDS, Point.DEVICES, Point.DONE)

    def capture(self, subject: Subject) -> dict[str, Any]:
        return {'': {'host': subject.instance.host,
                     'node': subject.instance.node,
                     'vm_state': subject.instance.vm_state,
                     'request_id': subject.request_id}}

    def commit(self, move: Move, point: Point) -> None:
        self._act(move, point)

    def revert(self, move: Move, point: Point) -> None:
        self._act(move, point)

    def _act(self, move: Move, point: Point) -> None:
        if point is Point.RECORDS:
            self._host(move)
        elif point is Point.DEVICES:
            stopped_guest.go_on(move, self.name)
        else:
            self._done(move)

    def _host(self, move: Move) -> None:
        if move.superseded or move.instance is None:
            return
        if move.instance.host == move.winner:
            return
        with move.effect(self.name, 'instance_host', '',
                         {'from': move.instance.host, 'to': move.winner}):
            move.clients.records.to_host(move.tx, move.winner)

    def _done(self, move: Move) -> None:
        kinds = {r.kind for r in self._records(move)}
        if 'R6' in kinds:
            with move.effect(self.name, 'instance_release', ''):
                self._release(move)
        if 'R12' in kinds:
            status = FINAL[move.decision.verdict]
            with move.effect(self.name, 'migration_status', '',
                             {'status': status}):
                move.clients.records.finish_migration(move.tx.uuid, status)

    def _release(self, move: Move) -> None:
        """End the task.

        Nova's condition of a write knows the task by its name alone, and the next migration's
        has the same. So what came between the question and the write is looked for afterwards,
        and the task is given back to it.

        :raises Overtaken: it was, or is, that of the next one
        """
        self._not_asked_for_again(move)
        if not move.clients.records.release_task(move.tx, self._vm_state(move)):
            return
        try:
            move.ask_again('instance_release')
            self._not_asked_for_again(move)
        except exceptions.Overtaken:
            move.clients.records.give_task_back(move.tx.instance_uuid)
            raise

    @staticmethod
    def _not_asked_for_again(move: Move) -> None:
        """
        :raises Overtaken: another live migration was asked for, which may have no record yet
        """
        own = str(move.history.capture('instance_record').get('request_id') or '')
        other = own and move.clients.records.asked_for(move.tx.instance_uuid, own)
        if other:
            raise exceptions.Overtaken(
                uuid=move.tx.uuid, instance=move.tx.instance_uuid, effect='instance_release',
                reason=f'another live migration was asked for since, by request {other}')

    def _vm_state(self, move: Move) -> str | None:
        """The state to restore: only one that this migration found."""
        captured = move.history.capture
        state = (captured(self.name) or captured(self.name, ADOPTED)).get('vm_state')
        return str(state) if state and state != 'error' else None

    def inspect(self, move: Move) -> list[Residue]:
        found = self._records(move)
        if stopped_guest.stopped(move):
            found.append(self._residue('R6', move, (
                'the migration, which is over, has stopped the guest, and it does not go on; '
                f'`virsh resume {shell(move.tx.instance_uuid)}` there says why')))
        return found

    def _records(self, move: Move) -> list[Residue]:
        found = []
        now = move.clients.records.instance(move.tx.instance_uuid)
        if now is not None and not (move.superseded or move.freed):
            if now.host != move.winner:
                found.append(self._residue('R5', move, (
                    f'instance.host is {now.host}')))
            found += self._task(move, now)
        status = move.clients.records.migration_status(move.tx.uuid)
        if self._wrong(move, status):
            found.append(self._residue(
                'R12', move, f'migration {move.tx.uuid} is {status}'))
        return found

    def _task(self, move: Move, now: InstanceRow) -> list[Residue]:
        """Nova starts no other operation while this one's task is there: after another one has
        been asked for, the task is that one's."""
        if move.later:
            return []
        if now.task_state == MIGRATING:
            return [self._residue('R6', move, 'stuck in migrating')]
        if now.vm_state == 'error' and self._vm_state(move):
            return [self._residue('R6', move, 'vm_state is error though the guest is well')]
        return []

    def _wrong(self, move: Move, status: str | None) -> bool:
        if status is None:
            return False
        if move.decision.verdict is Verdict.COMMIT:
            return status != 'completed'
        return status not in TERMINAL

    def _residue(self, kind: str, move: Move, detail: str) -> Residue:
        return Residue(kind, self.name, '', move.winner, detail)
