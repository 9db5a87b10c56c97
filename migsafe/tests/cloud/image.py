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
"""The disk of the cloud's virtual machines; the storage tier's builder makes it.

One image for all of them: which services a machine runs is said by the files that it is given
when it boots.
"""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys

from migsafe.tests.cloud import places, processes
from migsafe.tests.storage import image

#: What the log of the builder says if there will be no image.
FAILED = 'NO IMAGE:'
PACKAGES = (
    *image.PACKAGES, 'dmidecode', 'dosfstools', 'genisoimage', 'libvirt-clients', 'libvirt-daemon',
    'libvirt-daemon-driver-qemu', 'openssh-server', 'python3-libvirt', 'qemu-system-x86',
    'qemu-utils', 'seabios', 'sudo', 'tcpdump', 'uuid-runtime')
#: migsafe itself comes with each boot, its requirements do not.
REQUIRED = tuple(
    re.split('[<>=!~]', line)[0]
    for line in (pathlib.Path(__file__).parents[3] / 'requirements.txt').read_text().splitlines()
    if line and not line.startswith('#'))
DISTRIBUTIONS = tuple(dict.fromkeys(
    ('nova', 'cinder', 'openstacksdk', 'PyMySQL', 'python-cinderclient', *REQUIRED)))
RECIPE = image.Recipe('cloud', PACKAGES, DISTRIBUTIONS, 'usr/local/lib/python3.11/dist-packages',
                      ('ovs',), '6G', 'has_journal')


def build() -> pathlib.Path:
    """Its directory: disk.img, vmlinuz and boot/; made unless it is there."""
    return image.build(RECIPE)


def start() -> None:
    """Make it beside all else, from outside of the cloud's namespaces: from there APT is reached.

    Its output is in log/image.log.
    """
    with (places.part('log') / 'image.log').open('ab') as log:
        subprocess.Popen([sys.executable, '-m', __name__], stdin=subprocess.DEVNULL,
                         stdout=log, stderr=log)


def wait() -> None:
    """Until it is there.

    :raises processes.Failed: it could not be made
    """
    log = places.part('log') / 'image.log'
    processes.until(lambda: image.directory(RECIPE).is_dir() or FAILED in log.read_text(),
                    processes.SLOW, f'the image; see {log}')
    if not image.directory(RECIPE).is_dir():
        raise processes.Failed(f'the image was not made: see {log}')


if __name__ == '__main__':
    try:
        print(build())
    except (OSError, image.NotBuilt, subprocess.CalledProcessError) as error:
        print(FAILED, error, flush=True)
        raise
