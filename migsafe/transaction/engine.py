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

from collections.abc import Iterable
from typing import Any

from oslo_log import log as logging

from migsafe.journal import api as journal_api
from migsafe.journal import records as jr
from migsafe.resources import base
from migsafe.text import masked
from migsafe.transaction import clients as cl
from migsafe.transaction import closing as cs
from migsafe.transaction import evidence as ev
from migsafe.transaction import history as hist
from migsafe.transaction import move as mv
from migsafe.transaction import subject as sj
from migsafe.transaction import verdict as vd
from migsafe.transaction import witness as wt

LOG = logging.getLogger(__name__)


class Engine:
    """Settles transactions of one host.

    :param host: this host
    :param journal: its journal
    :param clients: the cloud
    :param resources: the resource plugins
    :param backoff_max: upper bound in seconds between two attempts
    :param look_again: the same, while only a device in use is in the way
    """

    def __init__(self, host: str, journal: journal_api.Journal,
                 clients: cl.Clients, resources: Iterable[base.Resource],
                 backoff_max: float, look_again: float) -> None:
        self._host, self._journal, self._clients = host, journal, clients
        self._resources = tuple(resources)
        self.witness = wt.Witness(host, clients)
        self._closer = cs.Closer(journal, self._resources, backoff_max,
                                 look_again)

    def history(self, tx: jr.Transaction) -> hist.History:
        """What the journal says of a transaction."""
        return hist.read(self._journal.records(tx))

    def captures(self, subject: sj.Subject
                 ) -> list[tuple[str, str, dict[str, Any] | None]]:
        """What every resource wants journalled before anything changes."""
        return [(resource.name, key, payload)
                for resource in self._resources
                for key, payload in resource.capture(subject).items()]

    def decide(self, tx: jr.Transaction,
               evidence: ev.Evidence) -> tuple[jr.Transaction, vd.Decision]:
        """Decide, and make the verdict durable before it is acted on."""
        if tx.verdict in vd.DECIDED:
            decision = vd.stand(vd.Verdict(tx.verdict), evidence)
            if decision.verdict is vd.Verdict.HOLD:
                return tx, decision
        else:
            decision = vd.decide(evidence)
        if decision.verdict.value != tx.verdict:
            tx = self._journal.verdict(tx, decision.verdict.value,
                                       decision.reason, evidence.as_payload())
        return tx, decision

    def settle_local(self, tx: jr.Transaction,
                     here: ev.HostEvidence) -> cs.Outcome:
        """Let go of what only this host has; the other one does the rest.

        :param tx: a transaction whose journalled verdict makes this host the
            loser
        :param here: this host's own evidence
        """
        other = ev.HostEvidence(
            tx.dest_host if here.host == tx.source_host else tx.source_host,
            ev.GuestState.UNKNOWN)
        evidence = (ev.Evidence(here, other) if here.host == tx.source_host
                    else ev.Evidence(other, here))
        decision = vd.stand(vd.Verdict(tx.verdict), evidence)
        return self._carry_out(tx, self.history(tx), evidence, decision,
                               (mv.Point.DEVICES, mv.Point.DONE), True)

    def _overtaken(self, tx: jr.Transaction, history: hist.History) -> bool:
        """The instance was usable again and has been moved to the loser.

        What is left there is in use by it, and is no longer ours.
        """
        if mv.FREED not in history.notes or tx.verdict not in vd.DECIDED:
            return False
        loser = (tx.source_host if tx.verdict == vd.Verdict.COMMIT.value
                 else tx.dest_host)
        now = self._clients.records.instance(tx.instance_uuid)
        return now is not None and now.host == loser

    def settle(self, tx: jr.Transaction, *, silent: str = '',
               points: Iterable[mv.Point] = tuple(mv.Point)) -> cs.Outcome:
        """One attempt to bring a transaction to an end.

        :param tx: an unsettled transaction
        :param silent: see :meth:`Witness.gather`
        :param points: stop short of the end by leaving out later points
        :returns: what is left; the journal says the same
        """
        history = self.history(tx)
        if self._overtaken(tx, history):
            self._journal.finish(tx, 'the instance has moved on since')
            return cs.Outcome(vd.Verdict(tx.verdict), {})
        told = (None if tx.verdict in vd.DECIDED
                else self.witness.verdict_of_peer(tx))
        if told:
            tx = self._journal.verdict(tx, told[0], f'decided by {told[1]}')
        evidence = self.witness.gather(tx, history, silent)
        tx, decision = self.decide(tx, evidence)
        return self._carry_out(tx, history, evidence, decision,
                               tuple(points), False)

    def _carry_out(self, tx: jr.Transaction, history: hist.History,
                   evidence: ev.Evidence, decision: vd.Decision,
                   points: tuple[mv.Point, ...],
                   local_only: bool) -> cs.Outcome:
        if decision.verdict is vd.Verdict.HOLD:
            self._closer.postpone(tx, decision.reason)
            return cs.Outcome(decision.verdict,
                           {('transaction', ''): decision.reason})
        move = mv.Move(tx, history, decision, evidence, self._host,
                       self._journal, self._clients,
                       self._clients.records.instance(tx.instance_uuid))
        needed = move.needed_elsewhere(local_only)
        if needed:
            self._closer.postpone(tx, needed)
            return cs.Outcome(vd.Verdict.HOLD, {('transaction', ''): needed})
        outcome = self._bring(move, points, local_only)
        if mv.Point.DONE in points:
            self._closer.close(move, outcome, local_only)
        return outcome

    def _bring(self, move: mv.Move, points: tuple[mv.Point, ...],
               local_only: bool) -> cs.Outcome:
        resources = [r for r in self._resources if r.local or not local_only]
        failed: dict[tuple[str, str], str] = {}
        rows_wrong = False
        for point in points:
            if point is mv.Point.DONE and rows_wrong:
                # While a reboot would read a wrong row, it stays busy.
                break
            if point is mv.Point.DONE and failed and not (
                    move.freed or local_only):
                self._journal.note(move.tx, mv.FREED)
            for resource in self._at(resources, move, point):
                found = self._call(resource, move, point)
                rows_wrong |= point is mv.Point.RECORDS and bool(found)
                failed.update(found)
        held: dict[tuple[str, str], str] = {}
        for resource in resources if mv.Point.DONE in points else ():
            held.update(self._inspect(resource, move))
        return cs.Outcome(move.decision.verdict, cs.merge(held, failed),
                          dict(move.kept), rows_wrong)

    def _at(self, resources: list[base.Resource], move: mv.Move,
            point: mv.Point) -> list[base.Resource]:
        commit = move.decision.verdict is vd.Verdict.COMMIT
        return [r for r in resources if point in (
            r.commit_points if commit else r.revert_points)]

    def _call(self, resource: base.Resource, move: mv.Move,
              point: mv.Point) -> dict[tuple[str, str], str]:
        act = (resource.commit if move.decision.verdict is vd.Verdict.COMMIT
               else resource.revert)
        try:
            act(move, point)
        except base.Held as held:
            return {(resource.name, key): _at_point(point) + reason
                    for key, reason in held.keys.items()}
        except Exception as error:
            LOG.warning('%s of instance %s, migration %s: %s failed: %s',
                        resource.name, move.tx.instance_uuid, move.tx.uuid,
                        point.name, masked(error))
            return {(resource.name, cs.FAILED):
                    _at_point(point) + masked(error)}
        return {}

    def _inspect(self, resource: base.Resource,
                 move: mv.Move) -> dict[tuple[str, str], str]:
        """Read back; a plugin that cannot holds its own resource, no other."""
        try:
            return {(resource.name, f'{r.kind} {r.key}'): str(r)
                    for r in resource.inspect(move)}
        except Exception as error:
            return {(resource.name, ''): 'could not be read back: '
                                         f'{masked(error)}'}


def _at_point(point: mv.Point) -> str:
    return f'[{point.name}] '
