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
"""The interface of the operations that need root; tests have an implementation of their own."""

from __future__ import annotations

from typing import Any, Protocol


class Root(Protocol):
    """What needs root: the functions of migsafe.brick.root.privileged."""

    def look(self, name: str, exclusive: bool) -> dict[str, Any]:
        """See privileged.look."""

    def ask(self, names: list[str], seconds: float) -> dict[str, dict[str, Any]]:
        """See privileged.ask."""

    def opened_by(self, numbers: list[str]) -> list[list[str]]:
        """See privileged.opened_by; an OSError if it cannot tell."""

    def remove_scsi(self, name: str, expected: list[str], number: int) -> dict[str, Any]:
        """See privileged.remove_scsi."""

    def claim(self, names: list[str]) -> dict[str, Any]:
        """See privileged.claim."""

    def let_go(self, number: int) -> None:
        """See privileged.let_go."""
