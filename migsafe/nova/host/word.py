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

from migsafe.journal.records import Transaction
from migsafe.transaction.clients import Clients
from migsafe.transaction.evidence import GuestState
from migsafe.transaction.verdict import Verdict

#: The part of the time to wait of who has asked, which is spent on asking further.
ASKED = 1 / 3


def refusal(clients: Clients, tx: Transaction, verdict: Verdict) -> str:
    """Why a message alone is not enough; empty if nothing speaks against it."""
    guest = clients.guests.evidence(tx.instance_uuid)
    if guest.guest in (GuestState.HERE, GuestState.POSTCOPY):
        return f'the guest is on {tx.host}: {guest}'
    if tx.verdict == verdict.value or tx.state == 'settled':
        return ''
    if guest.guest is GuestState.IN_TRANSFER and verdict is Verdict.ABORT:
        source = clients.peer.describe(tx.source_host, tx.uuid, within=ASKED)
        if not source or source['verdict'] != verdict.value:
            return (f'the guest is coming in to {tx.host}, and {tx.source_host} does not '
                    f'say that it has decided {verdict.value}: {guest}')
    now = clients.records.instance(tx.instance_uuid)
    if now is not None and now.host == tx.host \
            and guest.guest is not GuestState.HANDED_OVER:
        return (f'{tx.host} is the host of the instance by its record, and only the other '
                f'host says {verdict.value}: {guest}')
    return ''
