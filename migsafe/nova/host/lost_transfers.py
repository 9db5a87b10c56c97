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
"""Transfers that libvirt goes on with, and whose nova-compute was started anew.

Plain Nova ends them at the start. migsafe leaves them, as the guest may be about to arrive; then
somebody has to watch their time, and listen to who wants them ended or completed.
"""

from __future__ import annotations

import enum
import functools

from oslo_log import log as logging

from migsafe.journal.records import Transaction
from migsafe.nova.clients.transfers import Transfers
from migsafe.nova.host import workers
from migsafe.nova.host.participant import SOURCE, Participant
from migsafe.resources.instance_record import TERMINAL
from migsafe.text import masked
from migsafe.transaction.evidence import GuestState
from migsafe.transaction.verdict import DECIDED

LOG = logging.getLogger(__name__)

#: As many as there may be: each is of a migration that Nova had begun.
MANY = 1000
G = GuestState
#: Where the guest is, while libvirt takes it away from here.
LEAVING = frozenset((G.HERE, G.IN_TRANSFER, G.POSTCOPY))


class Fate(enum.Enum):
    """What becomes of a transfer that nobody watches."""

    WATCH = 'watch'
    END = 'end'


def fate(status: str | None) -> Fate:
    """Whether anybody waits for its end.

    :param status: of the migration by Nova's record, which is what its owner is shown. One that is
        over is never completed by Nova, and a guest that arrived would be on no record
    """
    return Fate.END if status in TERMINAL else Fate.WATCH


class LostTransfers:
    """Those of one host.

    :param participant: this host's participant
    :param transfers: the jobs of its libvirt
    """

    def __init__(self, participant: Participant, transfers: Transfers) -> None:
        self._participant, self._transfers = participant, transfers
        self._crew = workers.Crew(MANY, MANY)

    def take_up(self, tx: Transaction) -> bool:
        """Take a transfer up, if there is one that nobody watches.

        :param tx: a transaction that is not settled, and of which no attempt of this process is
            live: Nova's own watch is inside one
        :returns: whether it is watched now; it is settled when it has ended
        """
        if tx.role != SOURCE or not tx.dest_host or tx.verdict in DECIDED:
            return False
        here = self._participant.clients.guests.evidence(tx.instance_uuid)
        if not here.job or here.guest not in LEAVING or not self._transfers.going_on(tx):
            return False
        status = self._transfers.status(tx)
        if fate(status) is Fate.END:
            LOG.warning('Live migration %s of instance %s is %s by its record, and libvirt on %s '
                        'goes on with it: its transfer is ended', tx.uuid, tx.instance_uuid,
                        status, self._participant.host)
            self._transfers.end(tx)
            return False
        return self._crew.take(tx.id, functools.partial(self._watch, tx))

    def _watch(self, tx: Transaction) -> None:
        """Until it has ended nobody else is at it, as if Nova were."""
        LOG.info('The transfer of live migration %s of instance %s to %s, which began before '
                 'nova-compute did, is watched again', tx.uuid, tx.instance_uuid, tx.dest_host)
        try:
            attempt = self._participant.attempt(tx.uuid, tx.instance_uuid)
            with self._participant.attempts.open(attempt):
                self._transfers.watch(tx)
        except Exception as error:
            LOG.warning('The transfer of live migration %s of instance %s could not be watched to '
                        'its end, and is taken up again: %s', tx.uuid, tx.instance_uuid,
                        masked(error))
        try:
            self._participant.settle(tx)
        except Exception as error:
            LOG.error('Live migration %s of instance %s could not be settled at once and is left '
                      'to recovery: %s', tx.uuid, tx.instance_uuid, masked(error))

    def wait(self) -> None:
        """Wait until none is watched."""
        self._crew.wait()
