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
"""A real Ceph: one monitor and one OSD with its objects in memory, on loopback.

Debian's bindings are extension modules for Debian's Python, outside of any
virtual environment. Only they are made importable, not what lies beside them.
"""

import base64
import importlib.machinery
import json
import os
import pathlib
import secrets
import select
import signal
import struct
import subprocess
import sys
import time
import uuid

import fixtures

from migsafe.tests import servers

PACKAGES = pathlib.Path('/usr/lib/python3/dist-packages')
POOL, USER = 'volumes', 'cinder'
#: The capabilities that Ceph's documentation has for Cinder are those of USER.
CAPS = {'mon.': {'mon': 'allow *'}, 'client.admin': {'mon': 'allow *', 'osd': 'allow *'},
        'osd.0': {'mon': 'allow profile osd', 'osd': 'allow *'},
        f'client.{USER}': {'mon': 'profile rbd', 'osd': f'profile rbd pool={POOL}'}}
#: osd_client_watch_timeout, 30 in a deployment.
WATCH_SECONDS = 4
ANSWER_SECONDS = 60
CLIENT = pathlib.Path(__file__).with_name('ceph_client.py')


class Bindings(fixtures.Fixture):
    """Makes ``rados`` and ``rbd`` importable, and nothing else."""

    def _setUp(self):
        self.path = self.useFixture(fixtures.TempDir()).path
        for name in ('rados', 'rbd'):
            os.symlink(self.find(name), os.path.join(self.path, f'{name}.so'))
        sys.path.append(self.path)
        self.addCleanup(sys.path.remove, self.path)

    @staticmethod
    def find(name):
        suffix = importlib.machinery.EXTENSION_SUFFIXES[0]
        if (PACKAGES / f'{name}{suffix}').exists():
            return PACKAGES / f'{name}{suffix}'
        others = [path.name for path in PACKAGES.glob(f'{name}.*.so')]
        raise AssertionError(
            f'This test needs the module {name}{suffix} for the running Python '
            f'{sys.version.split()[0]}; {PACKAGES} has {others or "none"}. Install it: apt-get '
            f'install python3-{name}, and use the Python that it is made for')


