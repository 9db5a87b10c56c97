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
"""What LVM's commands print, as data.

A guest writes the names in its own volume groups, and LVM allows no others than these: letters,
digits and "+_.-" (lvm(8), VALID NAMES). What is not understood is an error, never left out.
"""

from __future__ import annotations

import dataclasses
import json
import re
from typing import Any

from migsafe.lvm import errors

#: section/name -> value; a list is a tuple
Settings = dict[str, 'int | float | str | tuple[int | float | str, ...]']
Version = tuple[int, int, int]

_OPEN = re.compile(r'\s*([A-Za-z0-9_.+-]+)\s*\{\s*\Z')
_CLOSE = re.compile(r'\s*\}\s*\Z')
_SETTING = re.compile(r'\s*([A-Za-z0-9_.+/-]+)\s*=\s*(.*?)\s*\Z')
_NUMBER = re.compile(r'[+-]?\d{1,20}(\.\d{1,20})?\Z', re.ASCII)
_TOKEN = re.compile(r'\s*("(?:[^"\\]|\\.)*"|\'[^\']*\'|@[\w+.-]+|[+-]?[\d.]+|[][,])', re.ASCII)
_VERSION = re.compile(r'LVM version:\s*(\d{1,4})\.(\d{1,4})\.(\d{1,4})', re.ASCII)
_OPENS = re.compile(r'\s*(\d{1,10}:\d{1,10}):(\d{1,10})\s*\Z', re.ASCII)
_UUID = re.compile(r'[A-Za-z0-9]{6}(?:-[A-Za-z0-9]{4}){5}-[A-Za-z0-9]{6}\Z', re.ASCII)
_NAME = re.compile(r'[A-Za-z0-9_+.][A-Za-z0-9_+.-]{0,127}\Z', re.ASCII)
_DEEPEST = 8


@dataclasses.dataclass(frozen=True)
class Pv:
    """One line of ``pvs``.

    :param path: of the device, by the name that LVM likes best
    :param number: major:minor, '' if its device is not there
    :param vg: uuid of its volume group, '' if it has none
    :param duplicate: LVM has seen its uuid on another device too, and uses that one
    """

    path: str
    uuid: str
    number: str
    vg: str
    vg_name: str
    missing: bool
    duplicate: bool


@dataclasses.dataclass(frozen=True)
class Lv:
    """One line of ``lvs``."""

    uuid: str
    name: str
    vg: str
    vg_name: str


def version(text: str) -> Version:
    """LVM's own version."""
    match = _VERSION.search(text)
    if not match:
        raise errors.BadOutput(command='lvm version', reason='there is no version in it')
    return int(match[1]), int(match[2]), int(match[3])


def settings(text: str, command: str = 'lvmconfig') -> Settings:
    """The settings that ``lvmconfig`` prints, one a line.

    :raises errors.BadOutput: at the first line that is none
    """
    found: Settings = {}
    path: list[str] = []
    for number, line in enumerate(text.split('\n'), 1):
        if not line.strip() or line.lstrip().startswith('#'):
            continue
        if match := _OPEN.match(line):
            path.append(match[1])
        elif _CLOSE.match(line) and path:
            path.pop()
        elif match := _SETTING.match(line):
            found['/'.join((*path, match[1]))] = _value(match[2], number, command)
        else:
            raise _bad(number, command)
        if len(path) > _DEEPEST:
            raise _bad(number, command)
    if path:
        raise errors.BadOutput(command=command, reason='it ends inside a section')
    return found


def _value(text: str, number: int, command: str) -> Any:
    tokens, place = [], 0
    while place < len(text):
        match = _TOKEN.match(text, place)
        if not match:
            raise _bad(number, command)
        tokens.append(match[1])
        place = match.end()
    if tokens[:1] == ['['] and tokens[-1:] == [']'] and len(tokens) > 1:
        inner = tokens[1:-1]
        if set(inner[1::2]) - {','} or len(inner) % 2 == 0 and inner:
            raise _bad(number, command)
        return tuple(_scalar(word, number, command) for word in inner[::2])
    if len(tokens) != 1:
        raise _bad(number, command)
    return _scalar(tokens[0], number, command)


