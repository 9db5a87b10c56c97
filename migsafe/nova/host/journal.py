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
"""The journal of this nova-compute, also while it cannot be read."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from migsafe import exceptions
from migsafe.journal import api, late, opening
from migsafe.journal.records import Transaction
from migsafe.transaction.clients import LIVE_MIGRATION, Records


class HostJournal(api.Journal):
    """What is asked of one instance is answered, where no journal is needed for the answer.

    Each transaction is of a live migration that Nova has on record, from here or to here. Where
    Nova has none of an instance there is nothing that could be unsettled, so that an instance
    which was never moved can be worked on whatever has become of the journal. Of all others it is
    not known, and whoever asks has to wait.

    :param store: which may not be open yet
    :param records: Nova's records
    """

    def __init__(self, store: late.LateStore, host: str, records: Records) -> None:
        super().__init__(store, host)
        self._records = records
        self._late = store

    def open(self, then: Callable[[api.Journal], None]) -> None:
        """Open it now; if that fails, the next use of it tries again.

        :param then: called with it once it is open
        :raises JournalUnavailable: it could not be opened; JournalAway where that may heal
        """
        self._late.then = functools.partial(then, self)
        self._late.attempt()

    def unsettled_for_instance(self, instance_uuid: str) -> list[Transaction]:
        """Return what is not settled of one instance on this host."""
        try:
            return super().unsettled_for_instance(instance_uuid)
        except exceptions.JournalAway:
            if self._may_be_in_one(instance_uuid):
                raise
            return []

    def list(self, state: str | None = None, instance_uuid: str | None = None,
             limit: int = 100, after_id: int = 0, all_hosts: bool = False,
             newest: bool = False) -> list[Transaction]:
        """Return a page of all transactions, or of those of one instance."""
        try:
            return super().list(state, instance_uuid, limit, after_id, all_hosts, newest)
        except exceptions.JournalAway:
            if instance_uuid is None or self._may_be_in_one(instance_uuid):
                raise
            return []

    def _may_be_in_one(self, instance_uuid: str) -> bool:
        """Whether Nova knows of a live migration of it that this host has had a part in."""
        return any(move.kind == LIVE_MIGRATION
                   and self.host in (move.source_host, move.dest_host)
                   for move in self._records.moves(instance_uuid))


def of_host(config: Any, host: str, records: Records) -> HostJournal:
    """The journal of a host, not opened yet.

    :raises ConfigError: see :func:`migsafe.journal.opening.journal_url`
    """
    return HostJournal(late.LateStore(opening.journal_url(config, host), host), host, records)
