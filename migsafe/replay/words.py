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
"""Short words for residue and damage; the same in the terminal, the page and the README."""

from __future__ import annotations

import re
from collections.abc import Iterable

from migsafe.replay.damage import damage, joined
from migsafe.replay.outcome import Found, Next, Outcome, Verdict

DISKS = ('root', 'data')

#: What a row is called that shows migsafe without what mends the fault above it.
UNMENDED = 'migsafe, before it was mended'

#: The residue kinds of the design, for a legend.
KINDS = {
    'R1': "BDM connection_info names the wrong host's LUN",
    'R2': 'BDM attachment_id is wrong or gone',
    'R3': 'export or attachment for a host that does not run the guest',
    'R4': 'device on a host that does not run the guest',
    'R5': 'instance.host is not where the guest runs',
    'R6': 'instance stuck in migrating, or ERROR though the guest is well',
    'R7': 'Placement allocation of the wrong host',
    'R8': 'port binding of the wrong host',
    'R9': "device whose disk is not its volume's",
    'R10': 'volume open on two hosts for one guest',
    'R11': 'instance directory on a host that does not run the guest',
    'R12': 'migration record that never ended',
}

#: how a detail of residue reads -> how several of its kind read together. Numbers and hosts of
#: all of them are put in the place of the groups.
_TOGETHER = (
    (r'the BDM says LUN (\d+), on (\S+) the volume is LUN (\d+)',
     'BDM says LUN {0}, but on {1} that disk is LUN {2}'),
    (r'exported to (\S+) as LUN (\d+)', 'exported to {0} as LUN {1}'),
    (r'(dead device|device) LUN (\d+) on (\S+)', '{0} LUN {1} on {2}'),
    (r'the attachment of the BDM is for (\S+)', "BDM has the attachment of {0}"),
)

#: What the table calls the next step where it is no reboot.
_OTHER = {'hard_reboot': '', 'stop_start': 'stop and start: ', 'detach': 'detach: ',
          'delete': 'delete: '}


def kinds(found: Iterable[Found]) -> list[str]:
    """The residue kinds, in the order of their numbers."""
    return sorted({one.kind for one in found}, key=lambda kind: int(kind[1:]))


def where(found: Iterable[Found]) -> str:
    """Which LUNs and which hosts the residue is about, in a few characters."""
    listed = [one for one in found if one.kind in ('R1', 'R3', 'R4', 'R9')]
    luns = {m.group(1) for one in listed if (m := re.search(r'LUN (\d+)', one.detail))}
    # a BDM is wrong about its own host; the number that it names is the other one's
    hosts = {one.host for one in listed if one.host and one.kind != 'R1'}
    parts = [f'LUN {joined(luns)}'] if luns else []
    return ' of '.join([*parts, *([joined(hosts)] if hosts else [])])


def residue(found: Iterable[Found]) -> list[tuple[str, str]]:
    """(kind, words) for each kind that was found."""
    listed = list(found)
    return [(kind, '; '.join(_merged([one for one in listed if one.kind == kind])))
            for kind in kinds(listed)]


def _merged(found: list[Found]) -> list[str]:
    grouped: dict[str, list[tuple[str, ...]]] = {}
    disks: dict[str, set[int]] = {}
    for one in found:
        pattern, template = next(((p, t) for p, t in _TOGETHER if re.fullmatch(p, one.detail)),
                                 ('', one.detail.replace('{', '{{').replace('}', '}}')))
        match = re.fullmatch(pattern, one.detail) if pattern else None
        grouped.setdefault(template, []).append(match.groups() if match else ())
        if one.volume is not None:
            disks.setdefault(template, set()).add(one.volume)
    return [template.format(*map(joined, zip(*values, strict=True)))
            + _which(template, disks.get(template, set()))
            for template, values in grouped.items()]


def _which(template: str, volumes: set[int]) -> str:
    """Whose disk it is, where no LUN number says so."""
    if 'LUN' in template or not volumes:
        return ''
    return ' (both disks)' if len(volumes) > 1 else f' ({disk(min(volumes))} disk)'


def disk(volume: int) -> str:
    """What a volume of the guest is called."""
    return DISKS[volume] if volume < len(DISKS) else f'volume {volume}'


def next_step(step: Next | None) -> str:
    """What the owner's next step did; 'works' if it did what it should."""
    if step is None:
        return 'not tried: a host is down'
    found = damage(step.harms)
    if not step.done:
        found.append(f'fails: {step.status}')
    return f'{_OTHER[step.operation]}{"; ".join(found) or "works"}'


def pending(verdicts: Iterable[Verdict]) -> list[str]:
    """Why the transactions that were open had to wait."""
    return [f'{one.host}: {one.verdict or "no verdict yet"}, {one.reason}'
            for one in verdicts if one.state == 'open']


def problem(outcome: Outcome) -> str:
    """Why an outcome says nothing, or an empty text."""
    if outcome.error:
        return outcome.error
    return '' if outcome.fired else f'the fault did not happen: {", ".join(outcome.missing)}'
