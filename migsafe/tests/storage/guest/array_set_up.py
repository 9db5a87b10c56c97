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
"""The array: LIO with one target behind two portals, and NVMe subsystems over TCP.

What a host sees as a LUN is a matter of the host: number 3 is raw1 for host A and raw2 for host
B, as the masking of an array has it.
"""

from __future__ import annotations

import pathlib
import subprocess

import rtslib_fb as rtslib

TARGET = 'iqn.2026-01.org.migsafe:array'
PORTALS = ('10.0.0.1', '10.0.0.2')
HOST_A, HOST_B = 'iqn.2026-01.org.migsafe:a', 'iqn.2026-01.org.migsafe:b'
#: The second adapter of host A, where adapters have names of their own: Fibre Channel.
HOST_A_2 = 'iqn.2026-01.org.migsafe:a2'
#: Volumes by number: sparse files in memory.
VOLUMES = range(1, 7)
#: Number of a LUN on a host -> volume.
_OF_A = {3: 1, 4: 2, 5: 3, 6: 4}
MASKING = {HOST_A: _OF_A, HOST_A_2: _OF_A, HOST_B: {3: 2}}
SIZE = 48 << 20
NAMESPACES = range(1, 4)
#: A volume on which a guest has made itself a volume group "guest" with a logical volume "root".
GUESTS_LVM = '/srv/guests-lvm'
NVMET = pathlib.Path('/sys/kernel/config/nvmet')


def serial(number: int) -> str:
    """Unit serial number; LIO makes the NAA of its first 25 hexadecimal digits."""
    return f'{number:08x}-5afe-4000-8000-{number:012x}'


def nvme_uuid(number: int) -> str:
    """UUID of a namespace."""
    return f'{number:08x}-5afe-4000-8000-00000000abcd'


def nqn(number: int) -> str:
    """Name of the subsystem of a namespace."""
    return f'nqn.2026-01.org.migsafe:array-{number}'


#: Made by the first iscsiadm of a boot. If two are the first, one fails: "File exists"
#: (open-iscsi 2.1, usr/idbm.c), and os-brick goes on with one path.
LOCKS = pathlib.Path('/run/lock/iscsi')


def main() -> None:
    """Make it all."""
    LOCKS.mkdir(parents=True, exist_ok=True)
    # it tells the kernel where to keep its state, which is possible before the first device only
    rtslib.RTSRoot()
    iscsi()
    nvme()
    guests_lvm()


def backing(name: str) -> str:
    """A sparse file of SIZE."""
    path = pathlib.Path('/srv') / name
    with path.open('wb') as file:
        file.truncate(SIZE)
    return str(path)


def iscsi() -> None:
    """One target, its portals, a LUN for each volume, and what each host sees."""
    target = rtslib.Target(rtslib.FabricModule('iscsi'), TARGET)
    group = rtslib.TPG(target, 1)
    group.set_attribute('authentication', '0')
    for address in PORTALS:
        rtslib.NetworkPortal(group, address, 3260)
    luns = {number: add_volume(group, number) for number in VOLUMES}
    for host, seen in MASKING.items():
        acl = rtslib.NodeACL(group, host)
        for lun, number in seen.items():
            rtslib.MappedLUN(acl, lun, luns[number])
    group.enable = True


def add_volume(group: rtslib.TPG, number: int) -> rtslib.LUN:
    """A volume that no host sees yet."""
    storage = rtslib.FileIOStorageObject(
        f'raw{number}', backing(f'raw{number}'), SIZE, serial(number), write_back=True)
    return rtslib.LUN(group, number, storage)


def nvme() -> None:
    """Two TCP ports with a subsystem for each namespace.

    os-brick disconnects no subsystem in which there is another namespace.
    """
    ports = []
    for number, address in enumerate(PORTALS, 1):
        ports.append(NVMET / 'ports' / str(number))
        ports[-1].mkdir()
        for name, value in (('adrfam', 'ipv4'), ('trtype', 'tcp'), ('traddr', address),
                            ('trsvcid', '4420')):
            (ports[-1] / f'addr_{name}').write_text(value)
    for number in NAMESPACES:
        subsystem = NVMET / 'subsystems' / nqn(number)
        subsystem.mkdir()
        (subsystem / 'attr_allow_any_host').write_text('1')
        namespace = subsystem / 'namespaces' / '1'
        namespace.mkdir()
        (namespace / 'device_path').write_text(backing(f'nvme{number}'))
        # a file in memory cannot be opened with O_DIRECT
        (namespace / 'buffered_io').write_text('1')
        (namespace / 'device_uuid').write_text(nvme_uuid(number))
        (namespace / 'enable').write_text('1')
        for port in ports:
            (port / 'subsystems' / nqn(number)).symlink_to(subsystem)


def guests_lvm() -> None:
    """Make it as if in a guest: nothing of it is left on this host."""
    path = backing(pathlib.Path(GUESTS_LVM).name)
    subprocess.run(('sh', '-ec', f"""
        modprobe loop
        losetup /dev/loop0 {path}
        vgcreate -y guest /dev/loop0
        lvcreate -y -l 100%FREE -n root guest
        udevadm settle
        vgchange -an guest
        udevadm settle
        losetup -d /dev/loop0
        udevadm settle
        rm -f /run/lvm/*_online/* /etc/lvm/archive/* /etc/lvm/backup/*
        modprobe -r loop
    """), check=True, stdout=subprocess.DEVNULL)
