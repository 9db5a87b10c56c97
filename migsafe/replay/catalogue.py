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
"""The faults that are replayed, each with a name, a sentence and what it does to which call.

Plain data on purpose: who only wants the list need not start Nova.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from typing import Any

from migsafe.replay import crashes, failures, lateness
from migsafe.replay.entry import Entry

#: Every fault, in the order in which a migration meets it; the incident comes first.
ENTRIES: tuple[Entry, ...] = (*failures.ENTRIES, *crashes.ENTRIES, *lateness.ENTRIES)

#: What is replayed first on each side: it warms Nova's caches up, and it must end clean.
CONTROL = Entry('no-fault', 'Control', 'Nothing goes wrong.')

_BY_NAME: Mapping[str, Entry] = {entry.name: entry for entry in (*ENTRIES, CONTROL)}


class UnknownFault(Exception):
    """A fault was asked for that is not in the catalogue."""

    def __init__(self, name: str) -> None:
        close = difflib.get_close_matches(name, _BY_NAME, n=3, cutoff=0.3)
        hint = f'; close to it are {", ".join(close)}' if close else ''
        super().__init__(f'{name!r} is not in the catalogue{hint}; --list names all faults')


def find(name: str) -> Entry:
    """The fault of that name.

    :raises UnknownFault: if there is none; names the closest.
    """
    if name not in _BY_NAME:
        raise UnknownFault(name)
    return _BY_NAME[name]


def arguments(entry: Entry, armed: bool, hosts: Mapping[str, str]) -> dict[str, Any]:
    """What migsafe.replay.lab.case.Case takes, with host names instead of roles.

    :param hosts: 'source' and 'destination' -> host name.
    """
    chosen = entry.armed_faults if armed and entry.armed_faults else entry.faults
    named = {key: tuple(hosts.get(part, part) for part in value)
             for key, value in dataclasses.asdict(entry).items()
             if key in ('reboot', 'stays_down')}
    return {
        'name': entry.name, 'next_step': entry.next_step, **named,
        'hold': tuple((hosts[host], volume, holder) for host, volume, holder in entry.hold),
        'faults': tuple({**fault, 'host': hosts[fault['host']]} for fault in chosen)}
