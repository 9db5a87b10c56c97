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
"""Fibre Channel: each adapter is the SCSI host of a session with LIO that is there from the start.

This kernel has no adapter for it. What os-brick finds instead of one are made-up directories in
the place of /sys/class/fc_host, and the links below /dev/disk/by-path that udev makes of real
adapters. The disks, their discovery by a scan of the SCSI host, and their removal are real; each
adapter has an initiator name and a LUN map of its own. There is no fc_transport either, so that
os-brick scans as it does for arrays that do not show up in it. tcm_loop would look more like an
adapter, but its hosts refuse to scan for a LUN, and the LUNs of scsi_debug cannot be remapped.
"""

from __future__ import annotations

import os
import pathlib
from typing import Any, TextIO

import array_set_up
import host
from os_brick.initiator import linuxfc

PORTS = ('5001405000000001', '5001405000000002')
INITIATORS = (array_set_up.HOST_A, array_set_up.HOST_A_2)
RULES = pathlib.Path('/run/udev/rules.d/61-fibre-channel.rules')
TOP = pathlib.Path('/run/fibre-channel')
_RULE = ('KERNEL=="sd*", ENV{{DEVTYPE}}=="disk", KERNELS=="{host}:0:0:{lun}", '
         'SYMLINK+="disk/by-path/pci-{pci}-fc-0x{port}-lun-{lun}"\n')


def set_up(paths: int) -> None:
    """Adapters whose disks nobody has looked for yet; once is enough."""
    if TOP.exists():
        return
    RULES.parent.mkdir(parents=True, exist_ok=True)
    (TOP / 'class').mkdir(parents=True)
    linuxfc.LinuxFibreChannel.FC_HOST_SYSFS_PATH = str(TOP / 'class')
    with RULES.open('w') as rules:
        for number in range(paths):
            _adapter(number, rules)
    host.run('udevadm', 'control', '--reload')
    host.ADAPTERS |= set(os.listdir('/sys/class/iscsi_session'))


def _adapter(number: int, rules: TextIO) -> None:
    name, pci = _login(number), f'0000:05:00.{number}'
    real = TOP / 'devices' / 'pci0000:00' / pci / name / 'fc_host' / name
    real.mkdir(parents=True)
    for attribute, text in (('port_name', f'0x2001405{number:09}'), ('port_state', 'Online'),
                            ('node_name', f'0x2000405{number:09}')):
        (real / attribute).write_text(f'{text}\n')
    (TOP / 'class' / name).symlink_to(real)
    for lun in array_set_up.MASKING[INITIATORS[number]]:
        rules.write(_RULE.format(host=name.removeprefix('host'), lun=lun, pci=pci,
                                 port=PORTS[number]))


def _login(number: int) -> str:
    """A session that finds no disk by itself; the name of its SCSI host."""
    before = set(os.listdir('/sys/class/scsi_host'))
    host.run('iscsiadm', '-m', 'iface', '-I', f'a{number}', '--op', 'new')
    host.run('iscsiadm', '-m', 'iface', '-I', f'a{number}', '--op', 'update', '-n',
             'iface.initiatorname', '-v', INITIATORS[number])
    node = ('iscsiadm', '-m', 'node', '-T', array_set_up.TARGET, '-p',
            f'{array_set_up.PORTALS[number]}:3260', '-I', f'a{number}')
    host.run(*node, '--op', 'new')
    host.run(*node, '--op', 'update', '-n', 'node.session.scan', '-v', 'manual')
    host.run(*node, '--login')
    name, = set(os.listdir('/sys/class/scsi_host')) - before
    return name


def _scsi_host(number: int) -> str:
    """The SCSI host of an adapter; they are numbered in the order in which they came."""
    return sorted(os.listdir(TOP / 'class'))[number]


def disk(number: int, lun: int) -> str:
    """The disk that an adapter has at a LUN."""
    scsi_host = _scsi_host(number).removeprefix('host')
    name, = os.listdir(f'/sys/class/scsi_device/{scsi_host}:0:0:{lun}/device/block')
    return f'/dev/{name}'


def scan(number: int, lun: int) -> None:
    """Have an adapter look at one LUN."""
    pathlib.Path('/sys/class/scsi_host', _scsi_host(number), 'scan').write_text(f'0 0 {lun}\n')


def properties(lun: int, multipath: bool, **more: Any) -> dict[str, Any]:
    """What Cinder would give for a LUN of this host."""
    return {'volume_id': f'lun-{lun}', 'target_discovered': True, 'access_mode': 'rw',
            'target_wwn': list(PORTS[:2 if multipath else 1]), 'target_lun': lun} | more
