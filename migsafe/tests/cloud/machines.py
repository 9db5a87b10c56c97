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
"""The virtual machines: each a QEMU process, with a disk of its own that outlives it.

What a machine has written is in the host's page cache the moment it is written, so that to kill
QEMU is what a power cut is for it: what its kernel had not written yet is lost, and no more.
"""

from __future__ import annotations

import io
import os
import pathlib
import shlex
import signal
import subprocess
import tempfile

from migsafe.tests.cloud import image, payload, places, processes
from migsafe.tests.storage import qemu

MEMORY = {'cmp1': 1536, 'cmp2': 1536, 'array': 1024}
DATA_SIZE = 200 << 30
KERNEL = ('console=ttyS0 quiet mitigations=off init_on_alloc=0 hardened_usercopy=off lsm= audit=0 '
          'no_timer_check tsc=reliable panic=-1')


def prepare(armed: bool, bandwidth: int) -> None:
    """Disks and what each machine boots."""
    made = image.build()
    keys = places.part('keys')
    for name in ('admin', 'host'):
        if not (keys / name).exists():
            processes.run('ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', str(keys / name))
    wheel = payload.installed()
    for name in places.MACHINES:
        place = _place(name)
        archive = payload.tar(payload.files(name, armed, bandwidth),
                              {image.RECIPE.python: wheel})
        (place / 'initrd').write_bytes(_initrd(made / 'boot', archive))
        processes.run('cp', '--sparse=always', str(made / 'disk.img'), str(place / 'root.img'))
        if name in places.STORAGE:
            for data in ('data', 'copies'):
                with (place / f'{data}.img').open('wb') as disk:
                    disk.truncate(DATA_SIZE)


def power_on(name: str) -> None:
    """Start a machine; its console goes to log/NAME.log.

    A plain processor takes a quarter less time than "max": what that has to offer is emulated too.
    """
    place, made = _place(name), image.build()
    command = [qemu.BINARY, '-accel', 'tcg', '-cpu', 'qemu64', '-smp', '1',
               '-machine', 'pc', '-m', str(MEMORY[name]), '-nodefaults', '-no-user-config',
               '-display', 'none', '-no-reboot', '-device', 'virtio-rng-pci', '-serial', 'stdio',
               '-kernel', str(made / 'vmlinuz'), '-initrd', str(place / 'initrd'),
               '-append', KERNEL]
    for bridge in places.BRIDGES:
        command += ['-netdev', f'tap,id={bridge},ifname={bridge}-{name},script=no,downscript=no',
                    '-device', f'virtio-net-pci,netdev={bridge},mac={places.mac(name, bridge)}']
    for disk in sorted(place.glob('*.img'), reverse=True):
        command += ['-drive', f'file={disk},format=raw,if=virtio,cache=unsafe']
    processes.start(name, command)


def power_off(name: str) -> None:
    """Pull its plug."""
    processes.end(name, signal.SIGKILL)


def ready(name: str) -> bool:
    """Whether its services were started since it was switched on."""
    done = subprocess.run([*ssh(name), 'test -e /run/cloud.ready'], check=False,
                          capture_output=True, stdin=subprocess.DEVNULL)
    return done.returncode == 0


def reachable(name: str) -> bool:
    """Whether it is switched on and has started its services."""
    return processes.pid(name) is not None and ready(name)


def run(name: str, command: str, input: bytes | None = None, check: bool = True) -> str:
    """Run a shell command as root on a machine.

    :raises processes.Failed: with its output
    """
    done = subprocess.run([*ssh(name), command], input=input, capture_output=True, check=False)
    if check and done.returncode:
        raise processes.Failed(f'{name}: {command}: exit code {done.returncode}: '
                               f'{(done.stdout + done.stderr).decode(errors="replace")[-1500:]}')
    return done.stdout.decode(errors='replace')


def python(name: str, program: str) -> str:
    """Run a program of Python as root on a machine."""
    return run(name, f'python3 -c {shlex.quote(program)}')


def write(name: str, path: str, content: str) -> None:
    """Write a file on a machine."""
    run(name, f'cat > {shlex.quote(path)}', content.encode())


def ssh(name: str) -> list[str]:
    """The command that reaches a machine; connections are kept."""
    keys = places.part('keys')
    options = {'IdentityFile': keys / 'admin', 'StrictHostKeyChecking': 'no',
               'UserKnownHostsFile': '/dev/null', 'LogLevel': 'ERROR', 'ControlMaster': 'auto',
               'ControlPath': places.part('run') / f'ssh-{name}', 'ControlPersist': 'yes',
               'ConnectTimeout': 60, 'ServerAliveInterval': 15, 'BatchMode': 'yes'}
    return ['ssh', '-F', 'none', *(f'-o{key}={value}' for key, value in options.items()),
            f'root@{places.address(name)}']


def service(name: str, what: str) -> str:
    """start, stop or kill the service of a machine; "" for the numbers of its processes."""
    return run(name, f'/opt/cloud/service {what}', check=what in ('start', 'stop'))


def forget(name: str) -> None:
    """Drop the kept connection to a machine that was switched off."""
    subprocess.run([*ssh(name)[:-1], '-O', 'exit', ssh(name)[-1]], check=False,
                   capture_output=True)


def _place(name: str) -> pathlib.Path:
    return places.part(f'machines/{name}')


def _initrd(boot: pathlib.Path, archive: bytes) -> bytes:
    with tempfile.TemporaryDirectory() as name:
        root = pathlib.Path(name)
        for path in boot.iterdir():
            (root / path.name).write_bytes(path.read_bytes())
        (root / 'busybox').chmod(0o755)
        (root / 'init').write_bytes((payload.HERE / 'guest' / 'boot').read_bytes())
        (root / 'init').chmod(0o755)
        (root / 'payload.tar').write_bytes(archive)
        names = '\n'.join(sorted(os.listdir(root)))
        return subprocess.run(('cpio', '--quiet', '-o', '-H', 'newc'), cwd=root, check=True,
                              input=names.encode(), capture_output=True).stdout


def console(name: str, length: int = 3000) -> str:
    """The end of what a machine said on its console."""
    with (places.part('log') / f'{name}.log').open('rb') as log:
        log.seek(max(0, log.seek(0, io.SEEK_END) - length))
        return log.read().decode(errors='replace')
