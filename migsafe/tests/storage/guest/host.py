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
"""The host as its own tools show it: commands, block devices, whether one can be read."""

from __future__ import annotations

import errno
import glob
import os
import pathlib
import subprocess
import time
from collections.abc import Callable

#: Seconds after which a read counts as one that hangs.
PATIENCE = 20
#: Sessions that stand for Fibre Channel adapters; see fabric.py.
ADAPTERS: set[str] = set()


def run(*command: str, data: str | None = None, check: bool = True) -> str:
    """A command's output; with what it complained of if it fails."""
    done = subprocess.run(command, input=data, capture_output=True, text=True, timeout=300,
                          stdin=None if data else subprocess.DEVNULL)
    if check and done.returncode:
        raise RuntimeError(f'{command}: {done.returncode} {done.stdout} {done.stderr}')
    return done.stdout


def settle() -> None:
    """Until udev has nothing to do."""
    run('udevadm', 'settle', '--timeout=120')


def text(path: str) -> str:
    """A file's content."""
    return pathlib.Path(path).read_text()


def wait_for(seen: Callable[[], object]) -> None:
    """Until something is so."""
    end = time.monotonic() + PATIENCE
    while not seen():
        if time.monotonic() > end:
            raise RuntimeError(f'not so after {PATIENCE} s')
        time.sleep(0.1)


def label(path: str) -> str:
    """The label of the file system on a device, read from the device itself."""
    return run('blkid', '--probe', '--output', 'value', '--match-tag', 'LABEL', path).strip()


def devices() -> dict[str, str]:
    """name -> dm name, or size: all that is no disk of the virtual machine and no loop."""
    found = {}
    for path in glob.glob('/sys/class/block/*'):
        name = os.path.basename(path)
        if name.startswith(('vd', 'loop', 'ram')):
            continue
        dm_name = pathlib.Path(path, 'dm', 'name')
        # one that goes away meanwhile has no file any more, or one that cannot be read
        try:
            found[name] = (dm_name if dm_name.exists() else pathlib.Path(path, 'size')
                           ).read_text().strip()
        except OSError as error:
            # dm answers EINVAL for a map that is being removed
            if error.errno not in (errno.ENOENT, errno.ENODEV, errno.EINVAL):
                raise
    return dict(sorted(found.items()))


def wwids() -> dict[str, str]:
    """disk -> what sysfs holds for its identity, read when the disk was found."""
    return {path.split('/')[3]: pathlib.Path(path).read_text().strip()
            for path in sorted(glob.glob('/sys/block/sd*/device/wwid'))}


def controllers() -> dict[str, str]:
    """NVMe controller -> state."""
    return {path.split('/')[4]: pathlib.Path(path).read_text().strip()
            for path in sorted(glob.glob('/sys/class/nvme/nvme*/state'))}


def start_of(path: str) -> str:
    """What mark() has written, read from the disk itself."""
    return run('dd', f'if={path}', 'bs=512', 'count=1', 'iflag=direct').rstrip('\0')


def delete(path: str) -> None:
    """Have the kernel forget a disk, behind os-brick's back."""
    disk = os.path.basename(os.path.realpath(path))
    pathlib.Path('/sys/block', disk, 'device', 'delete').write_text('1\n')


def fail_path(disk: str) -> None:
    """As if the way to a disk were cut."""
    pathlib.Path('/sys/block', disk, 'device', 'state').write_text('offline\n')


def sessions() -> int:
    """How many iSCSI sessions there are, without those that stand for an adapter."""
    return len(set(os.listdir('/sys/class/iscsi_session')) - ADAPTERS)


def readable(path: str) -> str:
    """Whether a device can be read past the page cache: ok, error or hangs."""
    # a device of no size can be read without an error too
    return ended('sh', '-c', 'test 4096 = "$(dd if="$0" bs=4096 count=1 iflag=direct | wc -c)"',
                 path)


def ended(*command: str) -> str:
    """How a command ends: ok, error or hangs. Who sleeps in the kernel is not waited for."""
    child = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if child.poll() is not None:
            return 'error' if child.returncode else 'ok'
        time.sleep(0.1)
    child.kill()
    return 'hangs'
