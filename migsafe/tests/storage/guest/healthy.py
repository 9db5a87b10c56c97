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
"""A host with many disks of others."""

from __future__ import annotations

import os
import pathlib
from typing import Any

import host
import lab
import things

Found = dict[str, Any]


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
