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
"""Reads migsafe's journals while the laboratory works, commit by commit."""

from __future__ import annotations

from typing import Any

from migsafe import journal
from migsafe.journal import redact
from migsafe.replay.outcome import Verdict

#: kind of a line of the journal -> how it reads in a timeline. Payloads never do: they hold
#: connection_info, and with it CHAP secrets.
_WORDS = {
    'intent': 'intent: {0.effect}', 'outcome': '{0.status}: {0.effect}',
    'verdict': 'verdict {0.status}: {0.text}', 'hold': 'hold {0.resource}: {0.text}',
    'settled': 'settled: {0.resource}', 'note': 'note: {0.text}',
    'request': 'request: {0.effect}', 'capture': 'capture: {0.resource}',
}


class Books:
    """The journals of all hosts, read only.

    :param config: Nova's configuration with the [migsafe] group.
    """

    def __init__(self, config: Any) -> None:
        self._config = config
        self._open: dict[str, Any] = {}
        self._last: dict[str, int] = {}

    def _book(self, host: str) -> Any:
        if host not in self._open:
            self._open[host] = journal.open_journal(self._config, host)
        return self._open[host]

    def new_lines(self, host: str, instance_uuid: str) -> tuple[str, ...]:
        """What was written about a guest since the last call, in words."""
        book, last = self._book(host), self._last.get(host, 0)
        lines = [line for tx in book.list(instance_uuid=instance_uuid)
                 for line in book.records(tx, after_id=last)]
        lines.sort(key=lambda line: line.id)
        if lines:
            self._last[host] = lines[-1].id
        said = [str(redact(_WORDS.get(line.kind, '{0.kind}').format(line))) for line in lines]
        # the state before anything changed is many lines of one commit
        return tuple(dict.fromkeys(said))

    def changed(self, host: str, instance_uuid: str) -> None:
        """Somebody has put another journal in the place of a host's: what is in it is not new."""
        self._last[host] = 0
        self.new_lines(host, instance_uuid)

    def verdicts(self, host: str, instance_uuid: str) -> tuple[Verdict, ...]:
        """How a guest's transactions stand on one host, oldest first."""
        found = self._book(host).list(instance_uuid=instance_uuid)
        return tuple(Verdict(host, tx.role, tx.state, tx.verdict or '', str(redact(tx.reason)))
                     for tx in found)

    def close(self) -> None:
        """Let go of all of them."""
        for book in self._open.values():
            book.close()
        self._open.clear()
