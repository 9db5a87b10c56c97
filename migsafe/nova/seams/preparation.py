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
"""Wrapper of the first step of a destination that has no intent of its own."""

from __future__ import annotations

from typing import Any

from migsafe.nova.host import attempt as host_attempt


def driver_pre_live_migration(wrapped: Any, driver: Any, args: Any, kwargs: Any) -> Any:
    """A wrapt wrapper: what is captured is durable before the instance directory is made.

    An intent of a volume has seen to it as a rule; a guest without one has none.

    :raises JournalError: it cannot be made durable; nothing was done
    """
    attempt = host_attempt.current()
    if attempt is not None:
        attempt.make_durable()
    return wrapped(*args, **kwargs)
