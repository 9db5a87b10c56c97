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
"""Guests and storage of as many kinds as a cloud has, to ask Nova and the preflight about."""

from __future__ import annotations

import dataclasses
import os
import random
from xml.sax import saxutils

GIB = 1 << 30


@dataclasses.dataclass(frozen=True)
class Made:
    """A disk to make.

    :param place: file, network, vg (a block device), empty, or outside (a file elsewhere)
    :param volume: whether it is a volume of Nova's; mislaid: with another name in its row
    :param there: whether what it names exists
    """

    name: str
    place: str = 'file'
    format: str = 'raw'
    device: str = 'disk'
    readonly: bool = False
    shareable: bool = False
    volume: str = ''
    connected: bool = True
    there: bool = True


@dataclasses.dataclass(frozen=True)
class Setup:
    """A guest, and what two hosts are configured to."""

    name: str
    disks: tuple[Made, ...]
    images: str = 'qcow2'
    destination: str = ''
    shared: bool = False
    tunnelled: bool = False
    room: int = 100


ROOT = Made('disk', format='qcow2')
ISO = Made('disk.config', device='cdrom', readonly=True)
VFAT = Made('disk.config')
EPH, SWAP = Made('disk.eph0', format='qcow2'), Made('disk.swap', format='qcow2')
SAN = Made('san', 'vg', volume='yes')
NFS = Made('nfs', 'outside', volume='yes')
CEPH = Made('ceph', 'network', volume='yes')
SHARED = dataclasses.replace(SAN, shareable=True)
MISLAID = dataclasses.replace(SAN, volume='mislaid')
UNCONNECTED = dataclasses.replace(SAN, connected=False)
DRIVE = Made('', 'empty', device='cdrom', readonly=True)
FOREIGN_ISO = Made('virtio-win.iso', 'outside', device='cdrom', readonly=True)
FOREIGN = Made('sdq', 'vg')
GONE = dataclasses.replace(VFAT, there=False)
CEPH_ISO = dataclasses.replace(ISO, place='network')
CEPH_ROOT = dataclasses.replace(ROOT, place='network')
LV_ROOT, LV_SWAP = Made('disk', 'vg'), Made('disk.swap', 'vg')
RESCUE = Made('disk.rescue', format='qcow2')


def _setups():
    """(name, disks, the rest)."""
    yield 'a volume', (SAN,), {}
    yield 'volumes of three kinds', (SAN, CEPH, NFS), {}
    yield 'a shareable volume', (SHARED, SAN), {}
    yield 'a volume and an ISO config drive', (SAN, ISO), {}
    yield 'a volume and a vfat config drive', (SAN, VFAT), {}
    yield 'the same, shared directory', (SAN, ISO), {'shared': True}
    yield 'the same, vfat, shared directory', (SAN, VFAT), {'shared': True}
    yield 'a volume, its config drive in Ceph', (SAN, CEPH_ISO), {'images': 'rbd'}
    yield 'Ceph, the config drive from before', (SAN, ISO), {'images': 'rbd'}
    yield 'Ceph, all of it', (CEPH_ROOT, CEPH_ISO, CEPH), {'images': 'rbd'}
    yield 'Ceph here, files there', (CEPH_ROOT, CEPH_ISO), {'images': 'rbd',
                                                           'destination': 'qcow2'}
    yield 'Ceph volume here, files there', (CEPH, CEPH_ISO), {'images': 'rbd',
                                                             'destination': 'qcow2'}
    yield 'files here, Ceph there', (ROOT, ISO), {'destination': 'rbd'}
    yield 'Ceph, a root disk from before', (ROOT, VFAT), {'images': 'rbd'}
    yield 'a volume and an empty drive', (SAN, DRIVE), {}
    yield 'a volume and an ISO of an operator', (SAN, FOREIGN_ISO), {}
    yield 'the same, shared directory', (SAN, FOREIGN_ISO), {'shared': True}
    yield 'a volume and a disk that Nova does not know', (SAN, FOREIGN), {}
    yield 'a volume with another name in its row', (SAN, MISLAID), {}
    yield 'the same, shared directory', (SAN, MISLAID), {'shared': True}
    yield 'a volume that is not connected yet', (SAN, UNCONNECTED), {}
    yield 'a volume and ephemeral disk', (SAN, EPH), {}
    yield 'a volume and swap', (SAN, SWAP), {}
    yield 'a volume, ephemeral, swap, ISO', (SAN, EPH, SWAP, ISO), {}
    yield 'the same, shared directory', (SAN, EPH, SWAP, ISO), {'shared': True}
    yield 'a local root disk', (ROOT,), {}
    yield 'a local root disk, raw', (Made('disk'),), {'images': 'raw'}
    yield 'a local root disk, flat', (Made('disk'),), {'images': 'flat', 'shared': True}
    yield 'a local root disk, default', (ROOT,), {'images': 'default', 'shared': True}
    yield 'a local root disk and a config drive', (ROOT, ISO), {}
    yield 'the same, shared directory', (ROOT, ISO), {'shared': True}
    yield 'a local root disk and volumes', (ROOT, SAN, CEPH), {}
    yield 'a local root disk and a vfat config drive', (ROOT, VFAT), {}
    yield 'no room', (ROOT, EPH), {'room': 1}
    yield 'tunnelled, local root', (ROOT, ISO), {'tunnelled': True}
    yield 'tunnelled, with volumes', (ROOT, SAN), {'tunnelled': True}
    yield 'tunnelled, volumes alone', (SAN, SAN), {'tunnelled': True}
    yield 'tunnelled, config drive and volume', (SAN, VFAT), {'tunnelled': True}
    yield 'LVM', (LV_ROOT, LV_SWAP), {'images': 'lvm'}
    yield 'LVM, shared directory', (LV_ROOT, LV_SWAP), {'images': 'lvm', 'shared': True}
    yield 'LVM, a volume and an ISO config drive', (SAN, ISO), {'images': 'lvm'}
    yield 'LVM, the same, shared directory', (SAN, ISO), {'images': 'lvm', 'shared': True}
    yield 'LVM, a volume and swap in LVM', (SAN, LV_SWAP), {'images': 'lvm'}
    yield 'a config drive whose file is gone', (SAN, GONE), {}
    yield 'the same, shared directory', (SAN, GONE), {'shared': True}
    yield 'a local root whose config drive is gone', (ROOT, GONE), {}
    yield 'a device that is gone', (SAN, dataclasses.replace(LV_SWAP, there=False)), {
        'images': 'lvm'}
    yield 'a shareable local disk', (ROOT, dataclasses.replace(EPH, shareable=True)), {}
    yield 'in rescue', (RESCUE, ROOT, SAN), {}
    yield 'no disks at all', (), {}
    yield '26 volumes', (SAN,) * 26, {}
    yield '26 volumes and a config drive', (SAN,) * 26 + (ISO,), {}
    yield 'Ceph, another directory shared', (CEPH_ROOT, VFAT), {'images': 'rbd', 'shared': True}


