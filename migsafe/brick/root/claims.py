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
"""What the helper does to disks: keep everybody else from them, and remove them.

It takes kernel names of disks and numbers of claims. See migsafe.brick.root.privileged for who may
call it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import itertools
import math
import os
import time
from typing import Any

from migsafe.brick import errors
from migsafe.brick.identity import designators, noted
from migsafe.brick.kernel import bounded, openers
from migsafe.brick.kernel import sysfs as kernel_sysfs
from migsafe.brick.root import disks

#: Seconds for which one look at all disks of a claim is good: with thousands of processes it takes
#: as long, and a volume has many paths.
FRESH = 0.5


@dataclasses.dataclass
class _Claim:
    """Disks that nobody else can claim.

    :param disks: kernel name -> descriptor; -1 for one that is dead, which nobody can claim
    :param looked: when it was seen that nobody has one of them open
    """

    disks: dict[str, int]
    looked: float = -math.inf

    def give_up(self, name: str) -> None:
        """Somebody else may claim it."""
        if (fd := self.disks.pop(name)) >= 0:
            os.close(fd)

    def close(self) -> None:
        """Somebody else may claim any of them."""
        for name in list(self.disks):
            self.give_up(name)


#: The claims that are held, by their numbers.
_CLAIMS: dict[int, _Claim] = {}
_NUMBERS = itertools.count(1)


def claimed(names: list[str], dev: str = '/dev', sys: str = '/sys') -> dict[str, Any]:
    """See privileged.claim(). The claims end with the daemon at the latest.

    :returns: ``done`` and ``claim``; else the ``name`` of one that is not to be had, and a
        ``reason``. What is dead is claimed by nobody
    """
    number, fds = next(_NUMBERS), dict.fromkeys(names, -1)
    with contextlib.ExitStack() as unless_all:
        for name in names:
            try:
                if not kernel_sysfs.NAME.match(name):
                    raise OSError(errno.EINVAL, 'no name of a block device')
                fds[name] = disks.opened(name, dev, sys)
                unless_all.callback(os.close, fds[name])
            except (OSError, bounded.Silent) as error:
                if not isinstance(error, OSError) or error.errno not in disks.DEAD:
                    return {'done': False, 'name': name, 'reason': disks.why(error)}
        _CLAIMS[number] = _Claim(fds)
        unless_all.pop_all()
    return {'done': True, 'claim': number}


def let_go(number: int) -> None:
    """See privileged.let_go()."""
    _CLAIMS.pop(number, _Claim({})).close()


def removed(name: str, expected: designators.Identity, sys: str = '/sys',
            dev: str = '/dev', number: int = 0, proc: str = '/proc') -> dict[str, Any]:
    """See privileged.remove_scsi().

    The claim is held until the kernel has been told to delete the disk, so that no LVM, mount
    or map can come in between. It keeps away nobody who only opens the disk, as QEMU does: that
    nobody has one of the claim's disks open is what is looked at last.

    :returns: ``done``; else ``reason`` and, if it is another disk, its ``identity``, or if
        something uses one, the ``users``: [kernel name, what]
    """
    if not kernel_sysfs.NAME.match(name):
        return {'done': False, 'reason': 'no name of a block device'}
    claim = _CLAIMS.get(number)
    if claim is not None:
        return _removed(name, expected, claim, sys, dev, proc)
    with contextlib.closing(_Claim({})) as alone:
        return _removed(name, expected, alone, sys, dev, proc)


def _removed(name: str, expected: designators.Identity, claim: _Claim, sys: str, dev: str,
             proc: str) -> dict[str, Any]:
    sysfs = kernel_sysfs.Sysfs(sys)
    try:
        if claim.disks.get(name, -1) < 0:
            claim.disks[name] = disks.opened(name, dev, sys)
            # it is none of those that were looked at
            claim.looked = -math.inf
    except (OSError, bounded.Silent) as error:
        if not isinstance(error, OSError) or error.errno not in disks.DEAD:
            return {'done': False, 'reason': disks.why(error)}
        claim.disks[name] = -1
    try:
        found = _identity(name, sysfs, dev) if expected else frozenset()
        if designators.agree(found, expected) is False:
            return {'done': False, 'reason': 'another disk', 'identity': sorted(found)}
        if users := _users(claim, sysfs, dev, proc):
            words = '; '.join(what for _, what in users)
            return {'done': False, 'reason': f'in use: {words}', 'users': users}
    except (OSError, errors.BadPage, errors.Unsure) as error:
        return {'done': False, 'reason': str(error)}
    try:
        with open(os.path.join(sys, 'class', 'block', name, 'device', 'delete'), 'wb',
                  buffering=0) as stream:
            stream.write(b'1')
    except FileNotFoundError:
        if sysfs.exists(name):
            return {'done': False, 'reason': 'it cannot be deleted, being no SCSI disk or on its '
                                             'way out already'}
    except OSError as error:
        return {'done': False, 'reason': str(error)}
    claim.give_up(name)
    return {'done': True}


def _users(claim: _Claim, sysfs: kernel_sysfs.Sysfs, dev: str, proc: str) -> list[list[str]]:
    """Who has the disks of a claim open, unless that was looked at a moment ago.

    :raises OSError, errors.Unsure: if it is not to be found out
    """
    if time.monotonic() - claim.looked < FRESH:
        return []
    numbers = {}
    for name in claim.disks:
        with contextlib.suppress(kernel_sysfs.Gone):
            numbers[sysfs.number(name)] = name
    users = [[numbers[use.device], use.what]
             for use in openers.uses(numbers, proc, str(sysfs.root), dev)]
    claim.looked = -math.inf if users else time.monotonic()
    return users


def _identity(name: str, sysfs: kernel_sysfs.Sysfs, dev: str) -> designators.Identity:
    """Who a disk is. For a path that is failing the kernel's own note speaks, if it has one.

    :raises errors.BadPage: if it answers, and the answer is none
    """
    answer = disks.asked([name], disks.patience(name), dev, str(sysfs.root))[name]
    if answer.get('bad'):
        raise errors.BadPage(reason=answer['reason'])
    return frozenset(answer['identity']) or noted.noted(sysfs, name)
