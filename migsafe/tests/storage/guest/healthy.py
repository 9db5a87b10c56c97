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
"""Volumes that nobody uses come and go, on a host where everything looks at disks all the time."""

from __future__ import annotations

import contextlib
import os
import pathlib
import random
import signal
import subprocess
from collections.abc import Iterator
from typing import Any

import host
import lab
import things

Found = dict[str, Any]
#: What runs beside them; each for as long as it takes, again and again.
BESIDE = (
    'udevadm trigger --action=change --subsystem-match=block; udevadm settle --timeout=5',
    'pvs; vgs; lvs', 'pvscan --cache -aay', 'lsblk --output-all', 'blkid',
    'multipathd reconfigure', 'multipath -ll')
#: Seconds between the end of one and its next begin: the processor of the guest is slow.
PAUSES = (4, 12)


@contextlib.contextmanager
def beside(seed: str) -> Iterator[dict[str, int]]:
    """All of these at once, and then with pauses that are drawn for each.

    :returns: how often each has come to its end; to be read afterwards
    """
    children, logs = [], [pathlib.Path(f'/run/beside-{number}') for number in range(len(BESIDE))]
    for number, command in enumerate(BESIDE):
        pause = random.Random(f'{seed} {number}').uniform(*PAUSES)
        children.append(subprocess.Popen(
            ('sh', '-c', f'while :; do {command}; echo >&3; sleep {pause:.2f}; done '
                         f'>/dev/null 2>&1 3>{logs[number]}'),
            stdin=subprocess.DEVNULL, start_new_session=True))
    ended: dict[str, int] = {}
    try:
        yield ended
    finally:
        for child in children:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        ended |= {command: len(log.read_bytes())
                  for command, log in zip(BESIDE, logs, strict=True)}


def _round(brick: Any, properties: Found) -> Found:
    """One of them: how the connect went wrong, or else how the disconnect went."""
    came = lab.attempt(lambda: brick.connect_volume(properties))
    return came if came['error'] else lab.attempt(
        lambda: brick.disconnect_volume(properties, came['value']))


def rounds(count: int, seed: str, multipath: bool = False) -> Found:
    """Attach and detach, over iSCSI or NVMe as it is drawn.

    :param multipath: whether the host has it, for both
    :returns: how often over which, what went wrong, in which round, and what ran beside them
    """
    draw = random.Random(seed)
    bricks = {protocol: lab.brick(multipath, protocol) for protocol in ('ISCSI', 'NVMEOF')}
    done: dict[str, int] = {}
    wrong: list[Found] = []
    slowest = 0.0
    with beside(seed) as ended:
        for number in range(count):
            protocol = draw.choice(sorted(bricks))
            properties = (lab.nvme_properties(draw.choice((1, 2, 3)), multipath)
                          if protocol == 'NVMEOF' else
                          lab.properties(draw.choice((3, 4, 5, 6)), multipath))
            went = _round(bricks[protocol], properties)
            slowest = max(slowest, went['seconds'])
            done[protocol] = done.get(protocol, 0) + 1
            if went['error']:
                wrong.append({'round': number, 'protocol': protocol, 'went': went,
                              'devices': host.devices()})
    host.settle()
    return {'done': done, 'wrong': wrong, 'slowest': slowest, 'beside': ended,
            'after': host.devices()}


def crowded(count: int) -> Found:
    """A volume on a host with many disks of others is detached, held and then free.

    :param count: disks, which udev knows nothing of: it would take it an hour
    """
    host.run('udevadm', 'control', '--stop-exec-queue')
    hosts, luns = -(-count // 250), 250
    host.run('modprobe', 'scsi_debug', 'dev_size_mb=8', f'max_luns={luns}', f'add_host={hosts}')
    host.wait_for(lambda: len(list(pathlib.Path('/sys/block').glob('sd*'))) >= hosts * luns)
    brick = lab.brick()
    properties = lab.properties(3)
    info = brick.connect_volume(properties)
    path = os.path.realpath(info['path'])
    stands = things.opened(path)
    held = lab.attempt(lambda: brick.disconnect_volume(properties, info))
    usable = stands.check()
    stands.down()
    found = {'disks': len(list(pathlib.Path('/sys/block').glob('sd*'))), 'held': held,
             'usable': usable}
    if held['error']:
        found['again'] = lab.attempt(lambda: brick.disconnect_volume(properties, info))
    return found | {'there': os.path.exists(path)}
