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
"""The volumes whose disconnect this process has refused, with the reason.

Nova and Cinder take a refusal for any other error: some of their clean-ups log it and go on to
take the export away, from under the device that was just kept. Whoever takes exports away asks
here first. A refusal is forgotten once the volume is disconnected.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from migsafe.brick import refusals

_LOCK = threading.Lock()
#: volume id -> host -> the refusal, as an operator is told it
_REFUSED: dict[str, dict[str, str]] = {}


@contextlib.contextmanager
def watching(host: str, volume: str) -> Iterator[None]:
    """Remember how a disconnect of a volume ends.

    :param host: whose device it is; in tests one process is several hosts
    :raises refusals.Refused: the one that was raised inside
    """
    try:
        yield
    except refusals.Refused as refused:
        remember(host, volume, str(refused))
        raise
    forget(host, volume)


def remember(host: str, volume: str, why: str) -> None:
    """Keep the export of a volume to a host from now on."""
    with _LOCK:
        _REFUSED.setdefault(volume, {})[host] = why


def forget(host: str, volume: str) -> None:
    """The device is gone."""
    with _LOCK:
        hosts = _REFUSED.get(volume, {})
        hosts.pop(host, None)
        if not hosts:
            _REFUSED.pop(volume, None)


def anything() -> bool:
    """Whether there is any; a look that costs nothing."""
    return bool(_REFUSED)


def hosts(volume: str) -> dict[str, str]:
    """The hosts that keep a device of a volume, with the reasons."""
    with _LOCK:
        return dict(_REFUSED.get(volume, {}))


def clear() -> None:
    """Forget everything."""
    with _LOCK:
        _REFUSED.clear()