class Ceph(servers.Server):
    """A cluster with the pool ``volumes``; ``conf`` has its configuration, keys beside it."""

    package, user = 'ceph-mon', 'ceph'

    @property
    def conf(self):
        return str(self.base / 'ceph.conf')

    def prepare(self):
        """Make keys and the monitor's database."""
        self.binaries = {name: servers.find(name, package) for name, package in (
            ('ceph-mon', 'ceph-mon'), ('ceph-osd', 'ceph-osd'), ('monmaptool', 'ceph-base'),
            ('ceph', 'ceph-common'))}
        fsid = str(uuid.uuid4())
        self.write('keyring', ''.join(
            f'[{name}]\n key = {new_key()}\n' + ''.join(
                f' caps {kind} = "{caps}"\n' for kind, caps in kinds.items())
            for name, kinds in CAPS.items()))
        self.write('ceph.conf', '[global]\n' + ''.join(
            f'{name} = {value}\n' for name, value in self.options(fsid).items()))
        address = f'[v2:127.0.0.1:{self.port}/0]'
        self.run_to_end([self.binaries['monmaptool'], '--create', '--fsid', fsid, '--addv', 'a',
                         address, 'monmap'], 'install.log')
        self.run_to_end([self.binaries['ceph-mon'], '-c', self.conf, '-i', 'a', '--mkfs',
                         '--monmap', 'monmap'], 'install.log')

    def options(self, fsid):
        """One OSD suffices, all stays in the directory and on loopback, and little is waited for.
        """
        base = self.base
        return {
            'fsid': fsid, 'mon_host': f'[v2:127.0.0.1:{self.port}/0]', 'keyring': base / 'keyring',
            'public_addr': '127.0.0.1', 'cluster_addr': '127.0.0.1', 'run_dir': base,
            'mon_data': base / 'mon', 'osd_data': base / 'osd', 'admin_socket': '',
            'pid_file': '', 'log_file': '', 'log_to_stderr': 'true',
            'mon_cluster_log_file': '/dev/null', 'mon_data_avail_crit': 1,
            'paxos_propose_interval': 0.05, 'osd_objectstore': 'memstore',
            'osd_crush_chooseleaf_type': 0, 'osd_crush_initial_weight': 1,
            'osd_pool_default_size': 1, 'osd_pool_default_min_size': 1,
            'osd_pool_default_pg_num': 1, 'osd_pool_default_pgp_num': 1,
            'osd_pool_default_pg_autoscale_mode': 'off', 'mon_allow_pool_size_one': 'true',
            'osd_client_watch_timeout': WATCH_SECONDS}

    def write(self, name, text):
        (self.base / name).touch(0o600)
        (self.base / name).write_text(text)
        self.give(name)

    def give(self, name):
        if self.account:
            os.chown(self.base / name, self.account.pw_uid, self.account.pw_gid)

    def command(self):
        """The monitor; the OSD is started once that answers."""
        return [self.binaries['ceph-mon'], '-c', self.conf, '-i', 'a', '-f']

    def answers(self):
        import rados
        try:
            self.tell('mon stat')
        except rados.Error:
            return False
        return True

    def start(self):
        """Start the monitor, then the OSD, and make the pool."""
        super().start()
        osd = str(uuid.uuid4())
        self.tell('osd new', uuid=osd, id=0)
        command = [self.binaries['ceph-osd'], '-c', self.conf, '-i', '0']
        (self.base / 'osd').mkdir()
        self.give('osd')
        self.run_to_end([*command, '--mkfs', '--osd-uuid', osd], 'install.log')
        self.osd = self.spawn([*command, '-f'], 'osd.log')
        self.addCleanup(self.osd.wait, 30)
        self.addCleanup(self.osd.kill)
        deadline = time.monotonic() + self.start_seconds
        while not json.loads(self.tell('osd stat'))['num_up_osds']:
            if self.osd.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f'ceph-osd did not start:\n{self.tail("osd.log")}')
            time.sleep(0.1)
        self.tell('osd pool create', pool=POOL)
        self.tell('osd pool application enable', pool=POOL, app='rbd')

    def freeze(self):
        """Have the monitor stop where it is."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    def tell(self, prefix, **values):
        """Give the monitor a command, as the administrator; the answer is text."""
        import rados
        cluster = rados.Rados(rados_id='admin', conffile=self.conf, conf={
            'client_mount_timeout': '2', 'rados_mon_op_timeout': '20'})
        try:
            # a busy monitor was seen to refuse a client that it knows
            for patience in (1, 1, 0):
                try:
                    cluster.connect()
                    break
                except rados.PermissionError:
                    if not patience:
                        raise
                    time.sleep(patience)
            code, text, status = cluster.mon_command(
                json.dumps({'prefix': prefix, 'format': 'json', **values}), b'')
        finally:
            cluster.shutdown()
        if code:
            raise AssertionError(f'ceph {prefix} {values}: {code} {status}')
        return text.decode()


def new_key():
    """A key as ceph-authtool makes one: AES, when it was made, its length, 16 random octets."""
    return base64.b64encode(
        struct.pack('<HIIH', 1, int(time.time()), 0, 16) + secrets.token_bytes(16)).decode()


class Client(fixtures.Fixture):
    """A process of its own that has an image open, as QEMU would; ended by its pid."""

    def __init__(self, ceph, bindings, image):
        super().__init__()
        self.command = [sys.executable, str(CLIENT), bindings.path, ceph.conf, USER, POOL, image]

    def _setUp(self):
        self.process = subprocess.Popen(
            self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True, bufsize=1)
        self.addCleanup(self.end)
        self.address = self._answer()

    def _answer(self):
        if not select.select([self.process.stdout], [], [], ANSWER_SECONDS)[0]:
            raise AssertionError('The client does not answer')
        return self.process.stdout.readline().strip()

    def write(self, offset, text):
        """Write; tell "written", or the name of the error."""
        self.process.stdin.write(f'{offset} {text}\n')
        return self._answer()

    def freeze(self):
        """Stop it where it is, as a host does that hangs."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    def kill(self):
        """End it as a power cut would."""
        self.process.kill()
        self.process.wait(30)

    def end(self):
        self.kill()
        self.process.stdin.close()
        self.process.stdout.close()
