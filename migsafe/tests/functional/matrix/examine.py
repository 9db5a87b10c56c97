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
"""One case on plain Nova and then armed, and what is wrong with what it showed."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterable

from migsafe.tests.functional.matrix import catalogue, client
from migsafe.tests.functional.matrix.report import Report


@dataclasses.dataclass
class Finding:
    """What a case showed.

    :param plain: what plain Nova left; None where it has no such effect
    :param armed: what migsafe left: must be empty
    :param wrong: why the case fails: must be empty
    """

    name: str
    kind: str
    plain: list[str] | None
    armed: list[str]
    wrong: list[str]
    seconds: float
    log: str = ''


class Examiner:
    """Runs cases in one plain and one armed laboratory."""

    def __init__(self) -> None:
        self._plain, self._armed = client.Laboratory(False), client.Laboratory(True)

    def stop(self) -> None:
        """End both laboratories."""
        self._plain.stop()
        self._armed.stop()

    def examine(self, entry: catalogue.Entry) -> Finding:
        """Run a case in both."""
        plain = self._plain.run(entry.name) if entry.plain else None
        armed = self._armed.run(entry.name)
        wrong = [f'plain: did not fire: {w}' for w in plain.unfired] if plain else []
        wrong += [f'armed: did not fire: {w}' for w in armed.unfired]
        wrong += [f'armed: {w}' for w in _left(armed)]
        return Finding(
            entry.name, entry.kind, _left(plain) if plain else None, _left(armed), wrong,
            armed.seconds + (plain.seconds if plain else 0.0), armed.log if wrong else '')


def _left(report: Report) -> list[str]:
    return [f'stuck: {report.broken}'] if report.broken else report.left


def record(finding: Finding) -> None:
    """Keep a finding for the table; one file per process, so that none has to wait."""
    catalogue.DIRECTORY.mkdir(parents=True, exist_ok=True)
    kept = dataclasses.asdict(finding)
    kept.pop('log')
    path = catalogue.DIRECTORY / f'results-{os.getpid()}.jsonl'
    with path.open('a', encoding='utf-8') as stream:
        stream.write(json.dumps(kept) + '\n')


def text(finding: Finding) -> str:
    """What a failing test says."""
    lines: Iterable[str] = (
        finding.name, *(f'  {w}' for w in finding.wrong),
        f'  plain Nova leaves: {"; ".join(finding.plain or ["(not run)"])}',
        f"  again: MIGSAFE_CASE='{finding.name}' python -m migsafe.tests.functional.matrix",
        finding.log)
    return '\n'.join(lines)
