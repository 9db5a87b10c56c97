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
"""The fault matrix as tests: one test per case, so that the counts of a run are those of cases.

MIGSAFE_SINGLES=all runs every failure of each effect and not one in turn, and every kill;
MIGSAFE_PAIRS=all|N says how many pairs, MIGSAFE_SEED which; MIGSAFE_SAMPLE=N runs each Nth case
and MIGSAFE_CASE=NAME only that one.
"""

from __future__ import annotations

import atexit
import functools
import os
import unittest
from typing import Any

from migsafe.tests.functional.matrix import catalogue, examine


@functools.cache
def _examiner() -> examine.Examiner:
    """One pair of laboratories for all tests of this process."""
    made = examine.Examiner()
    atexit.register(made.stop)
    return made


class MatrixCase(unittest.TestCase):
    """One case."""

    def __init__(self, entry: catalogue.Entry) -> None:
        super().__init__('examine')
        self._entry = entry

    def id(self) -> str:
        # no brackets: stestr takes what is in them for tags
        return f'{__name__}.{self._entry.kind}.{self._entry.name}'

    def __str__(self) -> str:
        return self.id()

    def examine(self) -> None:
        """Control on plain Nova, then armed."""
        finding = _examiner().examine(self._entry)
        examine.record(finding)
        if finding.wrong:
            self.fail(examine.text(finding))


class Enough(unittest.TestCase):
    """The matrix is as large as it has to be."""

    def test_singles(self) -> None:
        self.assertGreaterEqual(len(catalogue.load().of('single')), 150)

    def test_kills(self) -> None:
        found = catalogue.load()
        journal = [e for e in found.of('kill') if ':journal:' in e.name]
        self.assertGreaterEqual(len(journal), 60)
        self.assertGreater(len(found.of('kill')), len(journal))

    def test_pairs(self) -> None:
        wanted = os.environ.get('MIGSAFE_PAIRS', catalogue.PAIRS)
        least = 500 if wanted == 'all' else int(wanted)
        self.assertGreaterEqual(len(catalogue.load().of('pair')), least)


def _chosen() -> list[catalogue.Entry]:
    one = os.environ.get('MIGSAFE_CASE')
    if one:
        return [catalogue.Entry(one, 'single', 'journal' not in one)]
    return catalogue.load().entries[::int(os.environ.get('MIGSAFE_SAMPLE', '1'))]


def load_tests(loader: unittest.TestLoader, standard: unittest.TestSuite,
               pattern: Any) -> unittest.TestSuite:
    """One test for each case."""
    standard.addTests(map(MatrixCase, _chosen()))
    return standard
