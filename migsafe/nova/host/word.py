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
"""What another host's request to let go of a guest needs beside its word."""

from __future__ import annotations

from collections.abc import Sequence

from migsafe.journal.records import Transaction
from migsafe.text import shell
from migsafe.transaction.clients import LIVE_MIGRATION, Clients, InstanceRow, OtherMove
from migsafe.transaction.evidence import NO_QEMU, GuestState, HostEvidence
from migsafe.transaction.verdict import Verdict

#: The part of the time to wait of who has asked, which is spent on asking further.
ASKED = 1 / 3


def refusal(clients: Clients, tx: Transaction, verdict: Verdict, novas: bool = False) -> str:
    """Why a message alone is not enough; empty if nothing speaks against it.

    :param novas: it is a message of Nova's own, which a source without migsafe sends as well
    """
    guest = clients.guests.evidence(tx.instance_uuid)
    if guest.guest in (GuestState.HERE, GuestState.POSTCOPY):
        return f'the guest is on {tx.host}: {guest}'
    if tx.verdict == verdict.value or tx.state == 'settled':
        return ''
    if guest.guest is GuestState.UNKNOWN:
        return f'it is not known whether the guest is on {tx.host}: {guest}'
    now = clients.records.instance(tx.instance_uuid)
    if now is not None and now.host == tx.host \
            and guest.guest is not GuestState.HANDED_OVER:
        return (f'{tx.host} is the host of the instance by its record, and only the other '
                f'host says {verdict.value}: {guest}')
    if verdict is Verdict.COMMIT and now is None:
        # Nothing is left that would show an arrival.
        said = clients.peer.describe(tx.dest_host, tx.uuid, within=ASKED)
        return '' if said and said['verdict'] == verdict.value else (
            f'the instance is deleted, and {tx.dest_host or "no host"} does not say that it has '
            f'decided {verdict.value}')
    if verdict is Verdict.ABORT and tx.source_host:
        # Also between the end of pre_live_migration and the transfer no domain is here to be seen.
        return _unconfirmed(clients, tx, verdict, guest, novas)
    return ''


def _unconfirmed(clients: Clients, tx: Transaction, verdict: Verdict,
                 guest: HostEvidence, novas: bool) -> str:
    """Why it is not the word of the source that this host's own journal names, or is not true.

    What this host's libvirt is receiving, the source is still sending: libvirt ends it here once
    the source has cancelled it, or says nothing any more (its keepalive).
    """
    if guest.guest is GuestState.IN_TRANSFER:
        return (f'the guest is coming in to {tx.host}, and {verdict.value} is not true before '
                f'that has ended: {guest}. It is asked again by itself; a copy that nothing sends '
                f'any more is ended by `virsh destroy {shell(tx.instance_uuid)}` on {tx.host}')
    source = clients.peer.describe(tx.source_host, tx.uuid, within=ASKED)
    if source and source['verdict'] == verdict.value:
        return ''
    if novas and (not source['known'] if source
                  else clients.peer.unarmed(tx.source_host, tx.uuid, within=ASKED)):
        # It can say nothing but what Nova says, and deletes the attachments whatever is answered.
        return ''
    return (f'the guest may be coming in to {tx.host}, and {tx.source_host} does not '
            f'say that it has decided {verdict.value}: {guest}')


def lost(host: str, uuid: str, moves: Sequence[OtherMove],
         verdict: Verdict) -> OtherMove | None:
    """The live migration that a host has lost by a verdict, as Nova has recorded it.

    What recovery of a source has taken up may have a uuid of its own, so a destination goes by
    its name alone. A source would have to end what it had itself.

    :param moves: all migrations of the instance, the oldest first
    """
    own = [move for move in moves if move.kind == LIVE_MIGRATION and host == (
        move.dest_host if verdict is Verdict.ABORT else move.source_host)]
    found = [move for move in own if move.uuid == uuid] or (
        own if verdict is Verdict.ABORT else [])
    return found[-1] if found else None


def stranger(host: str, move: OtherMove | None, now: InstanceRow | None, verdict: Verdict,
             guest: HostEvidence) -> str:
    """Why a host that has no journal of a migration does not do its part of a verdict; empty if
    it does.

    :param move: see :func:`lost`
    :param now: the instance, as Nova has recorded it
    """
    if move is None:
        return (f'Nova has no such live migration of this instance that {host} would have lost '
                f'by {verdict.value}')
    if guest.guest not in NO_QEMU or guest.job:
        return f'the guest may be on {host}: {guest}'
    if now is not None and now.host == host:
        return f'{host} is the host of the instance by its record'
    if verdict is Verdict.COMMIT and now is not None and now.host != move.dest_host:
        return f'the instance is on {now.host} by its record, not on {move.dest_host}'
    return ''
