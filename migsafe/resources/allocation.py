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
"""Placement allocations: the migration's uuid holds those of the source."""

from __future__ import annotations

from migsafe.resources import base
from migsafe.text import shell
from migsafe.transaction.move import Move, Point
from migsafe.transaction.residue import Residue


class Allocation(base.Resource):
    """R7: the instance holds the winner's resources, the migration nothing."""

    name = 'allocation'
    commit_points = (Point.REST,)
    revert_points = (Point.REST,)

    def commit(self, move: Move, point: Point) -> None:
        allocations = move.clients.allocations
        if not allocations.held(move.tx.uuid):
            return
        provider = allocations.provider(move.winner)
        if not self._others(move) and provider not in allocations.held(move.tx.instance_uuid):
            raise base.Held({'': (
                f'instance has no allocation on {move.winner}; run '
                '`nova-manage placement heal_allocations --instance '
                f'{shell(move.tx.instance_uuid)}`')})
        self._delete(move)

    def _delete(self, move: Move) -> None:
        with move.effect(self.name, 'allocation_delete', move.tx.uuid):
            move.clients.allocations.delete(move.tx.uuid)

    def revert(self, move: Move, point: Point) -> None:
        allocations = move.clients.allocations
        if not allocations.held(move.tx.uuid):
            self._withdraw(move)
            return
        if move.superseded and not self._undecided(move):
            # The instance is gone, or has its allocations on a third host.
            self._delete(move)
            return
        if self._others(move):
            raise base.Held({'': (
                f'migration {move.tx.uuid} holds what the instance had on {move.winner}, and '
                f'{move.later[-1]}; it is given back when that is over')})
        with move.effect(self.name, 'allocation_move', move.tx.uuid):
            allocations.move(move.tx.uuid, move.tx.instance_uuid)

    def _withdraw(self, move: Move) -> None:
        """A conductor that went on after a rollback claims a destination for
        an instance that has its source's back: Placement then holds both."""
        if self._others(move) or not (move.loser and move.decision.teardown):
            return
        allocations = move.clients.allocations
        held = allocations.held(move.tx.instance_uuid)
        if {allocations.provider(move.winner),
                allocations.provider(move.loser)} <= set(held):
            with move.effect(self.name, 'allocation_withdraw', move.loser):
                allocations.withdraw(move.tx.instance_uuid, move.loser)

    def inspect(self, move: Move) -> list[Residue]:
        found = []
        if move.clients.allocations.held(move.tx.uuid):
            found.append(self._residue(
                move, move.tx.source_host,
                f'migration {move.tx.uuid} still holds allocations'))
        if not self._others(move):
            found += self._inspect_instance(move)
        return found

    @staticmethod
    def _others(move: Move) -> bool:
        """Whether what the instance holds is none of this transaction's business: it is gone,
        or a later migration has claimed a host for it and keeps its old claim."""
        return move.superseded or not all(
            other.came_to_nothing for other in move.later)

    @staticmethod
    def _undecided(move: Move) -> bool:
        """Whether a later operation may still leave the instance where it was: what it had
        there is held by nothing but this migration."""
        return move.instance is not None and bool(
            move.overtaken and not move.overtaken.over)

    def _inspect_instance(self, move: Move) -> list[Residue]:
        held = move.clients.allocations.held(move.tx.instance_uuid)
        provider = move.clients.allocations.provider
        heal = ('run `nova-manage placement heal_allocations --instance '
                f'{shell(move.tx.instance_uuid)}`')
        found = []
        if provider(move.winner) not in held:
            found.append(self._residue(
                move, move.winner, f'instance holds nothing there; {heal}'))
        if move.loser and provider(move.loser) in held:
            found.append(self._residue(
                move, move.loser, f'instance still holds allocations; {heal}'))
        return found

    def _residue(self, move: Move, host: str, detail: str) -> Residue:
        return Residue('R7', self.name, move.tx.uuid, host, detail)
