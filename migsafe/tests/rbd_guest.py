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
"""A guest on an RBD image: a real QEMU with its rbd driver, and a mounted ext4.

There is no kernel in it. What one does to a file system is done by debugfs on a view of the disk
that is read when the guest starts, as a kernel reads what it then keeps in memory; what has
changed in the view since it was last written goes to the disk, through QEMU. Debian packages:
qemu-system-x86 qemu-block-extra qemu-utils e2fsprogs.
"""

import json
import pathlib
import subprocess

import fixtures

from migsafe.tests import servers
from migsafe.tests.storage import qemu

SIZE, BLOCK = 16 << 20, 4096
#: What QEMU says of a write that Ceph refuses as the client is on its blocklist.
BLOCKED = 'Cannot send after transport endpoint shutdown'
#: of e2fsck: there are errors, and nobody was allowed to correct them
ERRORS = 4


def make_file_system(image):
    """Put an empty ext4 at the start of an image.

    :param image: an opened rbd.Image
    """
    with fixtures.TempDir() as made:
        path = pathlib.Path(made.path) / 'new'
        subprocess.run((servers.find('mke2fs', 'e2fsprogs'), '-q', '-F', '-t', 'ext4', '-b',
                        str(BLOCK), str(path), f'{SIZE >> 10}k'), check=True)
        image.write(path.read_bytes(), 0)


def check_file_system(image):
    """What ``e2fsck -fn`` says of it: exit code and text; the journal is not replayed."""
    with fixtures.TempDir() as made:
        path = pathlib.Path(made.path) / 'found'
        path.write_bytes(image.read(0, SIZE))
        done = subprocess.run((servers.find('e2fsck', 'e2fsprogs'), '-fn', str(path)),
                              capture_output=True, text=True, check=False)
        return done.returncode, done.stdout


class Guest(fixtures.Fixture):
    """Started, with the file system mounted.

    :param conf: of Ceph
    :param image: its name
    """

    def __init__(self, conf, user, pool, image):
        super().__init__()
        self._disk = {'driver': 'raw', 'node-name': 'disk', 'size': SIZE, 'file': {
            'driver': 'rbd', 'conf': conf, 'user': user, 'pool': pool, 'image': image,
            'cache': {'direct': True}}}

    def _setUp(self):
        servers.find('qemu-io', 'qemu-utils')
        self.base = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self._view, self._nbd = self.base / 'view', f'nbd+unix:///disk?socket={self.base}/nbd'
        self.process = subprocess.Popen(
            (servers.find(qemu.BINARY, 'qemu-system-x86'), '-machine', 'none', '-nodefaults',
             '-no-user-config', '-display', 'none',
             '-qmp', f'unix:{self.base}/qmp,server=on,wait=off',
             '-blockdev', json.dumps(self._disk)), stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=(self.base / 'errors').open('wb'))
        self.addCleanup(self.kill)
        with qemu.connected(self.base / 'qmp', self.process) as monitor:
            monitor.do('nbd-server-start', addr={
                'type': 'unix', 'data': {'path': f'{self.base}/nbd'}})
            monitor.do('block-export-add', **{
                'type': 'nbd', 'id': 'disk', 'node-name': 'disk', 'name': 'disk',
                'writable': True})
        subprocess.run(('qemu-img', 'convert', '-f', 'raw', '-O', 'raw', self._nbd,
                        str(self._view)), check=True)
        self._written = self._view.read_bytes()

    def write(self, *names, without=()):
        """Make files, with their name for content, and write all that has changed.

        :param without: files that are removed
        :returns: what QEMU has complained of; empty if it has written all
        """
        for name in names:
            (self.base / name).write_text(name * BLOCK)
        subprocess.run((servers.find('debugfs', 'e2fsprogs'), '-w', '-f', '-', str(self._view)),
                       check=True, capture_output=True, text=True, input=''.join(
                           (*(f'write {self.base / name} {name}\n' for name in names),
                            *(f'rm {name}\n' for name in without))))
        now, before = self._view.read_bytes(), self._written
        lines = []
        for offset in range(0, SIZE, BLOCK):
            block = now[offset:offset + BLOCK]
            if block != before[offset:offset + BLOCK]:
                (self.base / f'block{offset}').write_bytes(block)
                lines.append(f'write -q -s {self.base}/block{offset} {offset} {BLOCK}\n')
        if not lines:
            raise AssertionError(f'debugfs has not made {names}')
        self._written = now
        done = subprocess.run(('qemu-io', '-f', 'raw', self._nbd), check=False, text=True,
                              input=''.join((*lines, 'flush\n')), capture_output=True)
        return '\n'.join(line for line in f'{done.stdout}{done.stderr}'.splitlines()
                         if 'failed' in line or 'error' in line.lower())

    def kill(self):
        """End it as a power cut would."""
        self.process.kill()
        self.process.wait(30)
