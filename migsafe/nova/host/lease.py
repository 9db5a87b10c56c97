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

import dataclasses
import datetime
import time
from collections.abc import Callable
from typing import Any

from oslo_utils import timeutils

from migsafe.journal.records import Transaction
from migsafe.resources import instance_record
from migsafe.text import masked
from migsafe.transaction.clients import LIVE_MIGRATION, Clients, VolumeRow
from migsafe.transaction.move import MIGRATING
from migsafe.transaction.verdict import DECIDED

#: The part of the time that the source waits after which is asked. The other half is for an
#: effect that takes long, and for the question.
PART = 0.5
#: Seconds between nova-api's request and its arrival on a host that is not asked about.
YOUNG = 30


class Lease:
    """Whether a transaction is still this host's to work on.

    :param seconds: after which it has to be asked
    :param ask: says why it is not any more; empty if it is
    :param since: when the step began, if that was not now; see :func:`clocks`
    :param row_of_leader: what a row says for the host that leads the instance
    """

    def __init__(self, seconds: float, ask: Callable[[], str],
                 row_of_leader: Callable[[VolumeRow], VolumeRow | None] = lambda row: None,
                 since: tuple[float, datetime.datetime] | None = None) -> None:
        self._seconds, self._ask = seconds, ask
        self.row_of_leader = row_of_leader
        self._boot, self._wall = since or clocks()

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


def clocks() -> tuple[float, datetime.datetime]:
    """What both clocks say now."""
    return _boottime(), timeutils.utcnow()


def _boottime() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def row_of_leader(clients: Clients, tx: Transaction, row: VolumeRow) -> VolumeRow | None:
    """A row as the host has it that leads the instance now, by Cinder; None if that cannot be
    told, which leaves it to the source, whose settlement waits for this host's step to end."""
    leader = _leader(clients, tx)
    found = [a for a in clients.volumes.attachments(tx.instance_uuid)
             if a.volume_id == row.volume_id and a.host == leader]
    info = clients.volumes.connection_info(found[0].id) if len(found) == 1 else None
    if not info:
        return None
    info.setdefault('serial', row.volume_id)
    return dataclasses.replace(row, attachment_id=found[0].id, connection_info=info)


def _leader(clients: Clients, tx: Transaction) -> str:
    """The source, unless the instance has been moved on from there meanwhile."""
    going = [move for move in clients.records.later(tx)
             if move.kind == LIVE_MIGRATION and not (move.over or move.only_asked_for)]
    if going:
        return going[-1].dest_host
    now = clients.records.instance(tx.instance_uuid)
    return tx.source_host if now is None or not now.host or now.host == tx.dest_host else now.host


def waited(sent: Any) -> bool:
    """Whether a message may have waited for its host, as it does while nova-compute is down.

    What it tells may have been true then only. One that is young is not asked about.

    :param sent: the instance as it came in the message, saved when it became ``migrating``
    """
    if sent.updated_at is None:
        return True
    age = (timeutils.utcnow() - timeutils.normalize_time(sent.updated_at)).total_seconds()
    # Of the future: whichever clock is wrong, nobody knows how long it has waited.
    return not -YOUNG <= age <= YOUNG


def moved(clients: Clients, tx: Transaction) -> str:
    """Why a live migration must not begin any more; empty if nothing in Nova says so."""
    now = clients.records.instance(tx.instance_uuid)
    if now is None:
        return 'the instance was deleted'
    if now.host != tx.source_host:
        return f'the instance is on {now.host} by its record'
    if now.task_state != MIGRATING:
        return 'the instance is not to be moved any more'
    return next((str(o) for o in clients.records.later(tx) if not o.only_asked_for), '')


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
