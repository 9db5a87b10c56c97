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
"""A case as one word, so that a test's name is all that is needed to run it again."""

from __future__ import annotations

import urllib.parse
import zlib

from migsafe.replay.lab import case as lab_case
from migsafe.replay.lab import faults as lab_faults

#: What went wrong first, by name: what follows happens on the path that it opens.
BASES: dict[str, tuple[lab_faults.Fault, ...]] = {
    'healthy': (),
    'transfer-fails': (lab_faults.Fault('libvirt', 'migrateToURI3', 'job-fail'),),
    'prepare-fails': (lab_faults.Fault('brick', 'connect_volume', 'brick-missing', nth=2),),
}
_RECOVER = 'then-'


def word(fault: lab_faults.Fault) -> str:
    """One fault as ``action:when:host:kind:name:nth[:times]``."""
    name = urllib.parse.quote_plus(fault.name, safe='/*')
    parts = [fault.action, fault.when, fault.host or '', fault.kind, name, str(fault.nth)]
    if fault.times != 1:
        parts.append(str(fault.times))
    return (_RECOVER if fault.phase == 'recover' else '') + ':'.join(parts)


def fault(text: str) -> lab_faults.Fault:
    """The fault behind a word.

    :raises ValueError: if it is none
    """
    phase = 'recover' if text.startswith(_RECOVER) else 'migrate'
    action, when, host, kind, name, nth, *times = text.removeprefix(_RECOVER).split(':')
    return lab_faults.Fault(
        kind, urllib.parse.unquote_plus(name), action, host or None, nth=int(nth),
        times=int(times[0]) if times else 1, when=when, phase=phase)


def name(base: str, *faults: lab_faults.Fault) -> str:
    """The name of a case."""
    return ','.join([base, *map(word, faults)])


def next_step(text: str) -> str:
    """What is done after a case: it rotates with the name."""
    return lab_case.NEXT_STEPS[zlib.crc32(text.encode()) % len(lab_case.NEXT_STEPS)]


def case(text: str, step: bool | str = True) -> lab_case.Case:
    """The case behind a name.

    :param step: what is done next, or whether anything is
    :raises ValueError: if it is none
    """
    base, *rest = text.split(',')
    if base not in BASES:
        raise ValueError(f'{base} is not one of {", ".join(BASES)}')
    following = next_step(text) if step is True else step or None
    return lab_case.Case(text, (*BASES[base], *map(fault, rest)), next_step=following)
