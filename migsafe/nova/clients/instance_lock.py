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
"""Which of Nova's per-instance locks this call chain holds already, and which are free.

Nova's lock is not reentrant, and some seams are called with it held.
"""

from __future__ import annotations

import contextlib
import contextvars
import time
from collections.abc import Iterator

from oslo_concurrency import lockutils

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


def free(instance_uuid: str) -> bool:
    """Whether nothing in this process holds the lock of this instance just now."""
    try:
        with lockutils.lock(instance_uuid, lock_file_prefix='nova-', do_log=False,
                            blocking=False):
            return True
    except lockutils.AcquireLockFailedException:
        return False


def quiet(instance_uuid: str, seconds: float) -> bool:
    """Whether the lock of this instance is free within so many seconds.

    Nova holds it while it attaches, detaches or swaps a volume, and for moments otherwise.
    """
    end = time.monotonic() + seconds
    while not free(instance_uuid):
        if time.monotonic() >= end:
            return False
        time.sleep(0.2)
    return True
