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
"""What multipathd does with writes when the last path of a disk is gone.

It takes no_path_retry of the disk's entry in "multipaths", else of "overrides", else of the last
entry in "devices" that matches the disk and sets it, else of "defaults" (select_no_path_retry() in
libmultipath/propsel.c). Which disks an array will give to a host is not known before, so that each
entry counts that may be theirs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from migsafe.preflight.surroundings import Queueing

#: Words for a number of checks (multipath.conf(5)).
WORDS = {'queue': math.inf, 'fail': 0.0}
#: multipath.conf(5): seconds between two checks of a path, as it comes.
INTERVAL = 5
#: More entries than this are not named.
NAMED = 4


def queueing(config: str) -> Queueing:
    """For how long writes wait without a path.

    :param config: what ``multipathd show config local`` prints: the file and the built-in table,
        of which only the entries for the disks that this host has
    :raises ValueError: it is not what multipathd prints
    """
    sections = _sections(config)
    defaults = _merged(found for name, found in sections if name == 'defaults')
    interval = int(defaults.get('polling_interval', INTERVAL))
    checks = {f'the entry for {found.get("wwid", "?")}': retries for name, found in sections
              if name == 'multipaths/multipath' and (retries := _retries(found)) is not None}
    retries = _retries(_merged(found for name, found in sections if name == 'overrides'))
    devices = {} if retries is not None else _devices(sections, defaults)
    if retries is not None:
        checks['overrides'] = retries
    elif not devices:
        return Queueing(None, 0.0, 'multipathd has no disk here, so that its entry for those of '
                        'the guest is not shown')
    checks |= devices
    longest, shortest = max(checks.values()), min(checks.values())
    return Queueing(_seconds(longest, interval), _seconds(shortest, interval), '' if
                    longest == shortest else _told(checks, interval))


def _sections(config: str) -> list[tuple[str, dict[str, str]]]:
    """Each section with its settings, such as ``devices/device``, as they come."""
    found: list[tuple[str, dict[str, str]]] = []
    inside: list[tuple[str, dict[str, str]]] = []
    for words in (line.split(None, 1) for line in config.splitlines()):
        if words == ['}'] and inside:
            inside.pop()
        elif len(words) == 2 and words[1].strip() == '{':
            outer = f'{inside[-1][0]}/' if inside else ''
            inside.append((outer + words[0], {}))
            found.append(inside[-1])
        elif len(words) == 2 and inside:
            inside[-1][1][words[0]] = words[1].strip().strip('"')
    return found


def _merged(sections: Iterable[Mapping[str, str]]) -> dict[str, str]:
    return {name: value for section in sections for name, value in section.items()}


def _devices(sections: Iterable[tuple[str, Mapping[str, str]]],
             defaults: Mapping[str, str]) -> dict[str, float]:
    """Checks by what an entry is for; a later entry for the same adds to an earlier one."""
    found: dict[str, dict[str, str]] = {}
    for name, section in sections:
        if name == 'devices/device':
            key = ' '.join(filter(None, map(section.get, ('vendor', 'product', 'revision'))))
            found.setdefault(f'device {key}', {}).update(section)
    return {name: _effective(one, defaults) for name, one in found.items()}


def _effective(device: Mapping[str, str], defaults: Mapping[str, str]) -> float:
    """Checks for which a device waits; it fails at once where nothing is said."""
    retries = _retries(device)
    if retries is None:
        # the features of a device stand in place of those of "defaults"
        retries = _retries({**defaults, 'features': device.get(
            'features', defaults.get('features', ''))})
    return retries or 0.0


def _retries(section: Mapping[str, str]) -> float | None:
    """Checks for which a section has writes wait; None if it does not say.

    :raises ValueError: it is no number
    """
    value = section.get('no_path_retry')
    if value is not None:
        return WORDS[value] if value in WORDS else float(int(value))
    # NOTE: multipathd takes this for "queue" where the same section has no no_path_retry.
    return math.inf if 'queue_if_no_path' in section.get('features', '') else None


def _seconds(checks: float, interval: int) -> float | None:
    return None if math.isinf(checks) else checks * interval


def _told(checks: Mapping[str, float], interval: int) -> str:
    """The entries that wait the longest and the shortest, and some between."""
    order = sorted(checks, key=lambda name: -checks[name])
    kept = order if len(order) <= NAMED else [*order[:NAMED - 1], order[-1]]
    return ', '.join(f'{name}: ' + (
        'for ever' if math.isinf(checks[name]) else f'{checks[name] * interval:.0f} seconds')
        for name in kept) + (', and others' if len(kept) < len(order) else '')
