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
"""Whether a migration with migsafe on one of its two hosts went worse than on plain Nova."""

from __future__ import annotations

import collections
import dataclasses
import itertools
from collections.abc import Iterable, Mapping
from typing import Any

from migsafe.tests.functional.matrix.report import Piece, Report

#: What plain Nova does to a host when it takes an export away that is still in use there. What
#: is left of it, because migsafe does not, is a hold and no residue more.
TORN = frozenset(('export_yank', 'foreign_yank', 'foreign_connect', 'guest_export_lost'))
#: What such a hold consists of.
HELD = frozenset(('R3', 'R4'))
#: What is kept of an instance that plain Nova gives back on a host without its guest: there it is
#: started a second time by whoever reboots it, and here that is refused.
BUSY = frozenset(('R6', 'R12'))


@dataclasses.dataclass
class Difference:
    """What is otherwise than on plain Nova.

    :param worse: what there is too much of: must be empty
    :param held: what is left where plain Nova did damage instead, or deleted it unseen
    :param better: what plain Nova left, or did, and this did not
    """

    worse: list[str]
    held: list[str]
    better: list[str]


def compare(plain: Report, half: Report, unheard: str = '') -> Difference:
    """Compare what is left, what was damaged, and whether the next step can be done.

    Which volume of a guest comes first is up to the database: what the n-th one left in one of
    the two may be left of another volume in the other. So they may be exchanged.

    :param unheard: a host without migsafe that did not come to an answer. Whether it has a device,
        nobody can tell; plain Nova deletes the export all the same, and has luck or not
    """
    volumes = sorted({volume for _kind, _host, volume in (*plain.pieces, *half.pieces)
                      if volume is not None})
    found = [_compare(plain, half, unheard, dict(zip(volumes, others, strict=True)))
             for others in itertools.permutations(volumes)]
    return min(found, key=lambda one: (len(one.worse), len(one.held)))


def _compare(plain: Report, half: Report, unheard: str, names: Mapping[int, int]) -> Difference:
    pieces = [(kind, host, volume if volume is None else names[volume])
              for kind, host, volume in half.pieces]
    more = _more(pieces, plain.pieces)
    torn = {unheard} | {host for kind, host in plain.harms if kind in TORN}
    elsewhere = any(kind == 'R5' for kind, _host, _volume in plain.pieces)
    held = [piece for piece in more if (piece[0] in HELD and piece[1] in torn)
            or (piece[0] in BUSY and elsewhere)]
    worse = [_text(piece) for piece in more if piece not in held]
    worse += [f'harm {kind} on {host}' for kind, host in _more(half.harms, plain.harms)]
    if len(half.running) != 1 and half.running != plain.running:
        worse.append(f'the guest runs on {half.running}')
    if half.refused and not plain.refused and not elsewhere and not any(
            kind in TORN for kind, _host in plain.harms):
        worse.append(f'not done: {half.refused}')
    better = [_text(piece) for piece in _more(plain.pieces, pieces)]
    better += [f'harm {kind} on {host}' for kind, host in _more(plain.harms, half.harms)]
    return Difference(worse, [_text(piece) for piece in held], better)


def _more(these: Iterable[Any], those: Iterable[Any]) -> list[Any]:
    """What is in the first more often than in the second."""
    return list((collections.Counter(these) - collections.Counter(those)).elements())


def _text(piece: Piece) -> str:
    kind, host, volume = piece
    disk = '' if volume is None else f' volume {volume}'
    return f'{kind} {host}{disk}'.strip()
