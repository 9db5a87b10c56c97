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
"""Keeps what was read or told before, until the instance comes whose it is."""

from __future__ import annotations

import collections
from collections.abc import Iterable, Iterator

from migsafe.audit.facts import Attachment, Export
from migsafe.audit.told import Told
from migsafe.journal.residue import Piece

#: One attachment, as most volumes have, or several.
Held = Attachment | tuple[Attachment, ...]


def _held(before: tuple[Attachment, ...], one: Attachment) -> Held:
    return (*before, one) if before else one


def _all(held: Held | None) -> tuple[Attachment, ...]:
    # NOTE: an attachment is a tuple as well.
    return () if held is None else (held,) if isinstance(held, Attachment) else held


class Shelf:
    """The attachments of Cinder, until an instance asks for them."""

    def __init__(self, found: Iterable[Attachment]) -> None:
        self._by_instance: dict[str, Held] = {}
        self._by_volume: dict[str, Held] = {}
        for one in found:
            if one.instance:
                mine = self.take(one.instance)
                # NOTE: a text that many rows have is kept once; there are a quarter million.
                one = one._replace(instance=mine[0].instance) if mine else one
                self._by_instance[str(one.instance)] = _held(mine, one)
            self._by_volume[one.volume] = _held(self.of(one.volume), one)

    def take(self, instance: str) -> tuple[Attachment, ...]:
        """Those of an instance, which are then not left."""
        return _all(self._by_instance.pop(instance, None))

    def peek(self, instance: str) -> tuple[Attachment, ...]:
        """The same, and they are still there."""
        return _all(self._by_instance.get(instance))

    def of(self, volume: str) -> tuple[Attachment, ...]:
        """All of a volume."""
        return _all(self._by_volume.get(volume))

    def left(self) -> list[str]:
        """Instances that nobody has asked for."""
        return list(self._by_instance)


class Said:
    """What services have told, until an instance asks for it."""

    def __init__(self, told: Told) -> None:
        self._pieces: dict[str, list[Piece]] = collections.defaultdict(list)
        self._exports: dict[str, list[Export]] = collections.defaultdict(list)
        self._runs: dict[str, tuple[str, ...]] = dict(told.runs)
        self._used: set[str] = set()
        for piece in told.pieces:
            self._pieces[piece.instance].append(piece)
        for export in told.exports:
            self._exports[export.volume].append(export)

    def pieces(self, instance: str) -> tuple[Piece, ...]:
        """Residue of an instance, which is then not left; that of none has the name ''."""
        return tuple(self._pieces.pop(instance, ()))

    def runs(self, instance: str) -> tuple[str, ...]:
        """Where its guest is, which is then not left."""
        return self._runs.pop(instance, ())

    def exports(self, volumes: Iterable[str]) -> tuple[Export, ...]:
        """Those of volumes of an instance; another one may have them as well."""
        wanted = set(volumes)
        self._used |= wanted
        return tuple(one for volume in sorted(wanted) for one in self._exports.get(volume, ()))

    def instances(self) -> set[str]:
        """Instances that nobody has asked for."""
        return {*self._pieces, *self._runs}

    def unused(self) -> Iterator[list[Export]]:
        """Those of each volume that no instance has."""
        return (found for volume, found in sorted(self._exports.items())
                if volume not in self._used)
