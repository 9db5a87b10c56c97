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
"""What becomes of a read-only drive on local disk when real libvirt copies disks, as Nova 31 asks.

Two libvirtd with mounts and a host name of their own, and QEMU without KVM. As
_create_images_and_backing does, the destination has an empty file for each local disk; as
_live_migration_copy_disk_paths says, libvirt is told to copy those that are not read-only.
``tox -e config-drive``, as root.
"""

import contextlib
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import uuid

from migsafe.tests.proxied.haproxy import free_port

GUEST, INSTANCES, PATIENCE = 'guest', '/var/lib/nova/instances', 120
MOUNTS = {'run': '/run/libvirt', 'lib': '/var/lib/libvirt', 'etc': '/etc/libvirt',
          'cache': '/var/cache/libvirt', 'log': '/var/log/libvirt', 'instances': INSTANCES}
QEMU_CONF = ('user = "root"\ngroup = "root"\nsecurity_driver = "none"\nnamespaces = []\n'
             'cgroup_controllers = []\nstdio_handler = "file"\n')
LIBVIRTD_CONF = ('listen_tls = 0\nlisten_tcp = 1\ntcp_port = "{port}"\nauth_tcp = "none"\n'
                 'listen_addr = "127.0.0.1"\nhost_uuid = "{uuid}"\nauth_unix_rw = "none"\n')
DOMAIN = f"""<domain type='qemu'><name>{GUEST}</name><memory unit='MiB'>64</memory>
<os><type arch='x86_64' machine='pc'>hvm</type></os><devices>
<disk type='file' device='disk'><driver name='qemu' type='raw' cache='none'/>
<source file='{INSTANCES}/{GUEST}/disk'/><target dev='vda' bus='virtio'/></disk>
<disk type='file' device='cdrom'><driver name='qemu' type='raw'/>
<source file='{INSTANCES}/{GUEST}/disk.config'/><target dev='sda' bus='sata'/><readonly/></disk>
<controller type='sata'/></devices></domain>"""


class Host:
    """A libvirtd of its own; ends with the stack."""

    def __init__(self, top, name, stack):
        self.top, port = pathlib.Path(top, name), free_port()
        for part in MOUNTS:
            (self.top / part).mkdir(parents=True)
        self.disks = self.top / 'instances' / GUEST
        self.disks.mkdir()
        (self.top / 'etc' / 'qemu.conf').write_text(QEMU_CONF)
        (self.top / 'etc' / 'libvirtd.conf').write_text(
            LIBVIRTD_CONF.format(port=port, uuid=uuid.uuid4()))
        self.uri = f'qemu+tcp://127.0.0.1:{port}/system'
        text = ' && '.join([f'hostname {name}', *(
            f'mkdir -p {at} && mount --bind {self.top / part} {at}'
            for part, at in MOUNTS.items()),
            'exec libvirtd --listen -f /etc/libvirt/libvirtd.conf -p /run/libvirt/pid'])
        self._process = subprocess.Popen(['unshare', '-m', '-u', 'sh', '-c', text],
                                         stderr=(self.top / 'log.txt').open('w'))
        stack.callback(self._end)
        end = time.monotonic() + PATIENCE
        while self.virsh('version').returncode:
            if time.monotonic() > end or self._process.poll() is not None:
                raise RuntimeError((self.top / 'log.txt').read_text())
            time.sleep(0.2)

    def virsh(self, *words):
        """What virsh says."""
        return subprocess.run(['virsh', '-c', self.uri, *words], capture_output=True, text=True,
                              timeout=PATIENCE)

    def _end(self):
        self.virsh('destroy', GUEST)
        self._process.terminate()
        self._process.wait(PATIENCE)


def migrated():
    """Name of the file -> what the destination has of it afterwards."""
    with contextlib.ExitStack() as stack:
        top = stack.enter_context(tempfile.TemporaryDirectory())
        source, destination = (Host(top, name, stack) for name in ('source', 'destination'))
        for name in ('disk', 'disk.config'):
            (source.disks / name).write_bytes(os.urandom(1 << 20))
            (destination.disks / name).write_bytes(bytes(1 << 20))
        definition = pathlib.Path(top, 'guest.xml')
        definition.write_text(DOMAIN)
        for words in (('create', str(definition)), (
                'migrate', GUEST, destination.uri, '--live', '--p2p', '--copy-storage-inc',
                '--migrateuri', 'tcp://127.0.0.1', '--disks-uri',
                f'tcp://127.0.0.1:{free_port()}', '--migrate-disks', 'vda')):
            done = source.virsh(*words)
            if done.returncode:
                raise RuntimeError(done.stderr)
        if GUEST not in destination.virsh('list', '--name').stdout:
            raise RuntimeError('the guest has not come over')
        return {name: _judged((source.disks / name).read_bytes(),
                              (destination.disks / name).read_bytes())
                for name in ('disk', 'disk.config')}


def _judged(before, after):
    return 'whole' if before == after else 'something else' if any(after) else 'blank'


if __name__ == '__main__':
    found = migrated()
    print(found)
    sys.exit(found != {'disk': 'whole', 'disk.config': 'blank'})
