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
"""Tests that every inspector has to pass, for the test suite of its author."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from oslo_log import log as logging

from migsafe.cinder.facts import mappings
from migsafe.cinder.inspectors import Inspector, conformance
from migsafe.text import masked

LOG = logging.getLogger(__name__)


class Peer(Protocol):
    """See :class:`migsafe.cinder.facts.mappings.Named`."""

    host: str
    initiators: Sequence[str]


class InspectorTests:
    """What every inspector has to do, with an array to do it on: mix it into a test case.

    The class says how to change the array; ``one`` and ``other`` are two hosts, with ``host`` and
    ``initiators`` as their connectors name them.
    """

    inspector: Inspector
    volume: Any
    one: Peer
    other: Peer

    def map(self, peer: Any) -> None:
        """Map the volume to a host, and wait until the array tells of it."""
        raise NotImplementedError

    def unmap(self, peer: Any) -> None:
        """Unmap it, and wait for as long as ``lag`` says."""
        raise NotImplementedError

    def cut(self) -> None:
        """Have the array answer no more."""
        raise NotImplementedError

    def _is_to(self, peer: Any) -> bool | None:
        found = self.inspector.list_exports(self.volume)
        return None if found is None else mappings.any_is_to(self.inspector, found, peer)

    def test_conformance_check(self) -> None:
        """It is not refused at start."""
        conformance.check(self.inspector)

    def test_conformance_mapped(self) -> None:
        """What is there never counts as gone, and what is not there never as there."""
        assert self._is_to(self.one) is not True
        self.map(self.one)
        assert self._is_to(self.one) is not False, 'a mapping that is there is not seen'
        assert self._is_to(self.other) is not True, 'a host has the mapping of another one'
        self.map(self.other)
        for peer in (self.one, self.other):
            assert self._is_to(peer) is not False, 'the second of two mappings is not seen'

    def test_conformance_unmapped(self) -> None:
        """What has gone is not there any more, and takes nobody with it."""
        self.map(self.one)
        self.map(self.other)
        self.unmap(self.one)
        assert self._is_to(self.one) is not True, 'a mapping that has gone is seen'
        assert self._is_to(self.other) is not False, 'it has taken another one with it'
        self.unmap(self.other)
        assert self._is_to(self.other) is not True

    def test_conformance_walk(self) -> None:
        """The walk through all mappings finds that of the volume."""
        self.map(self.one)
        walk, found = self.inspector.list_all(), self.inspector.list_exports(self.volume)
        if walk is None or found is None:
            return
        every = list(walk)
        assert all(mapping in every for mapping in found), 'list_all has not all of list_exports'

    def test_conformance_no_answer(self) -> None:
        """An array that does not answer is an error, and never an empty list."""
        self.cut()
        for ask in (self.inspector.list_exports, self.inspector.writers):
            try:
                found = ask(self.volume)
            except Exception as error:
                LOG.info('As it should be: %s', masked(error))
            else:
                assert found is None, f'{ask.__name__} answers without the array: {found}'
