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
"""The identity of a disk: its designators, and how two sets of them are compared.

An identity is a set of designators, written as "TYPE.VALUE" in the way the kernel writes them
into a device's ``wwid``: "naa.600140...", "eui.00a0...", "t10.LIO-ORG ...", "uuid.1234...". Two
devices are compared by the designators of one type, never as strings of different ones.

Rules: SPC-5 7.7.6 (Device Identification VPD page 83h), 7.7.19 (Unit Serial Number 80h);
NVM Express Base Specification 2.0, Identify CNS 03h (Namespace Identification Descriptor list).
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable

from migsafe.brick import errors

Identity = frozenset[str]

#: Those that an identity is written with; "serial" is unique only per vendor and product.
TYPES = ('uuid', 'naa', 'eui', 'name', 't10', 'serial')
#: Most telling first. A NAA or an EUI is another thing with 16 bytes (NAA 6, NGUID) than with 8,
#: and a disk may have both. A locally assigned NAA, "naa.3...", is unique only where somebody sees
#: to it, so it is no "naa" here but "local", where all NAAs are compared. tgt makes it of the
#: number of a target and the LUN, which two storage nodes have alike, and adds an NAA 6
#: (update_vpd_83() in usr/spc.c). The kernel (designator_prio() in drivers/scsi/scsi_lib.c) and
#: multipath-tools (parse_vpd_pg83() in libmultipath/discovery.c) take it last of a page 83h too.
ORDER = ('uuid', 'naa16', 'naa8', 'eui16', 'eui12', 'eui8', 'name', 't10', 'local', 'serial')
_LOCAL = 'naa.3'
#: Bytes of a value. No designator is longer, and a longer serial number says nothing: what is cut
#: off could be what tells it from another.
LONGEST = 255
#: Characters of a designator as it is written: what is not ASCII takes four for one byte.
WRITTEN = len('serial.') + 4 * LONGEST
#: Designators of one disk. No array has so many; they are a fuzzer's or an attacker's.
MOST = 64

_SCSI_TYPES = {1: 't10', 2: 'eui', 3: 'naa', 8: 'name', 0xA: 'uuid'}
_LENGTHS = {'eui': (8, 12, 16), 'naa': (8, 16), 'uuid': (18,)}
_NVME_TYPES = {1: ('eui', 8), 2: ('eui', 16), 3: ('uuid', 16)}
#: multipath-tools and udev put the number of the type before the value (scsi_id)
_WWID = re.compile(r'([0-9a-f])([0-9a-f]+)\Z', re.IGNORECASE)
_WWID_TYPES = {'3': 'naa', '2': 'eui', '8': 'name', '1': 't10'}
_WRITTEN = re.compile(r'(' + '|'.join(TYPES) + r')\.(.+)\Z', re.DOTALL)


def vpd83(page: bytes) -> Identity:
    """The designators of the logical unit in an answer to INQUIRY, page 83h.

    :raises errors.BadPage: if it is no such page, does not hold what it says, or holds more than
        can be noted
    """
    body = _page(page, 0x83)
    found: set[str] = set()
    place = 0
    while place < len(body):
        if place and (len(body) - place < 4 or not any(body[place:])):
            # filled up behind the last: what has no header or is all zeros is no designator
            break
        if place + 4 > len(body) or place + 4 + body[place + 3] > len(body):
            raise errors.BadPage(reason=f'page 83h ends inside its designator at {place + 4}')
        value = body[place + 4:place + 4 + body[place + 3]]
        association, kind = (body[place + 1] >> 4) & 3, body[place + 1] & 0xF
        if association == 0 and kind in _SCSI_TYPES:
            text = _scsi(_SCSI_TYPES[kind], value)
            found |= {text} if text else set()
        place += 4 + body[place + 3]
    return _few(found)


def vpd80(page: bytes) -> Identity:
    """The unit serial number.

    :raises errors.BadPage: see vpd83()
    """
    text = _text(_page(page, 0x80))
    return frozenset((f'serial.{text}',)) if text else frozenset()


def nvme_descriptors(data: bytes) -> Identity:
    """A Namespace Identification Descriptor list.

    :raises errors.BadPage: if a descriptor does not fit, or there are more than can be noted
    """
    found: set[str] = set()
    place = 0
    while place + 4 <= len(data) and data[place]:
        kind, length = data[place], data[place + 1]
        if not length or place + 4 + length > len(data):
            raise errors.BadPage(reason=f'the descriptor at {place} has {length} bytes')
        if kind in _NVME_TYPES and length == _NVME_TYPES[kind][1]:
            value = data[place + 4:place + 4 + length]
            if any(value):
                found.add(f'{_NVME_TYPES[kind][0]}.{value.hex()}')
        place += 4 + length
    return _few(found)


def written(text: str) -> Identity:
    """What the kernel's ``wwid`` attribute, or somebody's note of an identity, says."""
    match = _WRITTEN.match(text.strip())
    if not match or len(text) > WRITTEN:
        return frozenset()
    kind, value = match[1], match[2]
    if kind in ('naa', 'eui', 'uuid'):
        value = value.lower().replace('-', '')
        if not re.fullmatch('[0-9a-f]{1,32}', value):
            return frozenset()
    return frozenset((f'{kind}.{" ".join(value.split())}',))


def multipath_wwid(wwid: str) -> Identity:
    """What a multipath map's uuid says after "mpath-"; empty if it is not to be understood."""
    match = _WWID.match(wwid)
    kind = _WWID_TYPES.get(match[1]) if match else None
    if match and kind in ('naa', 'eui') and len(match[2]) in (16, 24, 32):
        return frozenset((f'{kind}.{match[2].lower()}',))
    return frozenset()


