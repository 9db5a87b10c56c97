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
"""Whether the filters of lvm.conf accept disks that are still to come: guests' next volumes.

LVM goes through the patterns for each name of a device, links too; the first that matches a name
decides for that name, one accepted name is enough, and a device of which no name is matched is
accepted (lvm.conf(5), devices/filter). LVM itself is asked what a filter does to the devices that
are there. Of a device to come only this can be said for sure: it stays out if the last pattern
rejects everything and all that is accepted before are whole names that no volume can get.
What a pattern rejects is a matter of LVM's regular expressions; see migsafe.lvm.patterns.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from migsafe.lvm import patterns as lvm_patterns

#: Links that only the disk's own identity makes, the most telling first. The serial numbers in the
#: later ones are unique to a vendor and a product.
_LINKS = tuple(re.compile(pattern) for pattern in (
    r'dm-uuid-(part\d+-)?mpath-[A-Za-z0-9]+\Z', r'md-uuid-[0-9a-f:]+(-part\d+)?\Z',
    r'dm-uuid-CRYPT-[A-Za-z0-9_-]+\Z', r'wwn-0x[0-9a-f]+(-part\d+)?\Z',
    r'nvme-(eui|uuid)\.[0-9a-f-]+(-part\d+)?\Z', r'scsi-[23][0-9a-f]+(-part\d+)?\Z',
    r'scsi-S[A-Za-z0-9_.:+-]+\Z', r'ata-[A-Za-z0-9_.:+-]+\Z',
    # with the number of the namespace, of which a controller may have several
    r'nvme-[A-Za-z0-9_.:+-]+_\d+(-part\d+)?\Z', r'nvme-[A-Za-z0-9_.:+-]+\Z',
    r'virtio-[A-Za-z0-9_.:+-]+\Z', r'usb-[A-Za-z0-9_.:+-]+\Z'))
#: A WWN of one digit, of all zeros but the last, or of what vendors count up from: nobody's own.
_PLACEHOLDER = re.compile(
    r'(?:wwn-0x|scsi-[23]|nvme-eui\.|dm-uuid-(?:part\d+-)?mpath-[23])'
    r'(?:([0-9a-f])\1*|5?0+[0-9a-f]|0123456789abcdef|(?:deadbeef)+)(?:-part\d+)?\Z')
#: Links that are made of a disk's WWN, which another disk of the host may have as well.
_OF_WWN = re.compile(r'(wwn-|scsi-[23]|nvme-(eui|uuid)\.)')
#: What means something in a pattern, of the characters that udev leaves in names.
_SPECIAL = re.compile('[.+]')
#: Kernel names that no volume of a guest gets on a host.
_OWN_NAMES = re.compile(r'(vd|xvd)[a-z]+\d*\Z|mmcblk\d+(p\d+)?\Z')
#: Partitions of a multipath map that has its WWID for a name, as kpartx makes them.
_OWN_PARTS = re.compile(r'/dev/mapper/[23][0-9a-f]{16,32}-part\d+\Z')
#: Names of tables that are no logical volume's: LVM puts one hyphen between its two names.
_OWN_TABLES = re.compile(r'/dev/mapper/(?!control\Z)([A-Za-z0-9_.]|--)+\Z')


def hole(patterns: Sequence[object]) -> str | None:
    """What lets a device in that is not there yet.

    :param patterns: the value of filter or global_filter
    :returns: words for a message; None if nothing does
    """
    for pattern in patterns:
        kind, body = split(pattern)
        if kind == 'r' and lvm_patterns.matches_everything(body):
            return None
        if kind == 'r':
            continue
        name = lvm_patterns.whole_name(body)
        if kind != 'a' or not name:
            return f'{shown(pattern)} accepts more than one whole name'
        if not _stays(name):
            return f'{shown(pattern)} accepts a name that does not stay with one disk of the host'
    return 'it does not end with "r|.*|"'


def _stays(path: str) -> bool:
    """Whether no volume can get a name: not in the order of discovery, not from its content."""
    directory, _, name = path.rpartition('/')
    if directory == '/dev/disk/by-id':
        return not _PLACEHOLDER.match(name) and any(pattern.match(name) for pattern in _LINKS)
    return bool(directory == '/dev' and _OWN_NAMES.match(name) or _OWN_TABLES.match(path)
                or _OWN_PARTS.match(path))


def patterns(value: object) -> tuple[object, ...]:
    """The patterns of a setting: lvmconfig prints a list of one without its brackets."""
    return value if isinstance(value, tuple) else () if value is None else (value,)


def split(pattern: object) -> tuple[str, str]:
    """('a' or 'r', regular expression); ('', '') for what LVM would not take."""
    if not isinstance(pattern, str):
        return '', ''
    text = pattern.lstrip(' \t')
    pairs = {'(': ')', '[': ']', '{': '}'}
    if len(text) < 3 or text[0] not in 'ar' or not text.endswith(pairs.get(text[1], text[1])):
        return '', ''
    return text[0], text[2:-1]


def shown(pattern: object) -> str:
    """A pattern for a message."""
    return f'"{ascii(str(pattern))[1:-1][:200]}"'


def accept(path: str) -> str:
    """The pattern that accepts one name alone."""
    return f'a|^{_SPECIAL.sub(lambda one: f"[{one[0]}]", path)}$|'


def only(paths: Iterable[str]) -> str:
    """A setting that lets in some devices alone.

    What an old filter rejects is not in it: it would come before what has to be accepted.
    """
    patterns = [*(accept(path) for path in paths), 'r|.*|']
    return 'global_filter = [ ' + ', '.join(f'"{one}"' for one in patterns) + ' ]'


def steady(links: Iterable[str], name: str, shared: bool = False) -> str:
    """A name of a device that stays the same, and that no volume gets.

    :param links: names in /dev/disk/by-id that lead to it
    :param name: its kernel name
    :param shared: whether another disk of this host has its WWN too
    :returns: a path; '' if there is none
    """
    names = [link for link in sorted(links) if not _PLACEHOLDER.match(link)
             and not (shared and _OF_WWN.match(link))]
    for pattern in _LINKS:
        for link in names:
            if pattern.match(link):
                return f'/dev/disk/by-id/{link}'
    return f'/dev/{name}' if _OWN_NAMES.match(name) else ''
