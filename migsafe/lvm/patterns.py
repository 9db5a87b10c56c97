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
"""The regular expressions of LVM's filters, by what they match and not by how they are spelled.

LVM has an engine of its own (libdm/regex/parse_rx.c of LVM2): ``* + ? | ( ) [ ] ^ $ .`` mean what
they do elsewhere, a backslash makes the next character a plain one, braces are plain. A pattern
is searched for in each name of a device, which begins with /dev/.
"""

from __future__ import annotations

import itertools
import re
import string

_SPECIAL = frozenset('*+?|()^$.')
_CONTROL = {'n': '\n', 'r': '\r', 't': '\t', 'f': '\f'}
#: What may come after /dev/: names of disks have two characters at least.
_NAMES = string.ascii_letters + string.digits + '_-./:+='
#: Dollar signs that change nothing, since anything may come before them.
_NEEDLESS_END = re.compile(r'(?<!\\)(\.[*+])\$\Z')
_PLAIN = re.compile(r'\\(.)|\[([^]^\\])\]|([A-Za-z0-9_/:=,@.~#%-]|\+(?!\Z))')


def matches_everything(body: str) -> bool:
    """Whether a pattern is found in every name that a device can have.

    A pattern without an end that is found in what all names begin with is found in each of them.
    What cannot be told is a no.
    """
    body = _NEEDLESS_END.sub(r'\1', body)
    try:
        text, ends = _translated(body)
        pattern = re.compile(text, re.DOTALL)
    except (ValueError, re.error, RecursionError):
        return False
    return not ends and all(pattern.search(f'/dev/{one}{two}')
                            for one, two in itertools.product(_NAMES, repeat=2))


def whole_name(body: str) -> str | None:
    """The one name that a pattern is found in; None if there are more, or it is not to be told.

    A dot stands for itself here: of the characters that it matches, udev has replaced the others.
    """
    if not body.startswith('^') or not body.endswith('$') or body.endswith('\\$'):
        return None
    found, place, end = '', 1, len(body) - 1
    while place < end:
        match = _PLAIN.match(body, place)
        if not match or match.end() > end or body[match.end()] in '*+?':
            return None
        found += next(text for text in match.groups() if text)
        place = match.end()
    return found if found.startswith('/dev/') and '|' not in found else None


def _translated(body: str) -> tuple[str, bool]:
    """(the same for Python, whether it says where a name has to end).

    :raises ValueError: if LVM would not take it
    """
    found, ends, place = [], False, 0
    while place < len(body):
        one = body[place]
        if one == '\\':
            if place + 1 == len(body):
                raise ValueError(body)
            place += 1
            found.append(re.escape(_CONTROL.get(body[place], body[place])))
        elif one == '[':
            text, place = _set(body, place + 1)
            found.append(text)
        else:
            ends |= one == '$'
            found.append(one if one in _SPECIAL else re.escape(one))
        place += 1
    return ''.join(found), ends


def _set(body: str, place: int) -> tuple[str, int]:
    """A set of characters, and where its closing bracket is.

    :raises ValueError: if there is none
    """
    found = '['
    if body[place:place + 1] == '^':
        found, place = '[^', place + 1
    begin = place
    while place < len(body) and (body[place] != ']' or place == begin):
        if body[place] == '\\':
            place += 1
        if place >= len(body):
            break
        one = body[place]
        inside = one == '-' and begin < place and body[place + 1:place + 2] not in ('', ']')
        found += one if inside else re.escape(one)
        place += 1
    if place >= len(body):
        raise ValueError(body)
    return f'{found}]', place
