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
"""One external effect of a settlement: its intent before it, its outcome after it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from migsafe.journal.api import Journal
from migsafe.journal.records import Transaction


class Effect:
    """Intent before, outcome after; an exception is an ``error`` outcome.

    :param ask: raises if the effect is not the transaction's to cause any more. It is asked
        when the intent is durable, since a commit of the journal may take long, and nothing
        comes between it and the effect
    """

    def __init__(self, journal: Journal, tx: Transaction,
                 resource: str, effect: str, key: str,
                 payload: Any = None, ask: Callable[[], None] | None = None) -> None:
        self._journal, self._tx, self._ask = journal, tx, ask
        self._args = (resource, effect, key, payload)
        self._intent = 0
        self.result: Any = None

    def __enter__(self) -> Effect:
        resource, effect, key, payload = self._args
        self._intent = self._journal.intent(self._tx, resource, effect, key,
                                            payload)
        if self._ask is not None:
            try:
                self._ask()
            except Exception as error:
                self._failed(error)
                raise
        return self

    def __exit__(self, kind: type[BaseException] | None,
                 error: BaseException | None, trace: object) -> None:
        if error is None:
            self._journal.outcome(self._tx, self._intent, 'ok', self.result)
        elif isinstance(error, Exception):
            self._failed(error)

    def _failed(self, error: Exception) -> None:
        # The exception's class is enough; its text may carry secrets.
        self._journal.outcome(self._tx, self._intent, 'error',
                              {'error': type(error).__name__})
