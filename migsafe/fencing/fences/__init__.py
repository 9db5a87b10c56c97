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
"""Ways to fence a host; what has no entry point ``migsafe.fences`` is none."""

from __future__ import annotations

from typing import Any

from migsafe.fencing import plugins
from migsafe.fencing.fences.base import Fence

KIND = plugins.Kind('fences', 'fence', Fence)  # type: ignore[type-abstract]


def load(conf: Any) -> list[Fence]:
    """Make the fences that ``[migsafe] fences`` names, in that order.

    :raises ConfigError: it names none, or one that cannot be used
    """
    return KIND.load(conf.fences, conf)
