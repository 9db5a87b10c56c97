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
"""The contract of a resource plugin (stevedore: ``migsafe.resources``)."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import Any, ClassVar

from migsafe.transaction.move import Move, Point
from migsafe.transaction.residue import Residue


class Held(Exception):
    """Something was deliberately left in place; ``keys`` says what and why."""

    def __init__(self, keys: dict[str, str]) -> None:
        super().__init__('; '.join(f'{k}: {v}' for k, v in keys.items()))
        self.keys = keys


class Resource(abc.ABC):
    """A kind of state that a live migration changes.

    A plugin is loaded once per process and called from several threads; it
    keeps no state of its own. Every method may be called again after a crash
    at any point, so every method is idempotent.
    """

    #: the entry point's name
    name: ClassVar[str]
    #: True when only the host that has the state can change it
    local: ClassVar[bool] = False
    #: True when a host takes back by itself what it has made of it, where no other leads
    alone: ClassVar[bool] = False
    #: True when it also acts at RECORDS while the verdict is open and the instance has gone on
    #: to a third host; it must then change only what names this one
    third_host: ClassVar[bool] = False
    #: when :meth:`commit` and :meth:`revert` are called
    commit_points: ClassVar[Sequence[Point]] = (Point.REST,)
    revert_points: ClassVar[Sequence[Point]] = (Point.REST,)

    def capture(self, subject: Any) -> dict[str, Any]:
        """What must be known later, before anything has changed.

        :param subject: a :class:`migsafe.transaction.subject.Subject`
        :returns: key -> JSON-serializable payload; no external call is made
        """
        return {}

    @abc.abstractmethod
    def commit(self, move: Move, point: Point) -> None:
        """Bring the state to the destination.

        :raises Held: for what has to stay, by key
        """

    @abc.abstractmethod
    def revert(self, move: Move, point: Point) -> None:
        """Bring the state back to the source.

        :raises Held: for what has to stay, by key
        """

    @abc.abstractmethod
    def inspect(self, move: Move) -> list[Residue]:
        """Read back, and say what does not agree with the verdict."""
