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
"""How long a replay takes on this machine, and why."""

from __future__ import annotations

import os

from migsafe.replay.child import SIDES


def notes(faults: int, processors: int, load: float) -> list[str]:
    """Return what a person should know before waiting.

    :param faults: how many are replayed
    :param processors: how many this process may use
    :param load: mean number of runnable processes of the last minute, before the replay
    """
    found = [f'{faults} fault{"s" if faults > 1 else ""} and one migration without any, on plain '
             'Nova and with migsafe at the same time. For each a VM is booted, migrated and '
             'rebooted on real Nova: with two free processors, some seconds each.']
    if processors < len(SIDES):
        found.append(f'It will be slow: the two sides have {processors} processor to share.')
    elif load > processors - 1:
        found.append(f'It will be slow: this machine is busy, with a load of {load:.1f} on '
                     f'{processors} processors.')
    if faults > 1 and len(found) > 1:
        found.append('--fault NAME replays a single one; --list names them.')
    return found


def here(faults: int) -> list[str]:
    """The notes for this machine as it is now."""
    return notes(faults, len(os.sched_getaffinity(0)), os.getloadavg()[0])
