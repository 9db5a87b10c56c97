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
"""Which ComputeManagers are armed.

Several managers can live in one process (Nova's functional tests), each with
a journal of its own, so this is kept on the manager, not in a global.
"""

from __future__ import annotations

from typing import Any

_ATTRIBUTE = '_migsafe'


def of(manager: Any) -> Any:
    """The Participant of a manager; None when it is not armed."""
    # Through __dict__: a mock manager answers every attribute.
    return getattr(manager, '__dict__', {}).get(_ATTRIBUTE)


def put(manager: Any, participant: Any) -> None:
    """Attach a Participant (or None) to a manager."""
    manager.__dict__[_ATTRIBUTE] = participant
