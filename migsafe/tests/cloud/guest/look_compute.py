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
"""What is on a compute host: domains, disks, maps and directories, as JSON.

The kernel and libvirt are asked, and each disk itself for its identity.
"""

import glob
import json
import os
import subprocess
from xml.etree import ElementTree

import libvirt

SCSI_ID = '/usr/lib/udev/scsi_id'
RUNNING = {libvirt.VIR_DOMAIN_RUNNING: 'running', libvirt.VIR_DOMAIN_PAUSED: 'paused'}


def identity(disk):
    """A live INQUIRY, page 0x83; the kernel may have an old answer. Empty if none comes."""
    try:
        done = subprocess.run((SCSI_ID, '--page=0x83', '--whitelisted', f'--device=/dev/{disk}'),
                              capture_output=True, text=True, timeout=20, check=False)
    except subprocess.TimeoutExpired:
        return ''
    return done.stdout.strip()


def below(device):
    """The SCSI disks that a device stands on."""
    name = os.path.basename(os.path.realpath(device))
    slaves = glob.glob(f'/sys/block/{name}/slaves/*')
    return sorted({disk for slave in slaves for disk in below(slave)}) if slaves else [name]


def domains():
    """Each domain: uuid, state, and the disks below its devices."""
    found = []
    for domain in libvirt.open('qemu:///system').listAllDomains():
        tree = ElementTree.fromstring(domain.XMLDesc())
        sources = [source.get('dev') for source in tree.findall('.//disk/source')]
        found.append({'uuid': domain.UUIDString(),
                      'state': RUNNING.get(domain.state()[0], 'off'),
                      'disks': {one.findtext('serial'): below(one.find('source').get('dev'))
                                for one in tree.findall('.//disk')
                                if (source := one.find('source')) is not None
                                and source.get('dev')}, 'sources': sources})
    return found


def maps():
    """Device-mapper: name -> uuid."""
    return {open(f'{path}/name').read().strip(): open(f'{path}/uuid').read().strip()
            for path in glob.glob('/sys/block/dm-*/dm')}


disks = [os.path.basename(path) for path in glob.glob('/sys/block/sd*')]
print(json.dumps({'domains': domains(), 'disks': {disk: identity(disk) for disk in disks},
                  'maps': maps(),
                  'directories': [name for name in os.listdir('/var/lib/nova/instances')
                                  if len(name.removesuffix('_del')) == 36]}))
