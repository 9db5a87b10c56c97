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
"""Collects what both hosts know of a transaction, from one of them."""

from __future__ import annotations

import dataclasses

from migsafe.journal.records import Transaction
from migsafe.transaction import fenced
from migsafe.transaction.clients import Clients
from migsafe.transaction.evidence import Evidence, GuestState, HostEvidence
from migsafe.transaction.history import History
from migsafe.transaction.verdict import DECIDED

G = GuestState

#: Noted by the source the moment libvirt reports the migration as completed.
HANDED_OVER = 'handed_over'

#: What a host that an operator declared dead is taken for, as long as nothing
#: is known of the guest there and it answers: whether it was rebooted since the
#: transaction began there -> (guest, why). One that answers is not dead,
#: and its devices are its own to look at; but where another boot answers, the
#: guest of the one before is certainly gone.
DECLARED_DEAD: dict[bool | None, tuple[G, str]] = {
    True: (G.ABSENT, 'declared dead by an operator, and rebooted '
                   'since the migration began'),
    False: (G.UNKNOWN, 'declared dead by an operator, but it answers '
                    'from the boot in which the migration began'),
    None: (G.UNKNOWN, 'declared dead by an operator, but it answers '
                   'and cannot tell whether it was rebooted since'),
}


class Witness:
    """Asks libvirt here and the peer there.

    :param host: this host
    :param clients: the cloud
    """

    def __init__(self, host: str, clients: Clients) -> None:
        self._host, self._clients = host, clients

    def gather(self, tx: Transaction, history: History,
               silent: str = '') -> Evidence:
        """Evidence of both hosts: libvirt here, the peer's answer there.

        :param silent: a host that did not say what it knows of the
            transaction, so that what it says of the guest is not enough
        """
        source = self._evidence_of(tx, history, tx.source_host, silent)
        destination = self._evidence_of(tx, history, tx.dest_host, silent)
        if HANDED_OVER in history.notes and (
                source.guest is G.ABSENT or (
                    source.guest is G.IN_TRANSFER
                    and destination.guest is G.HERE)):
            # A source that is only stopped may be resumed by libvirt, unless
            # the guest is seen where it went. One that is shut off has not
            # let it go: a guest whose QEMU dies in the transfer is taken for
            # "completed" by Nova, and only libvirt's own word counts then.
            source = dataclasses.replace(source, guest=G.HANDED_OVER)
        return Evidence(source, destination)

    def _evidence_of(self, tx: Transaction, history: History,
                     host: str, silent: str) -> HostEvidence:
        if not host:
            return HostEvidence('', G.ABSENT,
                                   detail='no destination was chosen')
        if host == self._host:
            return self._clients.guests.evidence(tx.instance_uuid)
        found = (HostEvidence(host, G.UNKNOWN, detail='did not answer')
                 if host == silent else
                 self._clients.peer.evidence(host, tx.uuid, tx.instance_uuid))
        if found.guest is not G.UNKNOWN:
            return found
        confirmed = host in history.dead_hosts
        if host == history.guest_on:
            # What an operator has said since, and nothing that is seen here can refute.
            return found
        if found.boot_id is None:
            return self._silent(found, tx.instance_uuid, confirmed)
        if not confirmed:
            return found
        guest, why = DECLARED_DEAD[found.rebooted if found.boot_id else None]
        return dataclasses.replace(found, guest=guest, detail=f'{why} ({found.detail})')

    def _silent(self, found: HostEvidence, instance_uuid: str, confirmed: bool) -> HostEvidence:
        """A host that does not answer is dead if it is fenced, and unknown if not."""
        word = fenced.ask(self._clients.hosts, found.host, instance_uuid, confirmed)
        if not word.doubt:
            return dataclasses.replace(found, guest=G.DEAD, detail=f'fenced ({found.detail})')
        return dataclasses.replace(found, detail=f'{found.detail}; {word.doubt}') \
            if confirmed or word.said else found

    def verdict_of_peer(self, tx: Transaction) -> tuple[str, str] | None:
        """What the other host has journalled as decided.

        It may have decided alone while this one was down, and the guest may
        have been stopped since: nothing that is seen now would tell.

        :returns: the verdict and that host, or None
        """
        other = (tx.dest_host if self._host == tx.source_host
                 else tx.source_host)
        told = self._clients.peer.describe(other, tx.uuid) if other else None
        if not told or told.get('verdict') not in DECIDED:
            return None
        return str(told['verdict']), other
