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
"""What operators read: the warnings and errors that the machines' services log, word by word."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping

from migsafe.tests.cloud import machines, places

FILES = {**dict.fromkeys(places.COMPUTES, '/var/log/nova-compute.log'),
         **dict.fromkeys(places.STORAGE, '/var/log/cinder-volume.log')}
#: What is shown of one line, and how many lines of a machine.
LENGTH, LINES = 1600, 60
_LINE = re.compile(r'^(?P<time>\S+ \S+) \d+ (?P<level>ERROR|WARNING|CRITICAL) (?P<where>\S+) '
                   r'(?:\[[^]]*\] )?(?P<text>.*)$')
#: What a service says of an instance, and no line of a traceback.
_SAID = re.compile(r'\[instance: [^]]*\] (?!Traceback)\S|Instance ')


def marks() -> dict[str, int]:
    """How long each log is now."""
    return {name: int(machines.run(name, f'stat -c %s {path}', check=False) or 0)
            for name, path in FILES.items() if machines.reachable(name)}


def since(before: Mapping[str, int], *uuids: str) -> list[tuple[str, str]]:
    """(machine, line) of what was said since then of a guest, or of its volumes.

    :param before: as marks() gave it
    """
    wanted = '|'.join(map(re.escape, uuids))
    found: list[tuple[str, str]] = []
    for name, start in before.items():
        if not machines.reachable(name):
            continue
        text = machines.run(name, f'tail -c +{start + 1} {FILES[name]} | grep -a -E '
                                  f'{shlex.quote(wanted)} | cut -c -{LENGTH * 2} | '
                                  'grep -a -E " (ERROR|WARNING|CRITICAL) "', check=False)
        told = [f'{match["time"]} {match["level"]} {match["where"]} {match["text"]}'[:LENGTH]
                for line in text.splitlines() if (match := _LINE.match(line))
                and (match['where'].startswith('migsafe') or _SAID.match(match['text']))]
        found += [(name, line) for line in told[:LINES]]
    return found
