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
"""How long a step of a migration is this host's to take without asking.

The source of a migration waits for its destination so long and no longer, and then rolls back.
A destination that was stuck meanwhile would go on, into what is the owner's again.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from oslo_utils import timeutils

from migsafe.journal.records import Transaction
from migsafe.resources import instance_record
from migsafe.text import masked
from migsafe.transaction.clients import Clients
from migsafe.transaction.verdict import DECIDED

#: The part of the time that the source waits after which is asked. The other half is for an
#: effect that takes long, and for the question.
PART = 0.5


class Lease:
    """Whether a transaction is still this host's to work on.

    :param seconds: after which it has to be asked
    :param ask: says why it is not any more; empty if it is
    """

    def __init__(self, seconds: float, ask: Callable[[], str]) -> None:
        self._seconds, self._ask = seconds, ask
        self._boot, self._wall = _boottime(), timeutils.utcnow()

    def overdue(self) -> bool:
        """Whether it has lasted so long that the other host may have given up.

        By two clocks: a host that sleeps, or a virtual one that is stopped, may have one of
        them standing still.
        """
        wall = (timeutils.utcnow() - self._wall).total_seconds()
        return bool(max(_boottime() - self._boot, wall) >= self._seconds)

    def lost(self) -> str:
        """Why it must not go on; empty if it may. Nobody is asked before it is due."""
        if not self.overdue():
            return ''
        try:
            return self._ask()
        except Exception as error:
            return f'it cannot be told: {masked(error)}'


def _boottime() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def refusal(clients: Clients, tx: Transaction, plugin: bool) -> str:
    """Why a destination must not go on with a migration; empty if it may.

    :param plugin: whether the source has said that it has the plugin, and so has to answer
    """
    status = clients.records.migration_status(tx.uuid)
    if status in instance_record.TERMINAL:
        return f'the migration is {status}'
    other = next((o for o in clients.records.later(tx) if not o.only_asked_for), None)
    if other:
        return str(other)
    if not plugin:
        return ''
    said = clients.peer.describe(tx.source_host, tx.uuid)
    if said is None:
        return f'{tx.source_host} does not answer'
    if said['verdict'] in DECIDED or said['state'] == 'settled':
        return f'{tx.source_host} has decided {said["verdict"] or "it"}'
    if not (said['known'] and said['live']):
        return f'{tx.source_host} does not work on it any more'
    return ''
