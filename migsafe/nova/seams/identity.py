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
"""Keeps the identity of a volume in its connection_info when Nova refreshes or sends it."""

from __future__ import annotations

from typing import Any

from migsafe.brick.guard import policy
from migsafe.nova.seams import effects


def preserve(wrapped: Any, device: Any, args: Any, kwargs: Any) -> Any:
    """Nova calls this with the new connection_info before it replaces the one that it has.

    It does so before an attach, a reboot and, on its destination, a live migration connect.
    An identity that came with the new one, from the array itself, stays.
    """
    result = wrapped(*args, **kwargs)
    new = effects.arguments(wrapped, args, kwargs)['connection_info']
    known = (device['connection_info'] or {}).get('data') or {}
    if known.get(policy.KEY) and isinstance(new.get('data'), dict):
        new['data'].setdefault(policy.KEY, known[policy.KEY])
    return result


def named(wrapper: Any) -> Any:
    """Let messages of the device guards name the volume, which os-brick is not told.

    :param wrapper: the wrapt wrapper of the same seam
    """
    def outer(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        info = effects.arguments(wrapped, args, kwargs)['connection_info']
        with policy.naming(effects.volume_id(info)):
            return wrapper(wrapped, instance, args, kwargs)
    return outer
