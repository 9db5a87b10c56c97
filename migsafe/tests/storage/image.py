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
"""The disks that the virtual machines of the storage and the cloud tests run from.

``python -m migsafe.tests.storage.image`` builds the former, as root, from the machine's own APT
sources; the tests themselves download nothing. What differs between the two is a ``Recipe``.
Debian packages that the host needs:

    qemu-system-x86 mmdebstrap e2fsprogs cpio debian-archive-keyring
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
from concurrent import futures

from migsafe import version

SUITE = 'bookworm'
#: What is in the guest. lvm2 brings dmsetup, systemd is there for its udev rules alone.
PACKAGES = (
    'busybox-static', 'cryptsetup-bin', 'dbus', 'dmsetup', 'e2fsprogs', 'fdisk', 'iproute2',
    'kmod', 'kpartx', 'lsscsi', 'lvm2', 'mdadm', 'mount', 'multipath-tools', 'nvme-cli',
    'open-iscsi', 'procps', 'python3', 'python3-rtslib-fb', 'sg3-utils', 'sg3-utils-udev',
    'systemd', 'udev', 'util-linux')
#: Its flavour for clouds is the smallest that has LIO, device-mapper and NVMe over TCP.
KERNEL = 'linux-image-cloud-amd64'
#: Debian's kernel has these as modules, and there is no root file system without them.
BOOT_MODULES = ('virtio_pci', 'virtio_blk', 'overlay')
#: The Python of the suite.
PYTHON = '3.11'
_LEFT_OUT = ('doc', 'man', 'locale', 'info')


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What an image is made of.

    :param name: what its directory begins with
    :param packages: of Debian
    :param distributions: of PyPI, in the versions that run the tests
    :param python: where these are put in the image; what Debian's Python looks at by itself is
        for programs that are started with an empty environment
    :param built: those of what they need that PyPI has no wheel of
    :param size: of a sparse file, as mke2fs takes it
    :param features: of ext4, as mke2fs takes them
    """

    name: str
    packages: tuple[str, ...]
    distributions: tuple[str, ...]
    python: str
    built: tuple[str, ...]
    size: str
    features: str


STORAGE = Recipe('image', PACKAGES, ('os-brick', 'cinder', 'python-cinderclient'), 'opt/brick',
                 (), '1500M', '^has_journal')


class NotBuilt(Exception):
    """The image, or something that it is made with, is not there."""


def cache() -> pathlib.Path:
    """Where images and snapshots are kept."""
    default = pathlib.Path.home() / '.cache' / 'migsafe' / 'storage'
    return pathlib.Path(os.environ.get('MIGSAFE_STORAGE_CACHE') or default)


def digest(*parts: str | bytes) -> str:
    """A short name for all that something is made of."""
    whole = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        whole.update(b'%d:' % len(data) + data)
    return whole.hexdigest()[:16]


def kernel() -> tuple[str, str]:
    """(package, version) of the kernel that APT would install now."""
    out = _output('apt-cache', 'depends', '--important', KERNEL)
    names = [line.split()[-1] for line in out.splitlines() if 'Depends: linux-image-' in line]
    if not names:
        raise NotBuilt(f'APT knows no {KERNEL}; see "apt-cache policy {KERNEL}"')
    shown = _output('apt-cache', 'show', '--no-all-versions', names[0])
    return names[0], shown.split('\nVersion: ')[1].splitlines()[0]


def directory(recipe: Recipe = STORAGE) -> pathlib.Path:
    """Where the image of this day's packages is, or will be."""
    versions = (importlib.metadata.version(name) for name in recipe.distributions)
    key = digest(SUITE, repr(recipe), *kernel(), PYTHON, *versions,
                 pathlib.Path(__file__).read_bytes())
    return cache() / f'{recipe.name}-{key}'


def ready() -> pathlib.Path:
    """The directory of the storage tests' image.

    :raises NotBuilt: if nobody has built it
    """
    found = directory()
    if not found.is_dir():
        raise NotBuilt(f'{found} is not there; "python -m {__spec__.name}" as root makes it')
    return found


def build(recipe: Recipe = STORAGE) -> pathlib.Path:
    """Build an image, unless it is there.

    :returns: its directory: disk.img, vmlinuz, boot/ with busybox and the modules for the initrd
    """
    target = directory(recipe)
    if target.is_dir():
        return target
    cache().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache()) as name:
        top = pathlib.Path(name)
        root, made = top / 'root', top / 'made'
        made.mkdir()
        with futures.ThreadPoolExecutor() as both:
            for done in (both.submit(_python, recipe, top / 'python', top),
                         both.submit(_debian, recipe, root, top)):
                done.result()
        shutil.copytree(top / 'python', root / recipe.python, dirs_exist_ok=True)
        version = _kernel(root, top, made)
        _boot(root, made / 'boot', version)
        _run('mke2fs', '-q', '-t', 'ext4', '-O', recipe.features, '-m', '0', '-d', str(root),
             str(made / 'disk.img'), recipe.size)
        made.rename(target)
    return target


