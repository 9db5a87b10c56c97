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
"""The totals of a run, from what its processes recorded; nothing is counted twice."""

from __future__ import annotations

import collections
import json
from collections.abc import Iterable
from typing import Any

from migsafe.tests.functional.matrix import catalogue

_ROW = '{:<16}{:<8}{:>7}{:>10}{:>9}{:>9}{:>9}'


def results() -> list[dict[str, Any]]:
    """All findings that were recorded; the last of a case counts."""
    found: dict[str, dict[str, Any]] = {}
    paths = sorted(catalogue.DIRECTORY.glob('results-*.jsonl'), key=lambda p: p.stat().st_mtime)
    for path in paths:
        for line in path.read_text(encoding='utf-8').splitlines():
            finding = json.loads(line)
            found[finding['name']] = finding
    return list(found.values())


def forget() -> None:
    """Begin a new table."""
    for path in catalogue.DIRECTORY.glob('results-*.jsonl'):
        path.unlink()


def table(findings: Iterable[dict[str, Any]]) -> str:
    """Counts per base and kind of case."""
    rows: dict[tuple[str, str], collections.Counter[str]] = collections.defaultdict(
        collections.Counter)
    for finding in findings:
        base = finding['name'].partition(',')[0]
        for key in ((base, finding['kind']), ('total', '')):
            rows[key].update(_marks(finding))
    lines = [_ROW.format('', 'cases', '', 'plain', '', 'armed', ''),
             _ROW.format('migration', 'kind', 'number', 'clean', 'left', 'clean', 'left')]
    for (base, kind), counts in sorted(rows.items(), key=lambda row: row[0][0] == 'total'):
        lines.append(_ROW.format(base, kind, counts['cases'], counts['plain clean'],
                                 counts['plain left'], counts['armed clean'],
                                 counts['armed left']))
    return '\n'.join(lines)


def _marks(finding: dict[str, Any]) -> list[str]:
    marks = ['cases', 'armed left' if finding['wrong'] else 'armed clean']
    if finding['plain'] is not None:
        marks.append('plain left' if finding['plain'] else 'plain clean')
    return marks


def kinds(findings: Iterable[dict[str, Any]]) -> str:
    """How often plain Nova left which residue or did which harm."""
    counts: collections.Counter[str] = collections.Counter()
    for finding in findings:
        counts.update({left.split(' ')[0] for left in finding['plain'] or ()})
    return ', '.join(f'{kind} {count}' for kind, count in sorted(counts.items()))
