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
"""The methods of a driver that make and remove exports, and where their arguments are."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Any


@dataclasses.dataclass(frozen=True)
class Method:
    """One of them.

    :param kind: volume or snapshot
    :param action: what it does, the name of the step in migsafe.cinder.exports.steps
    :param thing: place of the volume or snapshot
    :param connector: place of the connector, None if it takes none
    """

    kind: str
    action: str
    thing: int
    connector: int | None = None


METHODS: dict[str, Method] = {
    'create_export': Method('volume', 'create', 1, 2),
    'initialize_connection': Method('volume', 'initialize', 0, 1),
    'terminate_connection': Method('volume', 'terminate', 0, 1),
    'remove_export': Method('volume', 'remove', 1),
    'create_export_snapshot': Method('snapshot', 'create', 1, 2),
    'initialize_connection_snapshot': Method('snapshot', 'initialize', 0, 1),
    'terminate_connection_snapshot': Method('snapshot', 'terminate', 0, 1),
    'remove_export_snapshot': Method('snapshot', 'remove', 1),
}


@functools.lru_cache(maxsize=256)
def _names(function: Callable[..., Any]) -> tuple[str, ...]:
    return tuple(inspect.signature(function).parameters)[1:]


def replaced(function: Callable[..., Any], place: int | None, args: Any, kwargs: Any,
             *instead: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments with another one in a place, if one is given."""
    if not instead or place is None:
        return tuple(args), dict(kwargs)
    if place < len(args):
        return (*args[:place], instead[0], *args[place + 1:]), dict(kwargs)
    return tuple(args), {**kwargs, _names(function)[place]: instead[0]}


def argument(function: Callable[..., Any], place: int | None, args: Any, kwargs: Any) -> Any:
    """An argument by its place, also if the caller has named it; None if it is not given.

    :param function: the method of the driver's class; drivers name parameters as they like
    """
    if place is None:
        return None
    if place < len(args):
        return args[place]
    names = _names(function)
    return kwargs.get(names[place]) if place < len(names) else None
