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
"""The few things that only root can do, each a function of the privsep daemon.

They take kernel names and check them again: the other side of the socket is not root.
"""

from __future__ import annotations

import errno
import itertools
import os
import re
from typing import Any

from oslo_concurrency import processutils
from oslo_privsep import capabilities, priv_context

from migsafe.brick import errors
from migsafe.brick.identity import designators, inquiry
from migsafe.brick.kernel import kinds, openers
from migsafe.brick.kernel import sysfs as kernel_sysfs
from migsafe.text import masked

#: SYS_ADMIN: NVMe admin commands and device-mapper. SYS_PTRACE and DAC_READ_SEARCH: the open
#: files of processes that belong to other users.
default = priv_context.PrivContext(
    'migsafe.brick',
    cfg_section='migsafe_privileged',
    pypath=__name__ + '.default',
    capabilities=[capabilities.CAP_SYS_ADMIN, capabilities.CAP_SYS_PTRACE,
                  capabilities.CAP_DAC_READ_SEARCH],
)

_UUID = re.compile(r'[A-Za-z0-9_-]{1,128}\Z')
#: The disk does not answer because it is offline or gone: there is nobody to ask.
_DEAD = (errno.ENXIO, errno.ENODEV)
#: The claims that are held: number -> open disks.
_CLAIMS: dict[int, list[int]] = {}
_NUMBERS = itertools.count(1)


@default.entrypoint
def look(name: str, exclusive: bool) -> dict[str, Any]:
    """Open a disk as one that wants it alone, or open it and ask for its identity.

    :returns: see looked()
    """
    return looked(name, exclusive)


@default.entrypoint
def opened_by(numbers: list[str]) -> list[list[str]]:
    """[major:minor, what] of all that has some devices open, mounted, as swap or as a loop.

    :raises OSError: if that is not to be found out
    """
    uses = [*openers.mounts(numbers), *openers.swaps(numbers), *openers.loops(numbers),
            *openers.processes(numbers)]
    return [[use.device, use.what] for use in uses]


@default.entrypoint
def remove_scsi(name: str, expected: list[str]) -> dict[str, Any]:
    """Remove one SCSI disk from the kernel, if nothing claims it and it is the right one.

    :param expected: the volume's identity; empty if it is not known
    :returns: see removed()
    """
    return removed(name, designators.read(expected))


@default.entrypoint
def claim(names: list[str]) -> dict[str, Any]:
    """Keep everybody else from standing on some disks, until let_go().

    :returns: see claimed()
    """
    return claimed(names)


@default.entrypoint
def let_go(number: int) -> None:
    """Give up a claim.

    :param number: what claim() returned as ``claim``; another one does nothing
    """
    for fd in _CLAIMS.pop(number, []):
        os.close(fd)


@default.entrypoint
def remove_lv(name: str, uuid: str) -> dict[str, Any]:
    """Remove one logical volume's device-mapper table, by its uuid.

    :param name: kernel name, which must have that uuid
    :returns: ``done``; else ``reason``
    """
    if not kinds.lv_uuids(uuid) or not _UUID.match(uuid):
        return {'done': False, 'reason': 'that is not the uuid of a logical volume'}
    sysfs = kernel_sysfs.Sysfs()
    try:
        found = sysfs.attribute(name, 'dm', 'uuid')
        if found != uuid:
            return {'done': False, 'reason': f'{name} is another table now'}
        processutils.execute('dmsetup', 'remove', '--uuid', uuid)
    except kernel_sysfs.Gone:
        return {'done': True}
    except (OSError, errors.Unsure, processutils.ProcessExecutionError) as error:
        return {'done': False, 'reason': masked(error)}
    if sysfs.exists(name) and sysfs.attribute(name, 'dm', 'uuid') == uuid:
        return {'done': False, 'reason': 'it is still there, or it came back at once'}
    return {'done': True}


def looked(name: str, exclusive: bool, dev: str = '/dev', sys: str = '/sys') -> dict[str, Any]:
    """What look() does, without the daemon.

    :returns: ``state`` free, busy, dead or unknown; ``identity`` if it answered; ``reason``
    """
    if not kernel_sysfs.NAME.match(name):
        return {'state': 'unknown', 'identity': [], 'reason': 'no name of a block device'}
    try:
        fd = inquiry.opened(name, exclusive, dev, sys)
    except OSError as error:
        state = ('busy' if error.errno == errno.EBUSY else
                 'dead' if error.errno in _DEAD else 'unknown')
        return {'state': state, 'identity': [], 'reason': error.strerror or str(error)}
    try:
        # a map without paths that queues would never answer: only the claim is asked of it
        found = frozenset() if exclusive else inquiry.identity(fd, name)
        return {'state': 'free', 'identity': sorted(found), 'reason': ''}
    except (OSError, errors.BadPage) as error:
        return {'state': 'free', 'identity': [], 'reason': str(error)}
    finally:
        os.close(fd)


def claimed(names: list[str], dev: str = '/dev', sys: str = '/sys') -> dict[str, Any]:
    """What claim() does, without the daemon. The claims end with the daemon at the latest.

    :returns: ``done`` and ``claim``; else the ``name`` of one that is not to be had, and a
        ``reason``. What is dead is claimed by nobody
    """
    number, fds = next(_NUMBERS), []
    for name in names:
        try:
            if not kernel_sysfs.NAME.match(name):
                raise OSError(errno.EINVAL, 'no name of a block device')
            fds.append(inquiry.opened(name, True, dev, sys))
        except OSError as error:
            if error.errno not in _DEAD:
                for fd in fds:
                    os.close(fd)
                return {'done': False, 'name': name, 'reason': error.strerror or str(error)}
    _CLAIMS[number] = fds
    return {'done': True, 'claim': number}


def removed(name: str, expected: designators.Identity, sys: str = '/sys',
            dev: str = '/dev') -> dict[str, Any]:
    """What remove_scsi() does, without the daemon.

    The claim is held until the kernel has been told to delete the disk, so that no LVM, mount
    or map can come in between.

    :returns: ``done``; else ``reason`` and, if it is another disk, its ``identity``
    """
    if not kernel_sysfs.NAME.match(name):
        return {'done': False, 'reason': 'no name of a block device'}
    delete = os.path.join(sys, 'class', 'block', name, 'device', 'delete')
    try:
        fd = inquiry.opened(name, True, dev, sys)
    except OSError as error:
        if error.errno not in _DEAD:
            return {'done': False, 'reason': error.strerror or str(error)}
        fd = -1
    try:
        found = _identity(fd, name) if fd >= 0 and expected else frozenset()
        if designators.agree(found, expected) is False:
            return {'done': False, 'reason': 'another disk', 'identity': sorted(found)}
        with open(delete, 'wb', buffering=0) as stream:
            stream.write(b'1')
    except FileNotFoundError:
        if kernel_sysfs.Sysfs(sys).exists(name):
            return {'done': False, 'reason': 'it cannot be deleted, being no SCSI disk or on its '
                                             'way out already'}
    except (OSError, errors.BadPage) as error:
        return {'done': False, 'reason': str(error)}
    finally:
        if fd >= 0:
            os.close(fd)
    return {'done': True}


def _identity(fd: int, name: str) -> designators.Identity:
    """Who a disk is; a path that is failing does not say, and has to go like any other."""
    try:
        return inquiry.identity(fd, name)
    except OSError:
        return frozenset()
