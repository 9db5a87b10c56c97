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


@contextlib.contextmanager
def beside(seed: str) -> Iterator[None]:
    """All of these, with pauses of some seconds, which are drawn for each."""
    children = []
    for number, command in enumerate(BESIDE):
        pause = random.Random(f'{seed} {number}').uniform(2, 8)
        children.append(subprocess.Popen(
            ('sh', '-c', f'while :; do {command}; sleep {pause:.2f}; done'),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True))
    try:
        yield
    finally:
        for child in children:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()


def _round(brick: Any, properties: Found) -> Found:
    """One of them: how the connect went wrong, or else how the disconnect went."""
    came = lab.attempt(lambda: brick.connect_volume(properties))
    return came if came['error'] else lab.attempt(
        lambda: brick.disconnect_volume(properties, came['value']))


def rounds(count: int, seed: str) -> Found:
    """Attach and detach, each time over a transport that is drawn.

    :returns: how often over which, and what went wrong, in which round
    """
    draw = random.Random(seed)
    ways = [('ISCSI', False), ('ISCSI', True), ('NVMEOF', False)]
    bricks = {way: lab.brick(way[1], way[0]) for way in ways}
    done: dict[str, int] = {}
    wrong: list[Found] = []
    slowest = 0.0
    with beside(seed):
        for number in range(count):
            way = draw.choice(ways)
            properties = (lab.nvme_properties(draw.choice((1, 2, 3))) if way[0] == 'NVMEOF' else
                          lab.properties(draw.choice((3, 4, 5, 6)), way[1]))
            ended = _round(bricks[way], properties)
            slowest = max(slowest, ended['seconds'])
            words = f'{way[0]}{" multipath" if way[1] else ""}'
            done[words] = done.get(words, 0) + 1
            if ended['error']:
                wrong.append({'round': number, 'way': words, 'ended': ended,
                              'devices': host.devices()})
    host.settle()
    return {'done': done, 'wrong': wrong, 'slowest': slowest, 'after': host.devices()}


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
