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
"""What a call of Nova's writes into the journal, step by step."""

from __future__ import annotations

import dataclasses
from typing import Any

from migsafe.journal.api import Journal
from migsafe.journal.effects import Outcome
from migsafe.journal.records import Payload, Transaction
from migsafe.transaction import history


@dataclasses.dataclass
class Steps:
    """Intents and outcomes of one call, with as few waits for the disk as is safe.

    An intent is durable before its effect. An outcome is written with the next intent, or
    when another effect of the call or its end comes; lost with a kill before that, it leaves
    an intent that may have happened, which is true.

    :param uuid: the migration's uuid
    :param instance_uuid: the instance's uuid
    :param journal: this host's journal
    :param tx: set once the transaction is journalled
    """

    uuid: str
    instance_uuid: str
    journal: Journal
    tx: Transaction | None = None
    #: outcomes that are not written yet
    pending: list[Outcome] = dataclasses.field(
        default_factory=list, repr=False)
    #: whether no power cut may take one of them away
    lasting: bool = False
    #: intents that are durable with the verdict and whose effects are to come: their ids
    planned: dict[tuple[str, str], int] = dataclasses.field(default_factory=dict)
    #: the kind of the last effect
    last: str = ''
    #: whether what is written survives a power cut
    durable: bool = True

    def intent(self, resource: str, effect: str, key: str,
               payload: Any) -> int:
        """Journal an intent, and with it the outcomes before it."""
        assert self.tx is not None
        over, self.last = self.last not in ('', effect), effect
        known = self.planned.pop((effect, key), None)
        if known is not None:
            self._ahead(over)
            return known
        intent = self.journal.intent(self.tx, resource, effect, key, payload,
                                     outcomes=self.pending)
        self.pending.clear()
        self.lasting, self.durable = False, True
        return intent

    def _ahead(self, over: bool) -> None:
        """Before an effect whose intent is durable already.

        Effects of one kind need nothing of each other. Those of the next kind come when all of
        the one before have ended for certain: once an export is deleted, its number may be
        another disk's, and nobody could tell any more whether the device had gone before.

        :param over: whether the effect before was of another kind
        """
        self.lasting |= over
        self.flush()
        if over:
            self.make_durable()

    def done(self, intent: int, status: str, payload: Payload, lasting: bool = False) -> None:
        """Keep an outcome until the next thing is journalled.

        :param lasting: whether it names what a power cut of this host leaves there
        """
        self.pending.append((intent, status, payload))
        self.lasting |= lasting

    def give_up_planned(self) -> None:
        """What was not begun will not be: that is known, and nothing has to be looked for."""
        while self.planned:
            _effect, intent = self.planned.popitem()
            self.done(intent, 'error', history.NOT_BEGUN)

    def flush(self) -> None:
        """Write the last outcomes by themselves.

        They survive a kill. Devices do not survive a power cut, so what became of them needs
        not to either, and does not wait for the disk.
        """
        if self.pending:
            assert self.tx is not None
            journal = self.journal if self.lasting else self.journal.unsynced
            journal.outcomes(self.tx, self.pending)
            self.pending.clear()
            self.lasting, self.durable = False, self.lasting

    def make_durable(self) -> None:
        """What is written survives a power cut when this returns."""
        if self.tx is not None and not self.durable:
            self.journal.check_writable()
            self.durable = True
