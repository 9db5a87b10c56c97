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
"""The engine: brings every resource of a transaction to its verdict."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from oslo_log import log as logging

from migsafe import exceptions
from migsafe.journal.api import Journal
from migsafe.journal.effects import Planned
from migsafe.journal.records import Transaction
from migsafe.resources import base
from migsafe.text import masked
from migsafe.transaction import belief, closing, remains, third_host, verdict
from migsafe.transaction import history as transaction_history
from migsafe.transaction.clients import Clients, OtherMove
from migsafe.transaction.evidence import Evidence, GuestState, HostEvidence
from migsafe.transaction.move import FREED, Move, Point
from migsafe.transaction.residue import Residue
from migsafe.transaction.subject import Subject
from migsafe.transaction.witness import Witness

LOG = logging.getLogger(__name__)

#: What a host does that takes back what it has made by itself.
ALONE = (Point.RECORDS, Point.DEVICES, Point.EXPORTS, Point.DONE)


class Engine:
    """Settles transactions of one host.

    :param host: this host
    :param journal: its journal
    :param clients: the cloud
    :param resources: the resource plugins
    :param backoff_max: upper bound in seconds between two attempts
    :param look_again: the same, while only a device in use is in the way
    """

    def __init__(self, host: str, journal: Journal,
                 clients: Clients, resources: Iterable[base.Resource],
                 backoff_max: float, look_again: float) -> None:
        self._host, self._journal, self._clients = host, journal, clients
        self._resources = tuple(resources)
        self.witness = Witness(host, clients)
        self._closer = closing.Closer(journal, self._resources, backoff_max,
                                 look_again)

    def history(self, tx: Transaction) -> transaction_history.History:
        """What the journal says of a transaction."""
        return transaction_history.read(self._journal.records(tx))

    def captures(self, subject: Subject
                 ) -> list[tuple[str, str, dict[str, Any] | None]]:
        """What every resource wants journalled before anything changes."""
        return [(resource.name, key, payload)
                for resource in self._resources
                for key, payload in resource.capture(subject).items()]

    def decide(self, tx: Transaction, evidence: Evidence,
               decision: verdict.Decision | None = None,
               planned: Sequence[Planned] = ()) -> tuple[Transaction, verdict.Decision]:
        """Decide, and make the verdict durable before it is acted on.

        :param decision: what to decide, where more than evidence is known
        :param planned: what is done about a COMMIT at once, if it may be
        :returns: what the journal says by then: if another thread was first, its verdict
        """
        if tx.verdict not in verdict.DECIDED:
            decision = decision or verdict.decide(evidence)
            if decision.verdict.value == tx.verdict:
                return tx, decision
            begun = decision.teardown and decision.verdict is verdict.Verdict.COMMIT
            tx = self._journal.verdict(
                tx, decision.verdict.value, decision.reason, evidence.as_payload(),
                planned if begun else ())
            if tx.verdict == decision.verdict.value:
                return tx, decision
        return tx, verdict.stand(verdict.Verdict(tx.verdict), evidence)

    def settle_local(self, tx: Transaction, here: HostEvidence,
                     alone: bool = False) -> closing.Outcome:
        """Let go of what only this host has; the other one does the rest.

        :param tx: a transaction whose journalled verdict makes this host the
            loser
        :param here: this host's own evidence
        :param alone: the other one has no migsafe: also put right the rows, and delete the
            attachments, that this host has written and made
        """
        other = HostEvidence(
            tx.dest_host if here.host == tx.source_host else tx.source_host,
            GuestState.UNKNOWN)
        evidence = (Evidence(here, other) if here.host == tx.source_host
                    else Evidence(other, here))
        decision = verdict.stand(verdict.Verdict(tx.verdict), evidence)
        resources = [r for r in self._resources if r.local or alone and r.alone]
        return self._carry_out(tx, self.history(tx), evidence, decision,
                               ALONE if alone else (Point.DEVICES, Point.DONE), resources,
                               self._clients.records.later(tx))

    def right_here(self, tx: Transaction, told: verdict.Verdict) -> bool:
        """Whether the guest is on this host and all of it here is as a verdict says; nothing is
        changed.

        :param told: what the other host, which leads, has journalled and not settled yet
        """
        history = self.history(tx)
        evidence = self.witness.gather(tx, history)
        decision = verdict.stand(told, evidence)
        if decision.verdict is verdict.Verdict.HOLD:
            return False
        move = self._move(tx, history, evidence, decision, self._clients.records.later(tx))
        return self._read_back(move, self._resources)[1]

    def settle(self, tx: Transaction, *, silent: str = '',
               points: Iterable[Point] = tuple(Point)) -> closing.Outcome:
        """One attempt to bring a transaction to an end.

        :param tx: an unsettled transaction
        :param silent: see :meth:`Witness.gather`
        :param points: stop short of the end by leaving out later points
        :returns: what is left; the journal says the same
        """
        history = self.history(tx)
        later = self._clients.records.later(tx)
        if remains.moved_on(tx, history, later, self._clients):
            return self._leave(tx, history, later)
        evidence = self.witness.gather(tx, history, silent)
        why = belief.borne_out(history.guest_on, evidence) if history.guest_on else None
        if why:
            tx = self._withdraw(tx, history.guest_on, evidence, why)
        twice = third_host.second_copy(
            tx, evidence.of(self._host), self._clients.records.instance(tx.instance_uuid), later)
        tx, decision = self.decide(tx, evidence, twice or self._weighed(
            tx, evidence, later, told=not why))
        if history.guest_on and not why:
            decision = belief.not_borne_out(decision, history.guest_on)
        return self._carry_out(tx, history, evidence, twice or decision,
                               tuple(points), self._resources, later)

    def _leave(self, tx: Transaction, history: transaction_history.History,
               later: Sequence[OtherMove]) -> closing.Outcome:
        """The instance has moved on: what is left is named, and not touched."""
        remains.give_back(tx, later, self._clients, self._journal)
        try:
            left = remains.left(tx, history, self._clients)
        except exceptions.Unanswered as error:
            self._closer.postpone(tx, str(error))
            return closing.Outcome(verdict.Verdict.HOLD, {('transaction', ''): str(error)})
        remains.note(self._journal, tx, left)
        named = remains.named(left)
        if left:
            LOG.warning('Live migration %s of instance %s was overtaken%s', tx.uuid,
                        tx.instance_uuid, named)
        tx = self._journal.finish(tx, f'the instance has moved on since{named}')
        return closing.ended(tx)

    def _withdraw(self, tx: Transaction, host: str, evidence: Evidence,
                  why: str) -> Transaction:
        """Take back a verdict for the other host: an operator has asked for it, and what is
        seen agrees."""
        if tx.verdict not in verdict.DECIDED or host == verdict.winner(
                verdict.Verdict(tx.verdict), tx.source_host, tx.dest_host):
            return tx
        LOG.warning('The verdict %s of live migration %s of instance %s is withdrawn: %s',
                    tx.verdict, tx.uuid, tx.instance_uuid, why)
        return self._journal.withdraw(tx, str(tx.verdict), f'withdrawn: {why}',
                                      evidence.as_payload())

    def _weighed(self, tx: Transaction, evidence: Evidence, later: Sequence[OtherMove],
                 told: bool) -> verdict.Decision | None:
        """What is seen, what is recorded and what the other host says, in this order.

        :param told: whether the other host is asked at all
        """
        if tx.verdict in verdict.DECIDED:
            return None
        return belief.weighed(
            tx, evidence, later, self.witness.verdict_of_peer(tx) if told else None,
            self._clients.records.instance(tx.instance_uuid))

    def _carry_out(self, tx: Transaction, history: transaction_history.History,
                   evidence: Evidence, decision: verdict.Decision,
                   points: tuple[Point, ...], resources: Sequence[base.Resource],
                   later: Sequence[OtherMove]) -> closing.Outcome:
        local_only = len(resources) < len(self._resources)
        move = self._move(tx, history, evidence, decision, later)
        if decision.verdict is verdict.Verdict.HOLD:
            wrong = third_host.put_right(move, self._resources, self._call)
            self._closer.postpone(tx, decision.reason)
            return closing.Outcome(decision.verdict, {
                ('transaction', ''): decision.reason, **wrong})
        needed = move.needed_elsewhere(local_only)
        if needed:
            self._closer.postpone(tx, needed)
            return closing.Outcome(verdict.Verdict.HOLD, {('transaction', ''): needed})
        outcome = self._bring(move, points, resources, local_only)
        if Point.DONE in points:
            self._closer.close(move, outcome, local_only)
        return outcome

    def _move(self, tx: Transaction, history: transaction_history.History, evidence: Evidence,
              decision: verdict.Decision, later: Sequence[OtherMove]) -> Move:
        return Move(tx, history, decision, evidence, self._host, self._journal, self._clients,
                    self._clients.records.instance(tx.instance_uuid), later)

    def _bring(self, move: Move, points: tuple[Point, ...], resources: Sequence[base.Resource],
               local_only: bool) -> closing.Outcome:
        failed: dict[tuple[str, str], str] = {}
        rows_wrong = False
        for point in points:
            if point is Point.DONE and rows_wrong:
                # While a reboot would read a wrong row, it stays busy.
                break
            if point is Point.DONE and failed and not (
                    move.freed or local_only):
                self._journal.note(move.tx, FREED)
            for resource in self._at(resources, move, point):
                found = self._call(resource, move, point)
                rows_wrong |= move.rows_wrong or point is Point.RECORDS and bool(found)
                failed.update(found)
        held: dict[tuple[str, str], str] = {}
        elsewhere = False
        if Point.DONE in points:
            held, elsewhere = self._read_back(move, resources)
            elsewhere &= not rows_wrong
        # Short of the end nothing was read back that could speak for a step that failed.
        held = closing.merge(held, failed) if Point.DONE in points else failed
        return closing.Outcome(move.decision.verdict, held,
                          dict(move.kept), rows_wrong, elsewhere=elsewhere,
                          unarmed=elsewhere and bool(held) and move.unarmed,
                          unwritten=frozenset(move.unwritten))

    def _read_back(self, move: Move, resources: Sequence[base.Resource]
                   ) -> tuple[dict[tuple[str, str], str], bool]:
        """What is not as it should be, and whether the guest is here and all of that is on the
        other host."""
        held, elsewhere = {}, move.well_here
        for resource in resources:
            left, unseen = self._inspect(resource, move)
            held.update(unseen)
            held.update({(resource.name, f'{r.kind} {r.key}'): str(r) for r in left})
            elsewhere &= not unseen and all(r.only_of(move.loser) for r in left)
        return held, elsewhere

    def _at(self, resources: Sequence[base.Resource], move: Move,
            point: Point) -> list[base.Resource]:
        commit = move.decision.verdict is verdict.Verdict.COMMIT
        return [r for r in resources if point in (
            r.commit_points if commit else r.revert_points)]

    def _call(self, resource: base.Resource, move: Move,
              point: Point) -> dict[tuple[str, str], str]:
        act = (resource.commit if move.decision.verdict is verdict.Verdict.COMMIT
               else resource.revert)
        try:
            act(move, point)
        except base.Held as held:
            return {(resource.name, key): _at_point(point) + reason
                    for key, reason in held.keys.items()}
        except exceptions.Overtaken as overtaken:
            return {(resource.name, ''): _at_point(point) + str(overtaken)}
        except Exception as error:
            LOG.warning('%s of instance %s, migration %s: %s failed: %s',
                        resource.name, move.tx.instance_uuid, move.tx.uuid,
                        point.name, masked(error))
            return {(resource.name, closing.FAILED):
                    _at_point(point) + masked(error)}
        return {}

    def _inspect(self, resource: base.Resource, move: Move
                 ) -> tuple[list[Residue], dict[tuple[str, str], str]]:
        """Read back; a plugin that cannot holds its own resource, no other."""
        try:
            return list(resource.inspect(move)), {}
        except Exception as error:
            return [], {(resource.name, ''): f'could not be read back: {masked(error)}'}


def _at_point(point: Point) -> str:
    return f'[{point.name}] '
