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
"""Runs both children side by side and collects what they say."""

from __future__ import annotations

import contextlib
import queue
import time
from collections.abc import Iterator, Sequence
from typing import Any

from migsafe import version
from migsafe.replay import catalogue, outcome, story
from migsafe.replay.child import ARMED, BEFORE, PLAIN, SIDES, Child, Said
from migsafe.replay.entry import Entry
from migsafe.replay.summary import Pair, Report

#: Seconds without a word from any child after which both are given up. To start Nova takes some
#: ten seconds, and minutes where a dozen processes share the processor.
SILENCE = 900.0


class Run:
    """One replay of some faults on both sides.

    Iterate to let it happen; each step is something that a child said. Then ask for report().
    """

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.entries = tuple(entries)
        self._outcomes: dict[tuple[str, str], outcome.Outcome] = {}
        self._about: dict[str, str] = {'migsafe': version.version()}
        self._luns: tuple[int, ...] = ()
        self._problems: list[str] = []
        self._seconds = 0.0

    @property
    def totals(self) -> dict[str, int]:
        """How many replays each side has before it."""
        again = sum(bool(entry.mended) for entry in self.entries)
        return {PLAIN: len(self.entries), ARMED: len(self.entries) + again}

    def __iter__(self) -> Iterator[Said]:
        begun = time.monotonic()
        heard: queue.Queue[Said] = queue.Queue()
        names = [entry.name for entry in self.entries]
        with contextlib.ExitStack() as stack:
            children = {side: Child(side, names, heard) for side in SIDES}
            for child in children.values():
                stack.callback(child.stop)
            yield from self._hear(heard, children)
        self._seconds = time.monotonic() - begun

    def _hear(self, heard: queue.Queue[Said], children: dict[str, Child]) -> Iterator[Said]:
        working, ended = set(children), set()
        while working:
            try:
                said = heard.get(timeout=SILENCE)
            except queue.Empty:
                self._problems += [f'{side}: no word for {SILENCE:.0f} s, given up'
                                   for side in sorted(working)]
                return
            if said.body is None:
                working.discard(said.side)
                if said.side not in ended:
                    self._problems.append(f'{said.side}: the process ended too early:\n'
                                          f'{children[said.side].last_words()}')
                continue
            if said.body['event'] == 'end':
                ended.add(said.side)
            self._keep(said.side, said.body)
            yield said

    def _keep(self, side: str, body: dict[str, Any]) -> None:
        if body['event'] == 'ready':
            self._about.update({key: body[key] for key in ('nova', 'concurrency')})
        if body['event'] == 'garbled':
            self._problems.append(f'{side}: said what is not JSON: {body["why"]}')
        if body['event'] == 'control':
            self._luns = tuple(body['luns'])
        if 'outcome' in body:
            found = outcome.load(body['outcome'])
            self._outcomes[BEFORE if body['event'] == BEFORE else side, found.name] = found

    def report(self) -> Report:
        """What came of it."""
        return Report(story.load(), self._about, self._luns, self._pair(catalogue.CONTROL),
                      tuple(self._pair(entry) for entry in self.entries),
                      tuple(self._problems), self._seconds)

    def _pair(self, entry: Entry) -> Pair:
        return Pair(entry, self._outcomes.get((PLAIN, entry.name)),
                    self._outcomes.get((ARMED, entry.name)),
                    self._outcomes.get((BEFORE, entry.name)))
