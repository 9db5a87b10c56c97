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
"""The fault matrix with migsafe on the source only and on the destination only.

Each case runs on plain Nova as well, and must not go worse than there.
"""

from __future__ import annotations

import collections
import dataclasses
import random
from collections.abc import Iterable, Iterator, Sequence

from migsafe.replay.lab import san
from migsafe.tests.functional.matrix import catalogue, client, compare, find, names, points
from migsafe.tests.functional.matrix.report import Report


@dataclasses.dataclass(frozen=True)
class Half:
    """One case.

    :param half: the host that has migsafe, of :data:`client.HALVES`
    :param name: of the case
    :param control: of the case on plain Nova. An effect of migsafe's own that fails has none
        there; where a process dies at one, it dies there after what it did before that
    """

    half: str
    name: str
    control: str


@dataclasses.dataclass
class Result:
    """What a case showed.

    :param broken: why it says nothing
    """

    case: Half
    difference: compare.Difference
    broken: str = ''
    log: str = ''


def cases(half: str, wanted: str, seed: int) -> list[Half]:
    """All cases of one half, found by tracing the bases.

    :param wanted: see :func:`points.wanted`
    """
    incident = san.Incident.load()
    labs = client.Laboratory(False), client.Laboratory(True, half)
    try:
        finder = find.Finder(*labs, (incident.source, incident.destination))
        return [case for base in names.BASES
                for case in _of(half, base, *finder.both(base), wanted, seed)]
    finally:
        for lab in labs:
            lab.stop()


def _of(half: str, base: str, plain: Sequence[points.Point], path: Sequence[points.Point],
        wanted: str, seed: int) -> Iterator[Half]:
    last: dict[str, str] = {}
    # What dies before the first effect that both have dies before plain Nova's first one.
    for point in reversed(plain):
        last[point.host] = names.name(base, point.fault('kill', 'before'))
    for number, point in enumerate(path):
        common = point in plain
        failures, kills = points.wanted(path, number, wanted, seed)
        for fault in failures:
            name = names.name(base, fault)
            yield Half(half, name, name if common else base)
        for kill in kills:
            name = names.name(base, kill)
            yield Half(half, name, name if common else last.get(point.host, base))
        if common:
            last[point.host] = names.name(base, point.fault('kill', 'after'))


def named(half: str, name: str) -> Half:
    """The case of a name. Its control is the same on plain Nova, or only the base where it has
    a fault of migsafe's own."""
    base, *words = name.split(',')
    own = any(fault.kind == 'journal' or fault.name.startswith('migsafe.')
              for fault in map(names.fault, words))
    return Half(half, name, base if own else name)


#: Nova's own messages to the destination, whose answers a fault of them keeps from the source.
ASKED = ('pre_live_migration', 'remove_volume_connection')


def unheard(case: Half) -> str:
    """The destination, if that has no migsafe and did not answer, or the answer was lost."""
    incident = san.Incident.load()
    for fault in map(names.fault, case.name.split(',')[1:]):
        killed = fault.action == 'kill' and fault.host == incident.destination
        if case.half == 'source' and (killed or fault.name in ASKED):
            return incident.destination
    return ''


def of_catalogue(half: str) -> list[Half]:
    """Those cases of the matrix that plain Nova has as well. Nothing is traced for them, so that
    a fault of some does not take place where one host is without migsafe."""
    return [Half(half, entry.name, entry.name)
            for entry in catalogue.load().entries if entry.plain]


def drawn(found: Iterable[Half], count: int, seed: int) -> list[Half]:
    """Some of them, by a seed."""
    every = list(found)
    return random.Random(seed).sample(every, min(count, len(every)))


class Examiner:
    """Runs cases in laboratories of their own; what plain Nova did is kept for the other half."""

    def __init__(self) -> None:
        self._plain = client.Laboratory(False)
        self._half = {half: client.Laboratory(True, half) for half in client.HALVES}
        self._known: dict[str, Report] = {}

    def stop(self) -> None:
        """End all laboratories."""
        for lab in (self._plain, *self._half.values()):
            lab.stop()

    def examine(self, case: Half) -> Result:
        """Run a case on plain Nova and with migsafe on one host."""
        step = names.next_step(case.name)
        known = f'{case.control} {step}'
        plain = self._known.get(known) or self._plain.run(case.control, step)
        self._known[known] = plain
        half = self._half[case.half].run(case.name, step)
        why = plain.broken or half.broken or ' '.join(
            f'did not take place: {word}' for word in (*plain.unfired, *half.unfired))
        return Result(case, compare.compare(plain, half, unheard(case)), why, half.log)


def text(found: Result) -> str:
    """One line for a case, and more for one that went worse."""
    difference, case = found.difference, found.case
    if found.broken:
        return f'says nothing {case.half} {case.name}: {found.broken[:500]}'
    said = 'WORSE' if difference.worse else 'held' if difference.held else 'ok'
    lines = [f'{said} {case.half} {case.name}']
    for what in ('worse', 'held', 'better') if said != 'ok' else ():
        lines += [f'    {what}: {"; ".join(getattr(difference, what))}']
    return '\n'.join(lines)


def table(results: Iterable[Result]) -> str:
    """Counts per half."""
    rows: dict[str, collections.Counter[str]] = {h: collections.Counter() for h in client.HALVES}
    for result in results:
        found, row = result.difference, rows[result.case.half]
        row['cases'] += 1
        if result.broken:
            row['say nothing'] += 1
            continue
        row['worse'] += bool(found.worse)
        row['held'] += bool(found.held)
        row['better'] += bool(found.better and not found.worse)
    columns = ('cases', 'say nothing', 'worse', 'held', 'better')
    lines = ['{:<14}'.format('migsafe on') + ''.join(f'{c:>13}' for c in columns)]
    lines += [f'{half:<14}' + ''.join(f'{row[c]:>13}' for c in columns)
              for half, row in rows.items()]
    return '\n'.join(lines)
