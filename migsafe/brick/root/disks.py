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
"""What the helper asks of disks: whether somebody has a claim, and who they are.

It takes kernel names of disks and nothing else, and opens the nodes of the kernel alone. See
migsafe.brick.root.privileged for who may call it.
"""

from __future__ import annotations

import errno
import functools
import os
from collections.abc import Sequence
from typing import Any

from migsafe.brick import errors
from migsafe.brick.identity import inquiry
from migsafe.brick.kernel import bounded, nodes
from migsafe.brick.kernel import sysfs as kernel_sysfs

#: The disk does not answer because it is offline or gone: there is nobody to ask.
DEAD = (errno.ENXIO, errno.ENODEV)
#: Seconds for a disk to be opened, and to answer before it is removed. A healthy array takes
#: milliseconds, and the detach of a dead disk must not take long.
ANSWER = 1.0
#: The same for one that did not answer the last time: with many paths it adds up.
AGAIN = 0.2
#: No question waits longer, whoever asks.
LONGEST = 10.0
#: States of a SCSI disk and of an NVMe controller in which a command comes back: any other holds
#: it until the transport gives up (scsi_device_state_check() in drivers/scsi/scsi_lib.c).
_ANSWERING = frozenset(('', 'running', 'live'))
#: Kernel names of the disks that did not answer in time when they were asked last.
_SILENT: set[str] = set()


def looked(name: str, exclusive: bool, dev: str = '/dev', sys: str = '/sys') -> dict[str, Any]:
    """See privileged.look().

    :returns: ``state`` free, busy, dead, silent or unknown; ``identity`` if it answered;
        ``reason``
    """
    if not exclusive:
        return asked([name], ANSWER, dev, sys)[name]
    try:
        os.close(opened(name, dev, sys))
    except OSError as error:
        return _failed(error)
    except bounded.Silent:
        return _answer('unknown', f'the kernel has not opened it within {ANSWER:g} s')
    # a map without paths that queues would never answer: only the claim is asked of it
    return _answer('free')


def asked(names: Sequence[str], seconds: float, dev: str = '/dev',
          sys: str = '/sys') -> dict[str, dict[str, Any]]:
    """See privileged.ask(). A disk that holds its commands back is not asked.

    :returns: name -> see looked()
    """
    found: dict[str, dict[str, Any]] = {}
    seconds = min(seconds, LONGEST)
    for name in names:
        if not kernel_sysfs.NAME.match(name):
            found[name] = _answer('unknown', 'no name of a block device')
        elif (state := _state(name, sys)) not in _ANSWERING:
            found[name] = _answer('silent', f'the kernel has it as {state}')
    answers = bounded.ask({('identity', name): functools.partial(_asked, name, dev, sys)
                           for name in names if name not in found}, seconds)
    for name in names:
        if name in found:
            continue
        answer = answers['identity', name]
        (_SILENT.add if isinstance(answer, bounded.Silent) else _SILENT.discard)(name)
        found[name] = (_answer('silent', f'no answer within {seconds:g} s')
                       if isinstance(answer, bounded.Silent) else
                       _failed(answer) if isinstance(answer, OSError) else
                       _answer('unknown', str(answer)) if isinstance(answer, Exception) else
                       answer)
    return found


def _asked(name: str, dev: str, sys: str) -> dict[str, Any]:
    fd = nodes.opened(name, False, dev, sys)
    try:
        return _answer('free') | {'identity': sorted(inquiry.identity(fd, name))}
    except OSError as error:
        return _answer('free', str(error))
    except errors.BadPage as error:
        return _answer('free', str(error)) | {'bad': True}
    finally:
        os.close(fd)


def patience(name: str) -> float:
    """Seconds for a disk to answer that is about to be removed."""
    return AGAIN if name in _SILENT else ANSWER


def opened(name: str, dev: str, sys: str) -> int:
    """A disk that is open for this daemon alone.

    :raises bounded.Silent: if the kernel takes its time
    """
    found: int = bounded.one(
        ('claim', name), functools.partial(nodes.opened, name, True, dev, sys), ANSWER, os.close)
    return found


def _state(name: str, sys: str) -> str:
    try:
        return kernel_sysfs.Sysfs(sys).attribute(name, 'device', 'state')
    except (kernel_sysfs.Gone, errors.Unsure):
        # to open it will tell more
        return ''


def _answer(state: str, reason: str = '') -> dict[str, Any]:
    return {'state': state, 'identity': [], 'reason': reason}


def _failed(error: OSError) -> dict[str, Any]:
    return _answer('busy' if error.errno == errno.EBUSY else
                   'dead' if error.errno in DEAD else 'unknown', why(error))


def why(error: OSError | bounded.Silent) -> str:
    """In words, for a disk that could not be opened."""
    if isinstance(error, bounded.Silent):
        return f'the kernel has not opened it within {ANSWER:g} s'
    return error.strerror or str(error)
