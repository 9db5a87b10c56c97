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
"""The inspector for arrays without one of their own: it has only the ledger."""

from __future__ import annotations

from typing import Any

from migsafe.cinder.inspectors import base


class LedgerInspector(base.Inspector):
    """Cannot tell anything; what the ledger says and what the driver answers must do."""

    can_tell = False

    def list_exports(self, volume: Any) -> None:
        """Not known."""

    def list_all(self) -> None:
        """Not known."""

    def writers(self, volume: Any) -> None:
        """Not known."""
