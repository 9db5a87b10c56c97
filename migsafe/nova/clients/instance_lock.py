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
"""Which of Nova's per-instance locks this call chain holds already.

Nova's lock is not reentrant, and some seams are called with it held.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator

_HELD: contextvars.ContextVar[str | None] = contextvars.ContextVar(
    'migsafe_instance_lock', default=None)


@contextlib.contextmanager
def held(instance_uuid: str) -> Iterator[None]:
    """Say that the caller holds Nova's lock of this instance."""
    token = _HELD.set(instance_uuid)
    try:
        yield
    finally:
        _HELD.reset(token)


def holds(instance_uuid: str) -> bool:
    """Whether the lock of this instance is held by this call chain."""
    return _HELD.get() == instance_uuid
