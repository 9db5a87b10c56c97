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
"""The list of all cases; find.py makes it, in a process of its own.

It is kept on disk until a source file changes. Nothing here imports Nova.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import json
import os
import pathlib
import subprocess
import sys

import migsafe

#: Where the catalogue and the results are kept.
DIRECTORY = pathlib.Path(os.environ.get('MIGSAFE_MATRIX_DIR', '.stestr/matrix'))
#: Pairs of a run that is not told how many.
PAIRS = '40'
#: One failure at three of five effects, and no two kills that leave the same; or 'all'.
SINGLES = 'some'


@dataclasses.dataclass(frozen=True)
class Entry:
    """One case.

    :param kind: single, kill or pair
    :param plain: whether plain Nova causes the effect too, so that it can be the control
    """

    name: str
    kind: str
    plain: bool


@dataclasses.dataclass
class Catalogue:
    """The cases, and what was left out with the reason."""

    entries: list[Entry] = dataclasses.field(default_factory=list)
    left_out: list[str] = dataclasses.field(default_factory=list)

    def of(self, kind: str) -> list[Entry]:
        """The cases of one kind."""
        return [e for e in self.entries if e.kind == kind]

    def store(self, path: pathlib.Path) -> None:
        """Write it, in one step for whoever reads."""
        path.parent.mkdir(parents=True, exist_ok=True)
        half = path.with_suffix(f'.{os.getpid()}')
        half.write_text(json.dumps(dataclasses.asdict(self), indent=0), encoding='utf-8')
        half.replace(path)

    @classmethod
    def read(cls, path: pathlib.Path) -> Catalogue:
        """The counterpart of store."""
        stored = json.loads(path.read_text(encoding='utf-8'))
        return cls([Entry(**entry) for entry in stored['entries']], stored['left_out'])


def load() -> Catalogue:
    """The catalogue for MIGSAFE_SINGLES, MIGSAFE_PAIRS and MIGSAFE_SEED.

    :raises RuntimeError: if it cannot be made
    """
    pairs = os.environ.get('MIGSAFE_PAIRS', PAIRS)
    seed = os.environ.get('MIGSAFE_SEED', '0')
    singles = os.environ.get('MIGSAFE_SINGLES', SINGLES)
    path = DIRECTORY / f'catalogue-{_version(pairs, seed, singles)}.json'
    if not path.exists():
        made = subprocess.run(
            [sys.executable, '-W', 'ignore', '-m', 'migsafe.tests.functional.matrix.find',
             str(path), pairs, seed, singles], capture_output=True, text=True, check=False)
        if made.returncode:
            raise RuntimeError(f'the cases could not be found: {made.stderr[-4000:]}')
    return Catalogue.read(path)


def _version(*given: str) -> str:
    """What the catalogue depends on: Nova, the concurrency mode, and this package."""
    digest = hashlib.sha256(repr((
        *given, importlib.metadata.version('nova'),
        os.environ.get('OS_NOVA_DISABLE_EVENTLET_PATCHING'))).encode())
    top = pathlib.Path(migsafe.__file__).parent
    for source in sorted(top.rglob('*.py')):
        if 'tests' not in source.parts or 'matrix' in source.parts:
            digest.update(source.read_bytes())
    return digest.hexdigest()[:16]