SETUPS = [Setup(name, disks, **rest) for name, disks, rest in _setups()]
PIECES = (ROOT, ISO, VFAT, EPH, SWAP, SAN, NFS, CEPH, SHARED, MISLAID, UNCONNECTED, DRIVE,
          FOREIGN_ISO, FOREIGN, GONE, CEPH_ISO, CEPH_ROOT, LV_ROOT, LV_SWAP, RESCUE)


def drawn(seed, count):
    """As many more, of anything beside anything."""
    chosen = random.Random(seed)
    for number in range(count):
        yield Setup(
            f'{seed}/{number}', tuple(chosen.choices(PIECES, k=chosen.randrange(6))),
            chosen.choice(('qcow2', 'raw', 'default', 'rbd', 'lvm')),
            chosen.choice(('', '', 'rbd', 'qcow2')), chosen.random() < 0.4,
            chosen.random() < 0.2, chosen.choice((0, 1, 100)))


def target(number):
    """The name of a disk in the guest."""
    return f'vd{chr(97 + number)}' if number < 26 else f'vda{chr(97 + number - 26)}'


def source(made, uuid, number, paths):
    """Path or name of a disk's source; what is there is made."""
    if made.place == 'empty':
        return ''
    if made.place == 'network':
        return f'vms/{uuid}_{made.name}'
    folder = {'file': os.path.join(paths['instances'], uuid), 'vg': paths['vg'],
              'outside': paths['outside']}[made.place]
    name = f'{uuid}_{number}_{made.name}' if made.volume or made.name == 'sdq' else made.name
    path = os.path.join(folder, f'{uuid}_{name}' if made.place == 'vg' and name == made.name
                        else name)
    if made.there:
        os.makedirs(folder, exist_ok=True)
        with open(path, 'wb') as handle:
            handle.truncate(GIB)
    return path


def xml(setup, uuid, volumes, paths):
    """The guest as libvirt has it; libvirt itself marks every CD-ROM as read-only."""
    devices = []
    for number, made in enumerate(setup.disks):
        name = source(made, uuid, number, paths)
        kind = {'vg': 'block', 'network': 'network'}.get(made.place, 'file')
        where = {'block': 'dev', 'network': 'name'}.get(kind, 'file')
        protocol = ' protocol="rbd"' if kind == 'network' else ''
        devices.append(
            f'<disk type="{kind}" device="{made.device}"><driver name="qemu" '
            f'type="{made.format}"/>'
            + (f'<source{protocol} {where}={saxutils.quoteattr(name)}/>' if name else '')
            + f'<target dev="{target(number)}" bus="virtio"/>'
            + (f'<serial>{volumes[number]}</serial>' if number in volumes else '')
            + ('<readonly/>' if made.readonly else '')
            + ('<shareable/>' if made.shareable else '') + '</disk>')
    return (f'<domain type="kvm"><name>instance-1</name><uuid>{uuid}</uuid><memory>1</memory>'
            '<vcpu>1</vcpu><os><type>hvm</type></os>'
            f'<devices>{"".join(devices)}</devices></domain>')
