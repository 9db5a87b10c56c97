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
"""One settlement of one transaction, as the resources see it."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping, Sequence
from typing import Any

from migsafe import exceptions
from migsafe.journal.api import Journal
from migsafe.journal.records import Transaction
from migsafe.text import shell
from migsafe.transaction import verdict
from migsafe.transaction.clients import (
    LIVE_MIGRATION,
    Attachment,
    Clients,
    InstanceRow,
    OtherMove,
)
from migsafe.transaction.effect import Effect
from migsafe.transaction.evidence import PRESENT, Evidence, GuestState
from migsafe.transaction.history import History

#: Noted before an instance with something still held becomes usable again.
FREED = 'freed'

MIGRATING = 'migrating'
#: Task states in which nothing but a live migration moves an instance.
QUIET = (None, MIGRATING)


class Point(enum.IntEnum):
    """When a resource acts; the order is part of the protocol.

    RECORDS come first, so that from then on any reboot, start or evacuation
    reads the truth. DEVICES go before EXPORTS: an export is never taken away
    from under a device that is still there. DONE frees the instance for other
    operations, so it is last.
    """

    RECORDS = 10
    DEVICES = 20
    EXPORTS = 30
    REST = 40
    DONE = 50


@dataclasses.dataclass
class Move:
    """What a resource needs to bring itself to the verdict.

    :param tx: the transaction
    :param history: what this host's journal says of it
    :param decision: the verdict and its licence
    :param evidence: what the decision was made from
    :param local: this host's name
    :param journal: this host's journal
    :param clients: the cloud
    :param instance: the instance's row, None when it is deleted
    :param later: what Nova has recorded of the instance after this transaction
    """

    tx: Transaction
    history: History
    decision: verdict.Decision
    evidence: Evidence
    local: str
    journal: Journal
    clients: Clients
    instance: InstanceRow | None
    later: Sequence[OtherMove] = ()
    #: volume id -> why its device could not be removed; filled at DEVICES
    kept: dict[str, str] = dataclasses.field(default_factory=dict)
    #: those of them that this host would have let go of if its journal could be written
    unwritten: set[str] = dataclasses.field(default_factory=set)
    #: whether the loser's devices have been dealt with at all
    released: bool = False
    #: whether what is kept was seen by a look at the devices, and not for want of an answer
    seen: bool = False
    #: whether the loser is doing itself what it was asked to do
    settling: bool = False
    #: whether a row may still lead another host's LUNs to whoever reads it
    rows_wrong: bool = False
    #: volumes whose rows could not be put right
    unrighted: set[str] = dataclasses.field(default_factory=set)
    #: the attachments as they were when the rows were put right
    listed: list[Attachment] = dataclasses.field(default_factory=list)
    _described: Mapping[str, Any] | None = None
    _unarmed: bool | None = None

    @property
    def winner(self) -> str:
        """The host that owns the guest."""
        return verdict.winner(self.decision.verdict, self.tx.source_host,
                         self.tx.dest_host)

    @property
    def loser(self) -> str:
        """The host that must hold nothing of it."""
        return (self.tx.source_host if self.winner == self.tx.dest_host
                else self.tx.dest_host)

    @property
    def loser_is_dead(self) -> bool:
        """Whether the loser's devices died with it."""
        return self.evidence.of(self.loser).guest is GuestState.DEAD

    @property
    def overtaken(self) -> OtherMove | None:
        """A later operation that moves the instance, or has moved it."""
        return next((other for other in self.later if not (
            other.came_to_nothing or other.only_asked_for)), None)

    @property
    def unarmed(self) -> bool:
        """Whether the loser, another host, answers that it has no migsafe; asked once, and not
        where it has answered so when it was asked for the guest."""
        if self._unarmed is None:
            seen = self.evidence.of(self.loser)
            self._unarmed = self.loser not in ('', self.local) \
                and seen.guest is GuestState.UNKNOWN \
                and (seen.unarmed or self.clients.peer.unarmed(self.loser, self.tx.uuid))
        return self._unarmed

    @property
    def newest(self) -> bool:
        """This is still the instance's newest operation, and it was never given back: whatever
        of it is not as it was captured, this transaction has made."""
        return not (self.freed or self.later)

    @property
    def superseded(self) -> bool:
        """The instance is deleted, or something else has moved it by now.

        Then its records belong to whatever did that; only what this
        transaction itself made may still be removed.
        """
        if self.instance is None or self.overtaken:
            return True
        if self.freed:
            return self.instance.host != self.winner
        return self.instance.host not in (self.tx.source_host,
                                          self.tx.dest_host)

    @property
    def well_here(self) -> bool:
        """The guest is on this host as its own libvirt says, and so it was decided."""
        return self.winner == self.local and not self.superseded \
            and self.evidence.of(self.local).guest in PRESENT

    @property
    def freed(self) -> bool:
        """The rows were right and the instance was given back to its owner.

        From then on its rows are changed by whoever likes to.
        """
        return FREED in self.history.notes

    def needed_elsewhere(self, local_only: bool) -> str | None:
        """Why the loser's state is not this transaction's to remove now.

        Since its records were put right the instance may have been resized,
        evacuated or unshelved, and what is on the loser is then made for that.

        :param local_only: the other host has put the records right
        """
        now = self.instance
        if now is None:
            return None
        if local_only and now.host == self.loser:
            return f'the instance is on {self.loser} by its record'
        if now.host is None and now.task_state:
            return f'the instance is being unshelved ({now.task_state})'
        others = [other for other in self.later if not (
            other.over or other.only_asked_for)]
        if now.task_state in QUIET and now.vm_state != 'resized':
            # Nothing works on any other kind then, whatever its record says.
            others = [other for other in others if now.task_state == MIGRATING
                      and other.kind == LIVE_MIGRATION]
        return next((
            f'{other}; if nothing works on it any more, `openstack server '
            f'set --state active {shell(now.uuid)}` says so'
            for other in others
            if self.loser in (other.source_host, other.dest_host)), None)

    def ask_again(self, effect: str) -> None:
        """Whether what is about to be changed is still this transaction's.

        :raises Overtaken: since it was looked at the instance was deleted, moved or given
            another operation; the next attempt sees that
        """
        now = self.clients.records.instance(self.tx.instance_uuid)
        later = self.clients.records.later(self.tx)
        known = {other.uuid: other for other in self.later}
        new = [other for other in later if known.get(other.uuid) != other]
        before = self.instance
        if new:
            why = str(new[0])
        elif now is None and before is not None:
            why = 'the instance was deleted'
        elif now and before and now.host not in (before.host, self.winner):
            why = f'the instance is on {now.host} by its record'
        else:
            return
        raise exceptions.Overtaken(
            uuid=self.tx.uuid, instance=self.tx.instance_uuid, effect=effect, reason=why)

    def peer_attachments(self, needed: bool = False) -> dict[str, list[str]]:
        """Attachments that the other host made, by volume.

        :param needed: whether nothing else tells of them
        :raises Unanswered: so it is, and the other host may say it later
        """
        if needed and not (self._peer() or self.loser_is_dead or self.clients.peer.unarmed(
                self.loser, self.tx.uuid)):
            raise exceptions.Unanswered(
                host=self.loser, uuid=self.tx.uuid, instance=self.tx.instance_uuid)
        return dict(self._peer().get('attachments') or {})

    def peer_unsure(self) -> list[str]:
        """Volumes for which the other host may have made an attachment, and does not know."""
        return list(self._peer().get('unsure') or ())

    def peer_verdict(self) -> str:
        """What the other host has journalled; empty if it does not say."""
        return str(self._peer().get('verdict') or '')

    def _peer(self) -> Mapping[str, Any]:
        """The other host's view of the transaction; asked once."""
        if self._described is None:
            other = (self.tx.dest_host if self.local == self.tx.source_host
                     else self.tx.source_host)
            self._described = self.clients.peer.describe(
                other, self.tx.uuid) or {}
        return self._described

    def effect(self, resource: str, effect: str, key: str,
               payload: Any = None) -> Effect:
        """Journal an effect around a ``with`` block, whose first line comes right after the
        question whether it is still this transaction's to cause.

        :raises Overtaken: it is not; raised where the block is entered
        """
        return Effect(self.journal, self.tx, resource, effect, key, payload,
                      lambda: self.ask_again(effect))
