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
"""What a machine is given at its first boot: its configuration, keys, and migsafe's wheel."""

from __future__ import annotations

import io
import pathlib
import shutil
import tarfile
import tempfile

from migsafe.tests.cloud import configs, places, processes

HERE = pathlib.Path(__file__).parent
REPOSITORY = HERE.parents[2]
#: What stands in for systemd and for slow programs in the storage tests, too.
STORAGE = HERE.parent / 'storage' / 'guest'
Files = dict[str, tuple[bytes, int]]

#: What a service may run as root; sudo finds it there.
ROOTWRAP = {'compute': '/usr/local/bin/nova-rootwrap',
            'storage': '/usr/local/sbin/cinder-rootwrap'}
LIBVIRTD = ('listen_tls = 0\nlisten_tcp = 1\nauth_tcp = "none"\nauth_unix_rw = "none"\n'
            'unix_sock_rw_perms = "0777"\n'
            'host_uuid = "77000000-0000-4000-8000-0000000000{:02d}"\n')
QEMU = ('user = "root"\ngroup = "root"\nsecurity_driver = "none"\ncgroup_controllers = []\n'
        'namespaces = []\nstdio_handler = "file"\nremember_owner = 0\n')
#: lvcreate asks before it wipes the boot sector of the volume that was there before.
LVM = ('devices {\n    global_filter = [ %s ]\n}\n'
       'allocation {\n    wipe_signatures_when_zeroing_new_lvs = 0\n}\n')
MULTIPATH = ('defaults {\n    find_multipaths no\n    user_friendly_names no\n}\n'
             'blacklist {\n    devnode "^vd"\n}\n')
SSHD = ('PermitRootLogin prohibit-password\nUsePAM no\nUseDNS no\nMaxSessions 100\n'
        'HostKey /etc/ssh/ssh_host_ed25519_key\nSubsystem sftp internal-sftp\n')


def files(name: str, armed: bool, bandwidth: int) -> Files:
    """The files of a machine: path -> (content, mode)."""
    role = 'compute' if name in places.COMPUTES else 'storage'
    account, service = (('nova', 'nova-compute') if role == 'compute'
                        else ('cinder', 'cinder-volume'))
    found: Files = {}

    def put(path: str, content: str | bytes, mode: int = 0o644) -> None:
        found[path] = (content.encode() if isinstance(content, str) else content, mode)

    for part in ('start', 'service', role):
        put(f'opt/cloud/{part}', (HERE / 'guest' / part).read_bytes(), 0o755)
    put('usr/bin/systemd-run', (STORAGE / 'systemd-run').read_bytes(), 0o755)
    put('opt/cloud/machine', machine(name, role, account, service))
    put('etc/hosts', ''.join(f'{address} {host}\n' for host, address in (
        ('localhost', '127.0.0.1'), ('control', places.CONTROL),
        *((one, places.address(one)) for one in places.MACHINES))))
    put('etc/multipath.conf', MULTIPATH)
    put('etc/iscsi/initiatorname.iscsi',
        f'InitiatorName=iqn.1993-08.org.debian:01:{name}\n')
    put('etc/ssh/sshd_config', SSHD)
    keys = places.part('keys')
    put('etc/ssh/ssh_host_ed25519_key', (keys / 'host').read_bytes(), 0o600)
    # the package has made keys of its own, and sshd takes no key beside the other's public part
    put('etc/ssh/ssh_host_ed25519_key.pub', (keys / 'host.pub').read_bytes())
    put('root/.ssh/authorized_keys', (keys / 'admin.pub').read_bytes(), 0o600)
    put(f'etc/sudoers.d/{account}',
        f'{account} ALL = (root) NOPASSWD: {ROOTWRAP[role]} '
        f'/etc/{account}/rootwrap.conf *\n', 0o440)
    for path in sorted((places.ETC / account).rglob('*')):
        if path.is_file():
            put(f'etc/{account}/{path.relative_to(places.ETC / account)}', path.read_bytes())
    brick = places.ETC / 'os-brick' / 'rootwrap.d' / 'os-brick.filters'
    put(f'etc/{account}/rootwrap.d/os-brick.filters', brick.read_bytes())
    put(f'etc/{account}/{account}.conf', configs.render(
        configs.compute(name, armed, bandwidth) if role == 'compute'
        else configs.volume(name, armed)))
    if role == 'compute':
        put('etc/libvirt/libvirtd.conf', LIBVIRTD.format(places.MACHINES[name]))
        put('etc/libvirt/qemu.conf', QEMU)
        # a resize looks at the other host by ssh
        put('var/lib/nova/.ssh/id_ed25519', (keys / 'admin').read_bytes(), 0o600)
        put('var/lib/nova/.ssh/authorized_keys', (keys / 'admin.pub').read_bytes(), 0o600)
        put('var/lib/nova/.ssh/config', 'StrictHostKeyChecking no\nLogLevel ERROR\n', 0o600)
    else:
        put(ROOTWRAP[role].lstrip('/'), (HERE / 'guest' / 'cinder-rootwrap').read_bytes(), 0o755)
        put('opt/cloud/rootwrap.py', (HERE / 'guest' / 'rootwrap.py').read_bytes())
        for part in ('forker.py', 'places.py'):
            put(f'opt/cloud/{part}', (STORAGE / part).read_bytes())
    put('etc/lvm/lvmlocal.conf', LVM % (
        '"r|/dev/vd|"' if role == 'compute' else '"a|^/dev/vd[bc]$|", "r|.*|"'))
    return found


def machine(name: str, role: str, account: str, service: str) -> str:
    """What the machine is told of itself, for its shell."""
    macs = ' '.join(places.mac(name, bridge) for bridge in places.BRIDGES)
    addresses = ' '.join(places.address(name, bridge) for bridge in places.BRIDGES)
    return (f'NAME={name}\nROLE={role}\nACCOUNT={account}\nSERVICE={service}\n'
            f'ADDRESSES="{addresses}"\nMACS=({macs})\n')


def tar(found: Files, trees: dict[str, pathlib.Path]) -> bytes:
    """The same as an archive.

    :param trees: directories of the machine -> whose content goes there
    """
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode='w') as archive:
        for path, (content, mode) in found.items():
            info = tarfile.TarInfo(path)
            info.size, info.mode = len(content), mode
            archive.addfile(info, io.BytesIO(content))
        for where, tree in trees.items():
            archive.add(tree, where)
    return data.getvalue()


def installed() -> pathlib.Path:
    """migsafe as a deployer installs it: a wheel of this tree, put into a directory by pip."""
    target = places.part('wheel') / 'installed'
    shutil.rmtree(target, ignore_errors=True)
    with tempfile.TemporaryDirectory() as name:
        processes.run(str(places.BIN / 'python'), '-m', 'pip', 'wheel', '--quiet', '--no-deps',
                      '--no-build-isolation', '--wheel-dir', name, str(REPOSITORY))
        processes.run(str(places.BIN / 'python'), '-m', 'pip', 'install', '--quiet', '--no-deps',
                      '--target', str(target),
                      *map(str, pathlib.Path(name).glob('*.whl')))
    for script in (target / 'bin').iterdir():
        script.write_text('\n'.join(['#!/usr/bin/python3',
                                     *script.read_text().split('\n')[1:]]))
        script.chmod(0o755)
    return target