def read(designators: object) -> Identity:
    """An identity from a connection_info or a journal, where anything may stand.

    :raises errors.BadPage: if it is no list of designators
    """
    if not isinstance(designators, (list, tuple, set, frozenset)) or len(designators) > MOST:
        raise errors.BadPage(reason=f'{type(designators).__name__} is no list of designators')
    found: set[str] = set()
    for text in designators:
        if not isinstance(text, str) or not written(text):
            raise errors.BadPage(reason='a designator is not of the form TYPE.VALUE, with one '
                                        f'of the types {", ".join(TYPES)}')
        found |= written(text)
    return frozenset(found)


def agree(one: Identity, other: Identity) -> bool | None:
    """Whether two identities are of one disk.

    :returns: by the most telling type that both have; None if they have no type in common. One
        may have fewer of a type than the other, as the kernel notes one alone. But if each has
        one that the other has not, they are two disks, whatever else they share: the id of a
        shelf or a controller, for instance
    """
    local = any(text.startswith(_LOCAL) for text in (*one, *other))
    for kind in ORDER:
        ours, theirs = _of(one, kind), _of(other, kind)
        if ours and theirs and (local or kind != 'local'):
            return ours <= theirs or theirs <= ours
    return None


def words(identity: Identity) -> str:
    """For a message: the most telling designator."""
    for kind in ORDER:
        found = sorted(_of(identity, kind))
        if found:
            return ascii(found[0])[1:-1]
    return 'unknown'


def _of(identity: Iterable[str], kind: str) -> set[str]:
    if kind == 'local':
        local = {text for text in identity if text.startswith(_LOCAL)}
        return local | {text for text in identity if text.startswith('naa.')}
    return {text for text in identity if _kind(text) == kind}


def _kind(text: str) -> str:
    """Of ORDER, one that a designator is compared as."""
    kind, _, value = text.partition('.')
    if text.startswith(_LOCAL):
        return 'local'
    if kind in ('naa', 'eui'):
        wide = {32: '16', 24: '12'}.get(len(value), '8')
        return kind + (wide if kind == 'eui' or wide == '16' else '8')
    return kind


def _few(found: set[str]) -> Identity:
    """What read() takes, also with a serial number added; else nothing could be done to the disk
    once it is noted.
    """
    if len(found) >= MOST:
        raise errors.BadPage(reason=f'it has {len(found)} designators of one disk')
    return frozenset(found)


def _page(page: bytes, number: int) -> bytes:
    if len(page) < 4:
        raise errors.BadPage(reason=f'{len(page)} bytes are no VPD page')
    if page[1] != number:
        raise errors.BadPage(reason=f'it is page {page[1]:02x}h, not {number:02x}h')
    length = int.from_bytes(page[2:4], 'big')
    if len(page) < 4 + length:
        raise errors.BadPage(reason=f'page {number:02x}h says {length} bytes and has '
                                    f'{len(page) - 4}')
    return page[4:4 + length]


def _scsi(kind: str, value: bytes) -> str:
    if kind in ('t10', 'name'):
        text = _text(value)
        return f'{kind}.{text}' if text else ''
    if len(value) not in _LENGTHS[kind] or not any(value):
        return ''
    if kind == 'uuid':
        return f'uuid.{uuid.UUID(bytes=value[2:]).hex}'
    return f'{kind}.{value.hex()}'


def _text(value: bytes) -> str:
    value = value.replace(b'\0', b' ').strip()
    if len(value) > LONGEST:
        return ''
    return ' '.join(value.decode('ascii', 'backslashreplace').split())
