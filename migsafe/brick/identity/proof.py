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
"""What proves that a disk is a volume that Nova or Cinder has attached to this host.

That a disk comes over a network proves nothing: a host may keep its own on the same array.
Sources: udev's names of iSCSI disks (60-persistent-storage.rules), with the target that Cinder
names after the volume (its iscsi_target_prefix, and volume_name_template as it is by default), and
the domains of libvirt, where Nova writes a volume's id as the serial of the disk.
"""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Iterable, Iterator
from xml.etree import ElementTree

from oslo_log import log as logging

from migsafe.brick.identity import designators
from migsafe.brick.kernel import sysfs as kernel_sysfs

LOG = logging.getLogger(__name__)

BY_PATH = '/dev/disk/by-path'
#: Domains that run.
RUNNING = '/run/libvirt/qemu'
#: Domains that are defined, and have perhaps not run since the host has booted.
DEFINED = '/etc/libvirt/qemu'
_TARGET = re.compile(r'.+-iscsi-iqn\.[^/]+:volume-([0-9a-f-]{36})-lun-\d+\Z')
#: Names that udev and multipathd make of the WWID (60-persistent-storage.rules, dm-mpath.rules).
_LASTING = re.compile(
    r'/dev/(mapper/[23][0-9a-f]{16,32}|disk/by-id/(wwn-0x[0-9a-f]{16,32}|scsi-[23][0-9a-f]{16,32}|'
    r'dm-uuid-mpath-[23][0-9a-f]{16,32}|nvme-(eui|uuid|nguid)\.[0-9a-f-]{16,36}))\Z')
_MOST = 4 << 20


def known(sysfs: kernel_sysfs.Sysfs) -> dict[str, str]:
    """Disks that a target's name or a domain proves to be volumes.

    :returns: kernel name of a disk or a path -> what proves it
    """
    found: dict[str, str] = {}
    for path, what in (*_targets(BY_PATH), *_disks(RUNNING), *_defined(DEFINED)):
        name = kernel_sysfs.kernel_name(path)
        if name is None:
            continue
        try:
            paths = sysfs.slaves(name) if sysfs.attribute(
                name, 'dm', 'uuid').startswith('mpath-') else [name]
        except kernel_sysfs.Gone:
            continue
        for each in paths:
            found.setdefault(each, what)
    return found


def noted(identity: designators.Identity,
          volumes: Iterable[tuple[str, designators.Identity]]) -> str | None:
    """What of the journal proves that a disk is a volume.

    :param identity: what the disk answers now
    :param volumes: volume ids, with the identities that were noted for them
    """
    for volume, known_as in volumes:
        if designators.agree(identity, known_as):
            return f'volume {volume} of the journal'
    return None


def _targets(by_path: str) -> Iterator[tuple[str, str]]:
    for entry in _entries(by_path):
        match = _TARGET.match(entry)
        if match and _is_uuid(match[1]):
            yield os.path.join(by_path, entry), f'iSCSI target of volume {match[1]}'


def _disks(top: str) -> Iterator[tuple[str, str]]:
    for entry in _entries(top):
        if not entry.endswith('.xml'):
            continue
        path = os.path.join(top, entry)
        try:
            with open(path, 'rb') as stream:
                # libvirtd's own files, which only root can write
                tree = ElementTree.fromstring(stream.read(_MOST))  # noqa: S314
        except (OSError, ElementTree.ParseError) as error:
            LOG.warning('%s is not looked at: %s', path, error)
            continue
        for disk in tree.iter('disk'):
            source, serial = disk.find('source'), disk.findtext('serial') or ''
            if source is not None and source.get('dev') and _is_uuid(serial):
                yield str(source.get('dev')), f'volume {serial} in {ascii(path)[1:-1]}'


def _defined(top: str) -> Iterator[tuple[str, str]]:
    """Of domains that may be off, only disks that are named by what they are.

    /dev/sdc may be another disk by now, and so may a multipath alias and a LUN number below
    by-path: nobody has them open, which would keep them.
    """
    return (one for one in _disks(top) if _LASTING.match(one[0]))


def _entries(directory: str) -> list[str]:
    try:
        return sorted(os.listdir(directory))
    except OSError:
        # no such thing on this host, which proves nothing
        return []


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False