def _debian(recipe: Recipe, root: pathlib.Path, top: pathlib.Path) -> None:
    apt = top / 'apt.conf'
    # a proxy is a matter of the machine; hooks of its APT are not for another root
    apt.write_text(''.join(
        f'{line}\n' for line in _output('apt-config', 'dump').splitlines()
        if line.startswith('Acquire::http') and not line.endswith('"";')))
    places = (pathlib.Path('/etc/apt/sources.list'),
              *sorted(pathlib.Path('/etc/apt/sources.list.d').glob('*.list')),
              *sorted(pathlib.Path('/etc/apt/sources.list.d').glob('*.sources')))
    sources = [str(path) for path in places if path.is_file() and SUITE in path.read_text()]
    _run('mmdebstrap', '--quiet', '--variant=minbase', f'--include={",".join(recipe.packages)}',
         f'--aptopt={apt}',
         *(f'--dpkgopt=path-exclude=/usr/share/{what}/*' for what in _LEFT_OUT),
         SUITE, str(root), *sources)


def _python(recipe: Recipe, where: pathlib.Path, top: pathlib.Path) -> None:
    """The distributions and what they need, of the versions that run the tests."""
    pins = top / 'pins.txt'
    pins.write_text(''.join(
        f'{found.metadata["Name"]}=={found.version}\n'
        for found in importlib.metadata.distributions()
        if found.metadata['Name'] != version.DISTRIBUTION))
    wheels = top / 'wheels'
    wheels.mkdir()
    if recipe.built:
        _run(sys.executable, '-m', 'pip', 'wheel', '--quiet', '--no-deps', '--wheel-dir',
             str(wheels), '--constraint', str(pins), *recipe.built)
    _run(sys.executable, '-m', 'pip', 'install', '--quiet', '--only-binary=:all:',
         '--find-links', str(wheels), '--python-version', PYTHON, '--target', str(where),
         '--constraint', str(pins), *recipe.distributions)
    for tests in where.glob('*/tests'):
        if tests.parent.name in recipe.distributions:
            shutil.rmtree(tests)
    for script in (where / 'bin').iterdir():
        # pip writes the Python that it runs with, which is not the image's
        if script.is_file() and (text := script.read_bytes()).startswith(b'#!'):
            script.write_bytes(b'#!/usr/bin/python3\n' + text.split(b'\n', 1)[1])


def _kernel(root: pathlib.Path, top: pathlib.Path, made: pathlib.Path) -> str:
    name, version = kernel()
    _run('apt-get', '-qq', '-o', 'APT::Sandbox::User=root', 'download', f'{name}={version}',
         cwd=str(top))
    _run('dpkg-deb', '-x', str(next(top.glob('*.deb'))), str(top / 'kernel'))
    release = name.removeprefix('linux-image-')
    shutil.copy(top / 'kernel' / 'boot' / f'vmlinuz-{release}', made / 'vmlinuz')
    shutil.copytree(top / 'kernel' / 'lib' / 'modules', root / 'usr' / 'lib' / 'modules')
    _run('chroot', str(root), 'depmod', release)
    return release


def _boot(root: pathlib.Path, boot: pathlib.Path, release: str) -> None:
    """What the initrd is made of, with the modules in the order in which they load."""
    boot.mkdir()
    shutil.copy(root / 'usr' / 'bin' / 'busybox', boot)
    order = []
    for name in BOOT_MODULES:
        shown = _output('chroot', str(root), 'modprobe', '-S', release, '--show-depends', name)
        order += [line.split()[1] for line in shown.splitlines() if line.startswith('insmod')]
    for path in dict.fromkeys(order):
        shutil.copy(root / path.lstrip('/'), boot)
    names = [pathlib.Path(path).name for path in dict.fromkeys(order)]
    (boot / 'modules').write_text('\n'.join(names) + '\n')


def _run(*command: str, cwd: str | None = None) -> None:
    subprocess.run(command, check=True, cwd=cwd, stdin=subprocess.DEVNULL)


def _output(*command: str) -> str:
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise NotBuilt(f'{command[0]}: {error}') from error


if __name__ == '__main__':
    print(build())
