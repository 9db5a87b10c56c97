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
"""What the other host of a migration asks of this one: to let go of what it has of a guest."""

from __future__ import annotations

import datetime
from contextlib import AbstractContextManager
from typing import Any, Protocol

from oslo_utils import timeutils

from migsafe.journal.api import Journal
from migsafe.journal.records import Transaction
from migsafe.nova.clients import evidence
from migsafe.nova.host import attempt, word
from migsafe.transaction import answers
from migsafe.transaction.clients import Clients
from migsafe.transaction.closing import Outcome
from migsafe.transaction.engine import Engine
from migsafe.transaction.evidence import NO_QEMU
from migsafe.transaction.verdict import DECIDED, Verdict

SOURCE, DESTINATION = 'source', 'destination'
#: Most migrations within an hour that are journalled only because somebody asked to release them.
TOMBSTONES = 200
#: They are counted among this many times as many of the newest ones.
LOOKED_AT = 5


class Host(Protocol):
    """What of a :class:`migsafe.nova.host.participant.Participant` is needed for an answer."""

    host: str
    conf: Any
    journal: Journal
    engine: Engine
    clients: Clients
    attempts: attempt.Registry

    def exclusive(self, tx: Transaction, wait: float) -> AbstractContextManager[bool]:
        """One settlement of one transaction at a time in this process."""

    def forget_guest(self, tx: Transaction, outcome: Outcome) -> None:
        """What this process remembers of a guest that was to come here."""


def answer(host: Host, uuid: str, instance_uuid: str, verdict: Verdict,
           novas: bool = False, alone: bool = False) -> dict[str, Any]:
    """Let go of this host's devices and directory of a guest.

    :param host: this host
    :param novas: see :func:`migsafe.nova.host.word.refusal`
    :param alone: see :meth:`migsafe.transaction.engine.Engine.settle_local`
    :returns: ``state`` done (see ``kept``, and ``unwritten`` of
        :class:`migsafe.transaction.closing.Outcome`), busy or refused (``reason``)
    """
    role = DESTINATION if verdict is Verdict.ABORT else SOURCE
    tx = host.journal.get(uuid, role)
    if tx is None:
        return _unknown(host, uuid, instance_uuid, verdict)
    if tx.instance_uuid != instance_uuid:
        return _refused(f'migration {uuid} is not of instance '
                        f'{instance_uuid} on {host.host}')
    return _release(host, tx, verdict, novas, alone)


def _release(host: Host, tx: Transaction, verdict: Verdict,
             novas: bool = False, alone: bool = False) -> dict[str, Any]:
    if tx.verdict in DECIDED and tx.verdict != verdict.value:
        return _refused(f'{host.host} has journalled {tx.verdict}')
    refusal = word.refusal(host.clients, tx, verdict, novas)
    if refusal:
        return _refused(refusal)
    if tx.state != 'settled':
        # First the verdict, then the look: pre_live_migration registers its
        # attempt first and then reads the verdict, so one sees the other.
        tx = host.journal.verdict(tx, verdict.value, 'decided by the other host')
    if tx.verdict not in (verdict.value, None):
        return _refused(f'{host.host} has journalled {tx.verdict}')
    if tx.state == 'settled' and not host.attempts.live(tx.uuid):
        return {'state': 'done', 'kept': {}}
    busy = _busy(host, tx, verdict)
    if busy:
        return {'state': 'busy', 'reason': busy}
    with host.exclusive(tx, host.conf.rpc_timeout / 3) as mine:
        if not mine:
            return {'state': 'busy', 'reason': answers.SETTLING}
        outcome = host.engine.settle_local(
            tx, host.clients.guests.evidence(tx.instance_uuid), alone)
        host.forget_guest(tx, outcome)
    if outcome.held and not outcome.kept:
        return _refused('; '.join(outcome.held.values()))
    unwritten = {'unwritten': sorted(outcome.unwritten)} if outcome.unwritten else {}
    return {'state': 'done', 'kept': dict(outcome.kept)} | unwritten


def take_back(host: Host, tx: Transaction, why: str) -> Outcome | None:
    """Take back what was made here for a guest that does not come any more.

    :param tx: as it was begun here
    :param why: nothing can bring the guest here, whatever its source says
    :returns: what is left; None if it is not for this host to say, or somebody is at it
    """
    with host.exclusive(tx, 0) as mine, attempt.working(None):
        here = host.clients.guests.evidence(tx.instance_uuid)
        if not mine or here.guest not in NO_QEMU:
            return None
        now = host.journal.verdict(tx, Verdict.ABORT.value, f'{why} [{here}]')
        if now.state == 'settled' or now.verdict != Verdict.ABORT.value:
            return None
        outcome = host.engine.settle_local(now, here, alone=True)
        host.forget_guest(now, outcome)
        return outcome


def _busy(host: Host, tx: Transaction, verdict: Verdict) -> str:
    """What this process is doing with the instance, if anything."""
    if verdict is Verdict.ABORT and host.attempts.fence(tx.uuid):
        return (f'{host.host} is still in pre_live_migration; it has '
                'been told to stop')
    if host.attempts.busy(tx.instance_uuid):
        return f'{host.host} is at another migration of the instance'
    return ''


def _unknown(host: Host, uuid: str, instance_uuid: str,
             verdict: Verdict) -> dict[str, Any]:
    """A migration that this host has no journal of.

    A destination keeps the answer, so that a pre_live_migration that arrives after this is
    refused. A source has one when it did not have migsafe at that time, or has lost its
    journal. What is asked for has to be what Nova has recorded of it.
    """
    if host.journal.get(uuid, SOURCE) is not None:
        return _refused(f'{host.host} is the source of migration {uuid}, where nothing is '
                        'rolled back')
    move = word.lost(host.host, uuid, host.clients.records.moves(instance_uuid), verdict)
    refusal = word.stranger(host.host, move, host.clients.records.instance(instance_uuid),
                            verdict, host.clients.guests.evidence(instance_uuid))
    if refusal or move is None:
        return _refused(f'{host.host} has no journal of migration {uuid}, and {refusal}')
    if _too_many(host):
        return _refused(f'{host.host} has journalled {TOMBSTONES} migrations within an hour '
                        'that it does not know')
    if verdict is Verdict.COMMIT:
        tx = host.journal.begin(uuid, SOURCE, instance_uuid, host.host, move.dest_host,
                                source_boot_id=evidence.boot_id())
    else:
        tx = host.journal.begin(uuid, DESTINATION, instance_uuid, '', host.host,
                                dest_boot_id=evidence.boot_id())
        if tx.source_host:
            # pre_live_migration was faster, and is told to stop as usual.
            return _release(host, tx, verdict)
    return _release(host, host.journal.verdict(
        tx, verdict.value, 'decided by the other host, and unknown here'), verdict)


def _too_many(host: Host) -> bool:
    """Whether others have made as many rows here as they may.

    A host that loses more pre_live_migration calls than that in an hour has other troubles;
    what is refused is tried again by the source.
    """
    since = timeutils.utcnow() - datetime.timedelta(hours=1)
    newest = host.journal.list(newest=True, limit=LOOKED_AT * TOMBSTONES)
    return sum(1 for tx in newest
               if not tx.source_host and tx.created_at > since) >= TOMBSTONES


def _refused(reason: str) -> dict[str, Any]:
    return {'state': 'refused', 'reason': reason}