def _scalar(token: str, number: int, command: str) -> int | float | str:
    if token[0] == '"':
        return re.sub(r'\\(.)', r'\1', token[1:-1])
    if token[0] in "'@":
        return token.strip("'")
    if not _NUMBER.match(token):
        raise _bad(number, command)
    return float(token) if '.' in token else int(token)


def _bad(number: int, command: str) -> errors.BadOutput:
    return errors.BadOutput(command=command, reason=f'line {number} is no setting')


def pvs(text: str) -> list[Pv]:
    """The PVs of ``pvs -a --reportformat json``; devices that are none are left out.

    :raises errors.BadOutput: if it is no such report
    """
    rows = [_texts('pvs', row) for row in _rows(text, 'pv')]
    return [_pv(row) for row in rows if row.get('pv_uuid')]


def _pv(row: dict[str, str]) -> Pv:
    uuid, vg = _uuid('pvs', row, 'pv_uuid'), row.get('vg_uuid', '') and _uuid(
        'pvs', row, 'vg_uuid')
    numbers = [row.get(name, '') for name in ('pv_major', 'pv_minor')]
    there = all(re.fullmatch(r'\d{1,10}', number, re.ASCII) for number in numbers)
    missing = bool(row.get('pv_missing')) or not there
    return Pv(path=row.get('pv_name', ''), uuid=uuid, number='' if missing else ':'.join(numbers),
              vg=vg, vg_name=_name('pvs', row, 'vg_name') if vg else '', missing=missing,
              duplicate=bool(row.get('pv_duplicate')))


def lvs(text: str) -> list[Lv]:
    """The LVs of ``lvs --reportformat json``.

    :raises errors.BadOutput: if it is no such report
    """
    rows = [_texts('lvs', row) for row in _rows(text, 'lv')]
    return [Lv(_uuid('lvs', row, 'lv_uuid'), row.get('lv_name', ''), _uuid('lvs', row, 'vg_uuid'),
               _name('lvs', row, 'vg_name')) for row in rows]


def opens(text: str) -> dict[str, int]:
    """The lines of ``dmsetup info -c -o major,minor,open``.

    :returns: major:minor -> how often it is open
    :raises errors.BadOutput: at the first line that is none
    """
    found = {}
    for line in text.splitlines():
        match = _OPENS.match(line)
        if match:
            found[match[1]] = int(match[2])
        elif line.strip() not in ('', 'No devices found'):
            raise errors.BadOutput(command='dmsetup info', reason='a line is no device and number')
    return found


def _rows(text: str, kind: str) -> list[Any]:
    """lvmreport(7): {"report": [{"pv": [{field: text}, ...]}, ...]}."""
    try:
        data = json.loads(text)
        found = [row for report in data['report'] for row in report.get(kind, ())]
    except (ValueError, RecursionError, TypeError, KeyError, AttributeError) as error:
        raise errors.BadOutput(command=f'{kind}s', reason='it is no report in JSON') from error
    return found


def _texts(command: str, row: Any) -> dict[str, str]:
    if not isinstance(row, dict) or not all(isinstance(value, str) for value in row.values()):
        raise errors.BadOutput(command=command, reason='a line of it is not made of texts')
    return row


def _uuid(command: str, row: dict[str, str], field: str) -> str:
    if not _UUID.match(row.get(field, '')):
        raise errors.BadOutput(command=command, reason=f'{field} is no uuid of LVM')
    return row[field]


def _name(command: str, row: dict[str, str], field: str) -> str:
    if not _NAME.match(row.get(field, '')):
        raise errors.BadOutput(command=command, reason=f'{field} is no name that LVM allows')
    return row[field]
