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
"""Neutron port bindings of the two hosts."""

from __future__ import annotations

from migsafe.resources import base
from migsafe.transaction.move import Move, Point
from migsafe.transaction.residue import Residue


class PortBinding(base.Resource):
    """R8: the winner's binding is active, the loser's is gone."""

    name = 'port_binding'
    commit_points = (Point.REST,)
    revert_points = (Point.REST,)

    def commit(self, move: Move, point: Point) -> None:
        self._bind(move)

    def revert(self, move: Move, point: Point) -> None:
        self._bind(move)

    def _bind(self, move: Move) -> None:
        if not self.inspect(move):
            return
        if _for_others(move):
            # Which one is active is for the later operation to say.
            with move.effect(self.name, 'unbind', '', {'host': move.loser}):
                move.clients.network.unbind(move.tx.instance_uuid, move.loser)
            return
        with move.effect(self.name, 'bind', '', {'host': move.winner}):
            move.clients.network.bind(move.tx.instance_uuid, move.winner,
                                      move.loser)

    def inspect(self, move: Move) -> list[Residue]:
        if _for_others(move):
            return self._left(move)
        if move.superseded or not move.tx.dest_host:
            return []
        found = []
        ports = move.clients.network.bindings(
            move.tx.instance_uuid, (move.winner, move.loser))
        for port, hosts in sorted(ports.items()):
            if move.loser in hosts:
                found.append(Residue(
                    'R8', self.name, port, move.loser,
                    f'{hosts[move.loser]} binding still exists'))
            if hosts and hosts.get(move.winner) != 'ACTIVE':
                found.append(Residue(
                    'R8', self.name, port, move.winner,
                    f'binding is {hosts.get(move.winner, "missing")}'))
        return found

    def _left(self, move: Move) -> list[Residue]:
        """What this transaction has left on the loser, if no later operation needs it there."""
        now = move.instance
        if now is None or not move.tx.dest_host or move.loser == now.host or any(
                move.loser in (other.source_host, other.dest_host)
                for other in move.later if not other.over):
            return []
        ports = move.clients.network.bindings(move.tx.instance_uuid, (move.loser,))
        return [Residue('R8', self.name, port, move.loser,
                        f'{hosts[move.loser]} binding still exists')
                for port, hosts in sorted(ports.items())
                if hosts.get(move.loser) == 'INACTIVE']


def _for_others(move: Move) -> bool:
    """Whether something that was asked for later says which binding is the active one. What has
    come to nothing says it no more, where this host's own libvirt has the guest."""
    return bool(move.later) and not (move.well_here and all(
        other.came_to_nothing for other in move.later))
