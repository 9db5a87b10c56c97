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
"""Finds the cases of the matrix in what healthy and failing migrations really do."""

from __future__ import annotations

import dataclasses
import pathlib
import random
import sys
from collections.abc import Iterable

from migsafe.replay.lab import faults as lab_faults
from migsafe.replay.lab import san
from migsafe.tests.functional.matrix import catalogue, client, names, points

#: Second faults tried on the recovery of one case.
SECONDS = 8


class Finder:
    """Traces the bases in both laboratories and makes cases of what it sees."""

    def __init__(self, plain: client.Laboratory, armed: client.Laboratory,
                 hosts: tuple[str, ...]) -> None:
        self._plain, self._armed, self._hosts = plain, armed, hosts
        self.found = catalogue.Catalogue()

    def singles(self, wanted: str, seed: int) -> None:
        """One more fault, or a kill, at every effect of every base.

        :param wanted: 'all' failures of each effect and all kills, or 'some': one failure, in
            turn, at three of five effects, and no kill that leaves what another one leaves
        """
        for fault, why in points.LIES.items():
            self._leave(f'{" ".join(fault)}: {why}')
        for base in names.BASES:
            plain, armed = self.both(base)
            for number, point in enumerate(armed):
                failures, kills = points.wanted(armed, number, wanted, seed)
                self._add(base, 'single', failures, point in plain)
                self._add(base, 'kill', kills, point in plain)

    def pairs(self, wanted: str, seed: int) -> None:
        """A second fault or kill in the recovery from a first.

        :param wanted: how many, or 'all'
        """
        firsts = self._firsts()
        random.Random(seed).shuffle(firsts)
        pairs: list[catalogue.Entry] = []
        limit = sys.maxsize if wanted == 'all' else int(wanted)
        while firsts and len(pairs) < limit:
            first = firsts.pop(0)
            pairs += [catalogue.Entry(f'{first},{names.word(second)}', 'pair', False)
                      for second in self._seconds(first)]
        self.found.entries += pairs[:limit]

    def _firsts(self) -> list[str]:
        """Every fifth kill and every twelfth failure: neighbours leave much the same."""
        return [e.name for kind, step in (('kill', 5), ('single', 12))
                for e in self.found.of(kind)[::step]]

    def _seconds(self, first: str) -> list[lab_faults.Fault]:
        report = self._armed.run(first, step=False)
        if report.broken:
            self._leave(f'{first}: its recovery could not be traced: {report.broken}')
            return []
        found = points.points(report.later, self._hosts)
        chosen = [f for n, p in enumerate(found) for f in self._second(p, n)]
        step = max(1, len(chosen) // SECONDS)
        return chosen[::step][:SECONDS]

    def _second(self, point: points.Point, number: int) -> list[lab_faults.Fault]:
        failures = points.failures(point, number)
        return [*points.kills(point, 'recover'),
                dataclasses.replace(failures[number % len(failures)], phase='recover')]

    def both(self, base: str) -> tuple[list[points.Point], list[points.Point]]:
        """The effects of a base on plain Nova and armed, in order."""
        plain, armed = (self._stable(lab, base) for lab in (self._plain, self._armed))
        for point in plain:
            if point not in armed:
                self._leave(f'{base}: {point} takes place on plain Nova only')
        return plain, armed

    def _stable(self, lab: client.Laboratory, base: str) -> list[points.Point]:
        """What two runs have in common, after what the base broke."""
        runs = [self._trace(lab, base) for _ in range(2)]
        for point in set(runs[0]) ^ set(runs[1]):
            self._leave(f'{base}: {point} does not take place in every run (cached)')
        return [point for point in runs[0] if point in runs[1]]

    def _trace(self, lab: client.Laboratory, base: str) -> list[points.Point]:
        report = lab.run(base, step=False)
        if report.broken or report.unfired:
            raise RuntimeError(f'{base} cannot be traced: {report.broken} {report.unfired}')
        return points.points(report.trace, self._hosts, max(report.fired, default=-1))

    def _add(self, base: str, kind: str, faults: Iterable[lab_faults.Fault],
             plain: bool) -> None:
        self.found.entries += [
            catalogue.Entry(names.name(base, f), kind, plain) for f in faults]

    def _leave(self, reason: str) -> None:
        self.found.left_out.append(reason)


def find(pairs: str, seed: int, singles: str) -> catalogue.Catalogue:
    """Find all cases anew."""
    incident = san.Incident.load()
    labs = client.Laboratory(False), client.Laboratory(True)
    try:
        finder = Finder(*labs, (incident.source, incident.destination))
        finder.singles(singles, seed)
        finder.pairs(pairs, seed)
    finally:
        for lab in labs:
            lab.stop()
    return finder.found


if __name__ == '__main__':
    find(sys.argv[2], int(sys.argv[3]), sys.argv[4]).store(pathlib.Path(sys.argv[1]))
